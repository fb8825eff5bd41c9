package sonatel

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/callback"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// How often a callback is repeated that nobody answered or a server error did. That it is repeated is known, not how.
const (
	repeats     = 3
	repeatAfter = 2 * time.Second
)

// callbacksFor says what will be posted about a payment: before the answer, and after it. An address that came with the
// payment is used in place of the registered one.
func (s *Server) callbacksFor(e book.Entry, settles time.Time, rule fault.Rule, address string) (before, after []callback.Delivery) {
	cfg := *s.callback.Load()
	mode := cmp.Or(rule.Callback, cfg.Mode)
	if cfg.URL = cmp.Or(address, cfg.URL); cfg.URL == "" || callback.Check(cfg.URL, "") != nil || mode == "never" {
		return nil, nil
	}
	real := s.delivery(e, cfg, "delivered", 0, func() []byte { return s.now(e) })
	switch mode {
	case "forged":
		after = append(after, s.forgery(e, cfg))
	case "stale":
		real = s.delivery(e, cfg, "stale", -10*time.Minute, func() []byte { return s.now(e) })
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
		real.Wait += cmp.Or(cfg.Delay, 2*time.Second)
		after = append(after, real)
	default:
		after = append(after, real)
	}
	return nil, after
}

// delivery signs what it says at the moment at which it leaves, or so much beside it.
func (s *Server) delivery(e book.Entry, cfg Callback, kind string, off time.Duration, body func() []byte) callback.Delivery {
	return callback.Delivery{
		URL: cfg.URL, Kind: kind, Body: body, Repeats: repeats, RepeatAfter: repeatAfter,
		Header: http.Header{"Authorization": {"Basic " + cfg.Key}, "X-Sonatel-Idempotency-Key": {fmt.Sprintf("%016x", digest(e.Reference))}},
		Sign: func(h http.Header, body []byte) {
			at := fmt.Sprint(s.Clock.Now().Add(off).Unix())
			mac := hmac.New(sha256.New, []byte(cfg.Secret))
			_, _ = fmt.Fprintf(mac, "%s,%s", at, body)
			h.Set("X-Sonatel-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
		},
	}
}

// now is the payment as it is when the callback leaves.
func (s *Server) now(e book.Entry) []byte {
	if current, ok, err := s.Book.Lookup(e.Reference, s.Clock.Now()); err == nil && ok {
		e = current
	}
	return s.transaction(e, false)
}

// forgery is what anybody can send who learnt the address and the key: the opposite of the truth, signed with another secret.
func (s *Server) forgery(e book.Entry, cfg Callback) callback.Delivery {
	lie := e
	lie.Text, lie.Message, lie.Status = "", "", book.Success
	if e.Status == book.Success {
		lie.Status, lie.Message = book.Failed, messageFailed
	}
	cfg.Secret = "forged"
	return s.delivery(e, cfg, "forged", 0, func() []byte { return s.transaction(lie, false) })
}
