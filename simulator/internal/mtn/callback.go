package mtn

import (
	"net/http"
	"net/url"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/callback"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// callbacksFor says what will be called about a transfer: before the answer, and after it. Only final states are told, once.
func (s *Server) callbacksFor(address string, e book.Entry, settles time.Time, rule fault.Rule) (before, after []callback.Delivery) {
	cfg := *s.callback.Load()
	mode := or(rule.Callback, cfg.Mode)
	if address == "" || mode == "never" {
		return nil, nil
	}
	real := callback.Delivery{
		Method: s.verb(cfg, e), URL: cfg.behind(address), Header: http.Header{}, Kind: "delivered", Body: func() []byte { return s.now(e) },
	}
	if mode == "forged" {
		after = append(after, s.forgery(e, real))
	}
	if e.Status == book.Pending {
		if settles.IsZero() {
			return nil, after
		}
		real.Wait = max(settles.Sub(s.Clock.Now()), 0)
	}
	switch {
	case mode == "early" && e.Status != book.Pending:
		return []callback.Delivery{real}, after
	case mode == "duplicated":
		after = append(after, real, real)
	case mode == "late":
		real.Wait += or(cfg.Delay, 2*time.Second)
		after = append(after, real)
	default:
		after = append(after, real)
	}
	return nil, after
}

// verb is what the documentation cannot decide on.
func (s *Server) verb(cfg Callback, e book.Entry) string {
	switch {
	case cfg.Verb != "":
		return cfg.Verb
	case digest(e.Reference)%3 == 0:
		return http.MethodPost
	default:
		return http.MethodPut
	}
}

// behind is where a public address leads.
func (c Callback) behind(address string) string {
	to, err := url.Parse(address)
	if c.Via == "" || err != nil {
		return address
	}
	via, err := url.Parse(c.Via)
	if err != nil {
		return address
	}
	to.Scheme, to.Host = via.Scheme, via.Host
	return to.String()
}

// now is the transfer as it is when the callback leaves.
func (s *Server) now(e book.Entry) []byte {
	if current, ok, err := s.Book.Lookup(e.Reference, s.Clock.Now()); err == nil && ok {
		e = current
	}
	return s.document(e, false)
}

// forgery is what anybody can send who knows our addresses but not the secret one that MTN was given: the opposite of the truth.
func (s *Server) forgery(e book.Entry, real callback.Delivery) callback.Delivery {
	lie := e
	lie.Text, lie.Message = "", ""
	lie.Status = book.Success
	if e.Status == book.Success {
		lie.Status, lie.Message = book.Failed, reasonFailed
	}
	forged := real
	forged.URL, forged.Kind, forged.Wait = real.URL+"x", "forged", 0
	forged.Body = func() []byte { return s.document(lie, false) }
	return forged
}
