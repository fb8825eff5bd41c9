// Package mtn plays the disbursements of MTN's MoMo Open API: token, transfer, status, balance, account holders and callbacks,
// with the payees that MTN publishes for its sandbox. A transfer is accepted first and made later; its reference is good for
// one transfer only.
package mtn

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
const Provider = "mtn_momo"

// Config is what was agreed with MTN. The zero value accepts anybody's credentials, and any country.
type Config struct {
	// APIUser, APIKey and SubscriptionKey are the only credentials accepted; empty ones accept anybody's.
	APIUser, APIKey, SubscriptionKey string
	// Target is the only X-Target-Environment; "" is any that MTN has. It decides on the currency.
	Target        string
	TokenLifetime time.Duration // an hour if 0
	// Processing is how long a transfer stays PENDING before it is made; a second if 0, no time if negative.
	Processing time.Duration
	// Reason is how reason is written: "object", as documented, "string", as it arrives, or "" for either, decided by the reference.
	Reason string
	// RefuseWithoutFloat answers a transfer that the float does not cover with 500 NOT_ENOUGH_FUNDS, as older documents have it,
	// instead of accepting it and failing it.
	RefuseWithoutFloat bool
	// Float is what the paying account holds at first; nil means that it never runs dry.
	Float *int64
	// CallbackHost is the providerCallbackHost of the API user: the only host in X-Callback-Url; "" is any.
	CallbackHost string
	// Holders are the names of account holders by MSISDN; others are called Sand Box, as in MTN's sandbox.
	Holders  map[string]string
	Callback Callback
}

// Callback is how callbacks go out. Where they go is said with each transfer.
type Callback struct {
	// Via is scheme and host of what stands behind the public address, as a reverse proxy would: it replaces those of
	// X-Callback-Url. "" replaces nothing.
	Via string
	// Mode is normal, duplicated, late, early (before the response), forged or never; "" is normal.
	Mode string
	// Delay is how late "late" is; two seconds if 0.
	Delay time.Duration
	// Verb is PUT, POST, or "" for either, decided by the reference.
	Verb string
}

// Deps are the simulator's parts. In the book, reference is the X-Reference-Id and account the externalId.
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
		fault.NotSubscribed, fault.NotActivated, fault.Slow, fault.TimeoutBefore,
	}
	pay := []fault.Kind{
		fault.LostAnswer, fault.TimeoutAfter, fault.ServerErrorAfter, fault.ResetAfter, fault.PendingSuccess,
		fault.PendingFailed, fault.PendingForever, fault.LookupBlind, fault.Failed, fault.UnknownStatus,
	}
	return map[string][]fault.Kind{
		"transfer": append(pay, edge...),
		"status":   append([]fault.Kind{fault.LookupBlind, fault.UnknownStatus}, edge...),
		"token":    edge,
		"balance":  edge,
		"active":   edge,
		"userinfo": edge,
	}
}

// Server is the provider.
type Server struct {
	cfg Config
	Deps
	mint      *mint
	callbacks *callback.Poster
	callback  atomic.Pointer[Callback]
}

// New makes the provider. Close it to end its callbacks.
func New(cfg Config, deps Deps) *Server {
	cfg.TokenLifetime = or(cfg.TokenLifetime, time.Hour)
	cfg.Processing = max(or(cfg.Processing, time.Second), 0)
	s := &Server{cfg: cfg, Deps: deps, mint: newMint(deps.Seed), callbacks: callback.New(deps.Count, deps.Clock, deps.Logger)}
	s.callback.Store(&cfg.Callback)
	if cfg.Float != nil {
		s.Book.Fill(*cfg.Float)
	}
	return s
}

// Register adds the provider's paths.
func (s *Server) Register(mux *http.ServeMux) {
	const base = "/disbursement/v1_0/"
	for pattern, op := range map[string]struct {
		name string
		h    wire.Handler
	}{
		"POST /disbursement/token/{$}":                                {"token", s.token},
		"POST " + base + "transfer":                                   {"transfer", s.transfer},
		"GET " + base + "transfer/{reference}":                        {"status", s.status},
		"GET " + base + "account/balance":                             {"balance", s.balance},
		"GET " + base + "account/balance/{currency}":                  {"balance", s.balance},
		"GET " + base + "accountholder/{type}/{holder}/active":        {"active", s.active},
		"GET " + base + "accountholder/{type}/{holder}/basicuserinfo": {"userinfo", s.userInfo},
	} {
		mux.Handle(pattern, wire.Counted(op.name, s.Count, op.h))
	}
	mux.Handle("/disbursement/", wire.Counted("other", s.Count, notThere))
}

// SetCallback changes how callbacks go out.
func (s *Server) SetCallback(c Callback) error {
	if err := callback.Check(c.Via, c.Mode); err != nil {
		return err
	}
	if c.Verb != "" && c.Verb != http.MethodPut && c.Verb != http.MethodPost {
		return errVerb
	}
	s.callback.Store(&c)
	return nil
}

// Reset forgets tokens, and goes back to what the configuration says.
func (s *Server) Reset() error {
	s.mint.reset()
	if s.cfg.Float != nil {
		s.Book.Fill(*s.cfg.Float)
	}
	return s.SetCallback(s.cfg.Callback)
}

// Close ends callbacks that are under way and waits for them.
func (s *Server) Close() { s.callbacks.Close() }

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
