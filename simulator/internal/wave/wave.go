// Package wave plays Wave's business API as far as payouts need it: single payouts, their search, reversal, verification of
// recipients, balance and transactions, as its documentation describes them. A key pays once; another key pays again.
package wave

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Provider is the provider kind in rules, books and counts.
const Provider = "wave"

// Config is what was agreed with Wave. The zero value accepts any key of the documented form, without signatures.
type Config struct {
	// APIKey is the only key accepted; an empty one accepts anybody's, in the form wave_ci_test_….
	APIKey string
	// SigningSecret makes a Wave-Signature necessary.
	SigningSecret string
	// FeeBPS is the fee of a payout in basis points, rounded up to the currency's unit: 100 if 0, none if negative.
	FeeBPS int64
	// Failures says how a refusal is told: "http" as an error that leaves no payout behind, "payout" as a payout that failed,
	// "" for either, decided by the key. Documentation has both.
	Failures string
	// Limit is the most that a recipient may get at once, 2,000,000 if 0.
	Limit int64
	// Names are what recipients are called, by number; of any other the name is not known.
	Names map[string]string
	// PageSize is how many transactions a page has, 100 if 0.
	PageSize int
	// Float is what the wallet holds at first; nil means that it never runs dry.
	Float *int64
}

// Deps are the simulator's parts. The book has one entry per payout: reference is the idempotency key, account the client
// reference.
type Deps struct {
	Book      *book.Book
	Faults    *fault.Set
	Latencies *fault.Latencies
	Count     wire.Count
	Clock     wire.Clock
	Logger    *slog.Logger
}

// Operations lists which faults each operation can have.
func Operations() map[string][]fault.Kind {
	edge := []fault.Kind{
		fault.ServerErrorBefore, fault.ResetBefore, fault.TimeoutBefore, fault.Garbage, fault.Unauthorized, fault.TooMany,
		fault.WrongShape, fault.NotSubscribed, fault.Slow,
	}
	with := func(own ...fault.Kind) []fault.Kind { return append(own, edge...) }
	return map[string][]fault.Kind{
		"payout": with(fault.LostAnswer, fault.TimeoutAfter, fault.ServerErrorAfter, fault.ResetAfter, fault.PendingSuccess,
			fault.PendingFailed, fault.PendingForever, fault.LookupBlind, fault.Failed, fault.UnknownStatus),
		"search":       with(fault.LookupBlind, fault.UnknownStatus),
		"get":          with(fault.LookupBlind, fault.UnknownStatus),
		"reverse":      with(fault.LostAnswer, fault.TimeoutAfter, fault.ServerErrorAfter, fault.ResetAfter, fault.Failed),
		"verify":       edge,
		"balance":      edge,
		"transactions": with(fault.PageCut),
		"line":         {fault.LineMissing, fault.LineExtra, fault.LineAmount, fault.LineTwice},
	}
}

// Server is Wave.
type Server struct {
	cfg Config
	Deps
	mu sync.Mutex
	// keys are the idempotency keys by payout id, references those of each client reference, bodies what came with a key.
	keys       map[string]string
	references map[string][]string
	bodies     map[string][32]byte
	asked      map[string]*questions
}

// New makes Wave over a book, which may have entries already.
func New(cfg Config, deps Deps) (*Server, error) {
	cfg.FeeBPS, cfg.Limit, cfg.PageSize = or(cfg.FeeBPS, 100), or(cfg.Limit, 2_000_000), or(cfg.PageSize, 100)
	s := &Server{cfg: cfg, Deps: deps}
	s.Reset()
	return s, s.Book.Each(s.Clock.Now(), func(e book.Entry) bool {
		s.index(e.Payment)
		return true
	})
}

// Register adds Wave's paths.
func (s *Server) Register(mux *http.ServeMux) {
	for pattern, op := range map[string]struct {
		name string
		h    func(c *exchange) string
	}{
		"POST /wave/v1/payout":              {"payout", s.payout},
		"GET /wave/v1/payout/{id}":          {"get", s.get},
		"GET /wave/v1/payouts/search":       {"search", s.search},
		"POST /wave/v1/payout/{id}/reverse": {"reverse", s.reverse},
		"POST /wave/v1/verify_recipient":    {"verify", s.verify},
		"POST /wave/v1/verify_recipient/":   {"verify", s.verify},
		"GET /wave/v1/balance":              {"balance", s.balance},
		"GET /wave/v1/transactions":         {"transactions", s.transactions},
		"/wave/":                            {"other", func(c *exchange) string { return c.refuse(notFound) }},
	} {
		mux.Handle(pattern, wire.Counted(op.name, s.Count, func(w http.ResponseWriter, r *http.Request) string {
			c := &exchange{w: w, r: r, call: fault.Call{Provider: Provider, Operation: op.name}}
			c.body, c.bodyErr = wire.Body(r, wire.MaxBody)
			return op.h(c)
		}))
	}
}

// Reset forgets keys and questions, as the book is emptied.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.references, s.bodies, s.asked = map[string]string{}, map[string][]string{}, map[string][32]byte{}, map[string]*questions{}
	if s.cfg.Float != nil {
		s.Book.Fill(*s.cfg.Float)
	}
}

// exchange is one call and its answer.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	body    []byte
	bodyErr error
	call    fault.Call
	rule    fault.Rule
}

func (c *exchange) json(body []byte) { wire.JSON(c.w, http.StatusOK, body) }

// open is what all calls have in common: faults before Wave looks at them, then key and signature. done is true when that
// already was the answer.
func (s *Server) open(c *exchange) (outcome string, done bool) {
	c.rule, _ = s.Faults.Decide(c.call)
	wait := s.Latencies.Of(c.call)
	if c.rule.Fault == fault.Slow || c.rule.Fault == fault.None {
		wait += c.rule.Delay
	}
	if err := s.Clock.Sleep(c.r.Context(), wait); err != nil {
		wire.Drop(c.w) // the client has gone
		return "client_gone", true
	}
	if s.breaks(c) {
		return string(c.rule.Fault), true
	}
	if p := s.authorize(c.r, c.body); p != "" {
		return c.refuse(p), true
	}
	return "", false
}

// breaks is what goes wrong before a call is looked at.
func (s *Server) breaks(c *exchange) bool {
	switch c.rule.Fault {
	case fault.ResetBefore:
		wire.Reset(c.w)
	case fault.TimeoutBefore:
		_ = s.Clock.Sleep(c.r.Context(), or(c.rule.Delay, time.Minute)) // whoever waits so long gets no answer either
		wire.Drop(c.w)
	case fault.ServerErrorBefore:
		wire.RetryAfter(c.w, c.rule.RetryAfter)
		c.serverError(or(c.rule.Status, http.StatusServiceUnavailable))
	case fault.TooMany:
		wire.RetryAfter(c.w, c.rule.RetryAfter)
		c.refuse(tooMany)
	case fault.NotSubscribed:
		c.refuse("disabled-wallet")
	case fault.Unauthorized:
		c.refuse("api-key-revoked")
	default:
		return false
	}
	return true
}

// spoils is what goes wrong with an answer after Wave has done what it was asked for.
func (s *Server) spoils(c *exchange) bool {
	switch c.rule.Fault {
	case fault.LostAnswer, fault.LookupBlind:
		wire.Drop(c.w)
	case fault.ResetAfter:
		wire.Reset(c.w)
	case fault.ServerErrorAfter:
		c.serverError(or(c.rule.Status, http.StatusBadGateway))
	case fault.Garbage:
		wire.Page(c.w, http.StatusOK, "Wave")
	case fault.TimeoutAfter:
		if s.Clock.Sleep(c.r.Context(), or(c.rule.Delay, time.Minute)) != nil {
			wire.Drop(c.w)
			return true
		}
		return false
	case fault.Slow, fault.None:
		return false
	default:
		if s.Clock.Sleep(c.r.Context(), c.rule.Delay) != nil {
			wire.Drop(c.w)
			return true
		}
		return false
	}
	return true
}

// lost says that the book cannot be written.
func (s *Server) lost(c *exchange, err error) string {
	s.Logger.ErrorContext(c.r.Context(), "simulator: the book cannot be written; the call was refused", "error", err)
	return c.refuse("internal-server-error")
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
