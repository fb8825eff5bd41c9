// Package orange plays Orange Money B2B ("OMR"): token, services, forms, cash-in, lookup and callbacks, as the documents
// and logs that exist show it. Where they say nothing, it does the unkind thing: a reference that is sent again pays again.
package orange

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/callback"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Provider is the provider kind in rules, books and counts.
const Provider = "orange_omr"

// Config is what was agreed with the provider. The zero value is the strictest reading of the documentation.
type Config struct {
	// ClientID and ClientSecret are the only credentials accepted; empty ones accept anybody's.
	ClientID, ClientSecret string
	TokenLifetime          time.Duration // an hour if 0
	TokensPerMinute        int           // 50 if 0, no limit if negative
	// Expiry is how expires_in is written: "number", "string", or "" for one after the other.
	Expiry string
	// Shape is how a transaction is written: "nested", "flat", or "" for either, decided by the reference.
	Shape string
	// SkipForms accepts cash-ins without the forms token. A forms token that is sent must be right even so.
	SkipForms bool
	// Minimum and Maximum are the limits of the cash-in form, 1 and 2,000,000 if 0.
	Minimum, Maximum int64
	// Deduplicate makes a repeated reference harmless. No document promises it.
	Deduplicate bool
	// IdenticalWindow refuses a payment that equals a recent one of the same payee and amount; 0 refuses none.
	IdenticalWindow time.Duration
	// Float is what the paying account holds at first; nil means that it never runs dry.
	Float    *int64
	Callback Callback
}

// Callback is what was set at provisioning: where the provider posts final states to, and what it sends as Authorization.
type Callback struct {
	URL           string
	Authorization string
	// Mode is normal, duplicated, late, early (before the response), forged or never; "" is normal.
	Mode string
	// Delay is how late "late" is; two seconds if 0.
	Delay time.Duration
}

// Deps are the simulator's parts.
type Deps struct {
	Book      *book.Book
	Faults    *fault.Set
	Latencies *fault.Latencies
	Count     wire.Count
	Clock     wire.Clock
	Logger    *slog.Logger
	Seed      int64
}

// Operations lists which faults each operation can have.
func Operations() map[string][]fault.Kind {
	edge := []fault.Kind{
		fault.ServerErrorBefore, fault.ResetBefore, fault.Garbage, fault.Unauthorized, fault.TooMany, fault.WrongShape,
		fault.NotSubscribed, fault.NotActivated, fault.Slow,
	}
	pay := []fault.Kind{
		fault.LostAnswer, fault.TimeoutAfter, fault.ServerErrorAfter, fault.ResetAfter, fault.PendingSuccess,
		fault.PendingFailed, fault.PendingForever, fault.LookupBlind, fault.Failed, fault.Identical, fault.UnknownStatus,
	}
	return map[string][]fault.Kind{
		"cashin":   append(pay, edge...),
		"lookup":   append([]fault.Kind{fault.LookupBlind, fault.UnknownStatus}, edge...),
		"token":    edge,
		"services": edge,
		"forms":    edge,
	}
}

// Server is the provider.
type Server struct {
	cfg Config
	Deps
	mint      *mint
	quota     *quota
	recent    *recent
	callbacks *callback.Poster
	callback  atomic.Pointer[Callback]
	expiries  alternation
}

// New makes the provider. Close it to end its callbacks.
func New(cfg Config, deps Deps) *Server {
	cfg.TokenLifetime = or(cfg.TokenLifetime, time.Hour)
	cfg.TokensPerMinute = or(cfg.TokensPerMinute, 50)
	cfg.Minimum, cfg.Maximum = or(cfg.Minimum, 1), or(cfg.Maximum, 2_000_000)
	s := &Server{cfg: cfg, Deps: deps, mint: newMint(deps.Seed), quota: &quota{}, recent: newRecent()}
	s.callbacks = callback.New(deps.Count, deps.Clock, deps.Logger)
	s.callback.Store(&cfg.Callback)
	if cfg.Float != nil {
		s.Book.Fill(*cfg.Float)
	}
	return s
}

// Register adds the provider's paths.
func (s *Server) Register(mux *http.ServeMux) {
	for pattern, op := range map[string]struct {
		name string
		h    wire.Handler
	}{
		"POST /oauth/v3/token":                                     {"token", s.token},
		"POST /oauth/v2/token":                                     {"token", s.token},
		"GET /orange-money-b2b/v1/{cc}/services":                   {"services", s.services},
		"GET /orange-money-b2b/v1/{cc}/forms/cashin":               {"forms", s.forms},
		"POST /orange-money-b2b/v1/{cc}/transactions/cashin":       {"cashin", s.cashin},
		"GET /orange-money-b2b/v1/{cc}/transactions/{transaction}": {"lookup", s.lookup},
		"/orange-money-b2b/":                                       {"other", notThere},
		"/oauth/":                                                  {"other", notThere},
	} {
		mux.Handle(pattern, wire.Counted(op.name, s.Count, op.h))
	}
}

// SetCallback changes what was provisioned.
func (s *Server) SetCallback(c Callback) error {
	if err := callback.Check(c.URL, c.Mode); err != nil {
		return err
	}
	s.callback.Store(&c)
	return nil
}

// Reset forgets tokens, quotas and recent payments, and provisions again what the configuration says.
func (s *Server) Reset() error {
	s.mint.reset()
	s.quota.reset()
	s.recent.reset()
	if s.cfg.Float != nil {
		s.Book.Fill(*s.cfg.Float)
	}
	return s.SetCallback(s.cfg.Callback)
}

// Close ends callbacks that are under way and waits for them.
func (s *Server) Close() { s.callbacks.Close() }

func notThere(w http.ResponseWriter, r *http.Request) string {
	return refuse(w, problemNotFound("The requested URI or the requested resource does not exist."))
}

// edge does what happens to a call before the provider looks at it. done is true when that already was the answer.
func (s *Server) edge(w http.ResponseWriter, r *http.Request, call fault.Call, rule fault.Rule) (outcome string, done bool) {
	wait := s.Latencies.Of(call)
	if rule.Fault == fault.Slow || rule.Fault == fault.None {
		wait += rule.Delay
	}
	if err := s.Clock.Sleep(r.Context(), wait); err != nil {
		wire.Drop(w) // the client has gone
		return "client_gone", true
	}
	switch rule.Fault {
	case fault.ResetBefore:
		wire.Reset(w)
	case fault.ServerErrorBefore:
		wire.RetryAfter(w, rule.RetryAfter)
		gatewayError(w, or(rule.Status, http.StatusServiceUnavailable))
	case fault.TooMany:
		wire.RetryAfter(w, rule.RetryAfter)
		refuse(w, problemTooMany())
	case fault.NotSubscribed:
		refuse(w, problemNotSubscribed())
	case fault.NotActivated:
		refuse(w, problemNotFound("The requested URI or the requested resource does not exist."))
	case fault.Unauthorized:
		s.mint.revoke(bearer(r))
		refuse(w, problemExpired())
	default:
		return "", false
	}
	return string(rule.Fault), true
}

// authorize checks the bearer token.
func (s *Server) authorize(r *http.Request) *problem {
	token := bearer(r)
	if token == "" {
		p := problemMissingCredentials()
		return &p
	}
	switch s.mint.check(kindAccess, token, s.Clock.Now()) {
	case tokenGood:
		return nil
	case tokenExpired:
		p := problemExpired()
		return &p
	default:
		p := problemInvalidCredentials()
		return &p
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
