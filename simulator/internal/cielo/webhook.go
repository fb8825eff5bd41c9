package cielo

import (
	"fmt"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/callback"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// What a notification is about.
const (
	changeStatus     = 1
	changeChargeback = 7
)

// notifications says what will be posted about a charge: before the answer, and after it. A card that is declined at once is
// no change of anything, so nothing is posted.
func (s *Server) notifications(e book.Entry, settles time.Time, rule fault.Rule) (before, after []callback.Delivery) {
	cfg := *s.webhook.Load()
	mode := or(rule.Callback, cfg.Mode)
	if cfg.URL == "" || mode == "never" {
		return nil, nil
	}
	now := s.Clock.Now()
	for _, d := range s.disputesOf(e.Reference) {
		after = append(after, s.notice(e, changeChargeback, d.at)...)
	}
	real := notice(cfg, e.Reference, changeStatus)
	switch {
	case e.Status == book.Failed:
		return nil, after
	case mode == "forged":
		after = append(after, forgery(cfg, e.Reference))
	}
	if e.Status == book.Pending {
		if settles.IsZero() {
			return nil, after
		}
		real.Wait = max(settles.Sub(now), 0)
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

// notice is the notification of a change that comes at a time, if anybody is to be notified.
func (s *Server) notice(e book.Entry, change int, at time.Time) []callback.Delivery {
	cfg := *s.webhook.Load()
	if cfg.URL == "" || cfg.Mode == "never" {
		return nil
	}
	d := notice(cfg, e.Reference, change)
	d.Wait = max(at.Sub(s.Clock.Now()), 0)
	return []callback.Delivery{d}
}

func notice(cfg Webhook, paymentID string, change int) callback.Delivery {
	h := http.Header{}
	if cfg.Header != "" {
		h.Set(cfg.Header, cfg.Value)
	}
	return callback.Delivery{URL: cfg.URL, Header: h, Kind: "delivered", Body: func() []byte {
		return fmt.Appendf(nil, `{"PaymentId":%q,"ChangeType":%d}`, paymentID, change)
	}}
}

// forgery is what anybody can send who learnt the address: the header is missing or wrong.
func forgery(cfg Webhook, paymentID string) callback.Delivery {
	d := notice(Webhook{URL: cfg.URL, Header: or(cfg.Header, "Authorization"), Value: "forged"}, paymentID, changeStatus)
	d.Kind = "forged"
	return d
}
