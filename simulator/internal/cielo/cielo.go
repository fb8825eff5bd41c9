// Package cielo plays the Cielo E-commerce API 3.0: the host that charges and the host that is asked, as its documentation
// shows them, and the card networks behind it. Nothing there keeps a merchant from charging the same order twice, so the same
// order charges again.
package cielo

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/callback"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Provider is the provider kind in rules, books and counts.
const Provider = "cielo"

// Config is what was agreed with the gateway. The zero value accepts any merchant whose credentials have the right form.
type Config struct {
	// MerchantID and MerchantKey are the only credentials accepted; empty ones accept anybody's.
	MerchantID, MerchantKey string
	// PendingFor is how long a tok_pending_* card keeps a charge pending; five seconds if 0.
	PendingFor time.Duration
	Webhook    Webhook
}

// Webhook is what was set at Cielo's support: where notifications go, and the static header that comes with them.
type Webhook struct {
	URL    string
	Header string
	Value  string
	// Mode is normal, duplicated, late, early (before the response), forged or never; "" is normal.
	Mode string
	// Delay is how late "late" is; two seconds if 0.
	Delay time.Duration
}

// Deps are the simulator's parts. The book has one entry per transaction: reference is the PaymentId, account the order.
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
		fault.ServerErrorBefore, fault.ResetBefore, fault.Garbage, fault.Unauthorized, fault.TooMany, fault.WrongShape,
		fault.NotSubscribed, fault.Slow,
	}
	charge := []fault.Kind{
		fault.LostAnswer, fault.TimeoutAfter, fault.TimeoutBefore, fault.ServerErrorAfter, fault.ResetAfter,
		fault.PendingSuccess, fault.PendingFailed, fault.PendingForever, fault.LookupBlind, fault.Failed, fault.UnknownStatus,
		fault.AuthorizedOnly, fault.Chargeback,
	}
	ask := []fault.Kind{fault.LookupBlind, fault.UnknownStatus}
	return map[string][]fault.Kind{
		"sale":    append(charge, edge...),
		"orders":  append(ask[:1:1], edge...),
		"payment": append(ask[:2:2], edge...),
	}
}

// Server is the gateway.
type Server struct {
	cfg Config
	Deps
	posts   *callback.Poster
	webhook atomic.Pointer[Webhook]

	mu sync.Mutex
	// orders are the PaymentIds of each order, oldest first; the book does not keep that.
	orders map[string][]string
	// disputes are those of each transaction, oldest first.
	disputes map[string][]dispute
}

// New makes the gateway over a book, which may have entries already. Close it to end its notifications.
func New(cfg Config, deps Deps) (*Server, error) {
	cfg.PendingFor = or(cfg.PendingFor, 5*time.Second)
	s := &Server{cfg: cfg, Deps: deps, posts: callback.New(deps.Count, deps.Clock, deps.Logger)}
	s.webhook.Store(&cfg.Webhook)
	s.forget()
	return s, s.index()
}

// Register adds the gateway's paths: both hosts under one.
func (s *Server) Register(mux *http.ServeMux) {
	for pattern, op := range map[string]struct {
		name string
		h    wire.Handler
	}{
		"POST /cielo/1/sales":                {"sale", s.sale},
		"POST /cielo/1/sales/{$}":            {"sale", s.sale},
		"GET /cielo-query/1/sales":           {"orders", s.ask},
		"GET /cielo-query/1/sales/{payment}": {"payment", s.payment},
		"/cielo/":                            {"other", notThere},
		"/cielo-query/":                      {"other", notThere},
	} {
		mux.Handle(pattern, wire.Counted(op.name, s.Count, op.h))
	}
}

// SetWebhook changes where notifications go.
func (s *Server) SetWebhook(c Webhook) error {
	if err := callback.Check(c.URL, c.Mode); err != nil {
		return err
	}
	s.webhook.Store(&c)
	return nil
}

// Reset forgets orders and disputes, as the book is emptied, and provisions again what the configuration says.
func (s *Server) Reset() error {
	s.forget()
	return s.SetWebhook(s.cfg.Webhook)
}

// Close ends notifications that are under way and waits for them.
func (s *Server) Close() { s.posts.Close() }

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders, s.disputes = map[string][]string{}, map[string][]dispute{}
}

func notThere(w http.ResponseWriter, _ *http.Request) string {
	w.WriteHeader(http.StatusNotFound)
	return "not_found"
}

// edge does what happens to a call before the gateway looks at it. done is true when that already was the answer.
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
	case fault.TimeoutBefore:
		_ = s.Clock.Sleep(r.Context(), or(rule.Delay, time.Minute)) // whoever waits so long gets no answer either
		wire.Drop(w)
	case fault.ServerErrorBefore:
		wire.RetryAfter(w, rule.RetryAfter)
		wire.Page(w, or(rule.Status, http.StatusServiceUnavailable), "Service Unavailable")
	case fault.TooMany:
		wire.RetryAfter(w, rule.RetryAfter)
		w.WriteHeader(http.StatusTooManyRequests)
	case fault.NotSubscribed:
		w.WriteHeader(http.StatusForbidden)
	case fault.Unauthorized:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		return "", false
	}
	return string(rule.Fault), true
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
