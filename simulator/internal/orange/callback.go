package orange

import (
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/callback"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// callbacksFor says what will be posted about a payment: before the answer, and after it.
func (s *Server) callbacksFor(e book.Entry, settles time.Time, rule fault.Rule) (before, after []callback.Delivery) {
	cfg := *s.callback.Load()
	mode := or(rule.Callback, cfg.Mode)
	if cfg.URL == "" || mode == "never" {
		return nil, nil
	}
	real := callback.Delivery{URL: cfg.URL, Header: authorized(cfg.Authorization), Kind: "delivered", Body: func() []byte { return s.now(e) }}
	if mode == "forged" {
		after = append(after, s.forgery(e, cfg))
	}
	if e.Status == book.Pending {
		if settles.IsZero() {
			return nil, after
		}
		real.Wait = lateness(settles, s.Clock.Now())
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

// now is the payment as it is when the callback leaves.
func (s *Server) now(e book.Entry) []byte {
	if current, ok, err := s.Book.Lookup(e.Reference, s.Clock.Now()); err == nil && ok {
		e = current
	}
	return s.transaction(e, false)
}

// forgery is what anybody can send who learnt the address: the opposite of the truth, without the agreed header.
func (s *Server) forgery(e book.Entry, cfg Callback) callback.Delivery {
	lie := e
	lie.Text, lie.Message = "", ""
	if e.Status == book.Success {
		lie.Status, lie.Message = book.Failed, messageFailed
	} else {
		lie.Status = book.Success
	}
	return callback.Delivery{
		URL: cfg.URL, Header: authorized("Basic Zm9yZ2VyOmZvcmdlZA=="), Kind: "forged",
		Body: func() []byte { return s.transaction(lie, false) },
	}
}

func authorized(value string) http.Header { return http.Header{"Authorization": {value}} }
