// Package sonatel plays the Sonatel eWallet API of Orange Money Senegal: token, public key, cash-in with an encrypted PIN, search,
// status, balance and callbacks, with the defects that are known of it. Where nothing is known it does the unkind thing: a
// reference that is sent again pays again.
package sonatel

import (
	"cmp"
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
const Provider = "orange_sonatel"

// Config is what was agreed with the provider. The zero value is the strictest reading of what is known.
type Config struct {
	// ClientID and ClientSecret are the only credentials accepted; empty ones accept anybody's.
	ClientID, ClientSecret string
	TokenLifetime          time.Duration // 299 s if 0
	TokensPerMinute        int           // 60 if 0, no limit if negative
	// Retailer is the number of the account that pays and PIN its PIN; empty ones accept any. The third wrong PIN blocks it.
	Retailer, PIN string
	Minimum       int64 // 10 if 0: what was seen, though the specification says 1
	// Float is what the paying account holds at first; nil means that it never runs dry.
	Float    *int64
	Callback Callback
}

// Callback is what was registered: where the provider posts final states to, and by what it is known there.
type Callback struct {
	URL    string
	Key    string // sent as "Basic <key>"
	Secret string // signs
	// Mode is normal, duplicated, late, early (before the response), forged, stale or never; "" is normal.
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
		fault.NotSubscribed, fault.Slow, fault.Problem,
	}
	pay := []fault.Kind{
		fault.LostAnswer, fault.TimeoutAfter, fault.ServerErrorAfter, fault.ResetAfter, fault.PendingSuccess,
		fault.PendingFailed, fault.PendingForever, fault.LookupBlind, fault.Failed, fault.UnknownStatus, fault.KeyRevoked,
	}
	return map[string][]fault.Kind{
		"cashin":  append(pay, edge...),
		"search":  append([]fault.Kind{fault.LookupBlind, fault.UnknownStatus}, edge...),
		"status":  append([]fault.Kind{fault.UnknownStatus}, edge...),
		"balance": append([]fault.Kind{fault.KeyRevoked}, edge...),
		"token":   edge,
		"key":     edge,
	}
}

// Server is the provider.
type Server struct {
	cfg Config
	Deps
	mint      *mint
	quota     quota
	safe      safe
	ids       sync.Map // the platform's id → reference
	callbacks *callback.Poster
	callback  atomic.Pointer[Callback]
}

// New makes the provider. Close it to end its callbacks.
func New(cfg Config, deps Deps) *Server {
	cfg.TokenLifetime, cfg.TokensPerMinute = cmp.Or(cfg.TokenLifetime, 299*time.Second), cmp.Or(cfg.TokensPerMinute, 60)
	cfg.Minimum = cmp.Or(cfg.Minimum, 10)
	s := &Server{cfg: cfg, Deps: deps, mint: newMint(deps.Seed)}
	s.callbacks = callback.New(deps.Count, deps.Clock, deps.Logger)
	s.callback.Store(&cfg.Callback)
	if cfg.Float != nil {
		s.Book.Fill(*cfg.Float)
	}
	return s
}

// Register adds the provider's paths, under a prefix of their own: the platform has a host to itself.
func (s *Server) Register(mux *http.ServeMux) {
	for pattern, op := range map[string]struct {
		name string
		h    wire.Handler
	}{
		"POST /sonatel/oauth/v1/token":                          {"token", s.token},
		"GET /sonatel/api/account/v1/publicKeys":                {"key", s.publicKey},
		"POST /sonatel/api/eWallet/v1/cashins":                  {"cashin", s.cashin},
		"GET /sonatel/api/eWallet/v1/transactions":              {"search", s.search},
		"GET /sonatel/api/eWallet/v1/transactions/{id}/status":  {"status", s.status},
		"POST /sonatel/api/eWallet/v1/account/retailer/balance": {"balance", s.balance},
		"/sonatel/": {"other", notThere},
	} {
		mux.Handle(pattern, wire.Counted(op.name, s.Count, op.h))
	}
}

// SetCallback changes what was registered.
func (s *Server) SetCallback(c Callback) error {
	if err := callback.Check(c.URL, c.Mode); err != nil {
		return err
	}
	s.callback.Store(&c)
	return nil
}

// Unblock is what the provider's staff does for an account that wrong PINs have blocked, and what the account's holder does
// with a new PIN; "" keeps the old one.
func (s *Server) Unblock(pin string) { s.safe.unblock(pin) }

// Reset forgets tokens, quotas, wrong PINs and the key, and registers again what the configuration says.
func (s *Server) Reset() error {
	s.mint.reset()
	s.quota.reset()
	s.safe.reset()
	s.ids.Clear()
	if s.cfg.Float != nil {
		s.Book.Fill(*s.cfg.Float)
	}
	return s.SetCallback(s.cfg.Callback)
}

// Close ends callbacks that are under way and waits for them.
func (s *Server) Close() { s.callbacks.Close() }

func notThere(w http.ResponseWriter, _ *http.Request) string { return refuse(w, notFound) }

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
		gatewayError(w, cmp.Or(rule.Status, http.StatusServiceUnavailable))
	case fault.TooMany:
		wire.RetryAfter(w, rule.RetryAfter)
		refuse(w, problem{http.StatusTooManyRequests, "", "Too many requests", ""})
	case fault.NotSubscribed:
		refuse(w, problem{http.StatusForbidden, "", "Forbidden", ""})
	case fault.Problem:
		return refuse(w, problemOf(rule.Message)), true
	case fault.Unauthorized:
		s.mint.revoke(bearer(r))
		refuse(w, badToken)
	default:
		return "", false
	}
	return string(rule.Fault), true
}

// admit is what every call of the API must have. A call without a JSON content type is refused, a GET too.
func (s *Server) admit(r *http.Request) *problem {
	if !isJSON(r.Header.Get("Content-Type")) {
		return &mediaType
	}
	if !s.mint.good(bearer(r), s.Clock.Now()) {
		return &badToken
	}
	return nil
}
