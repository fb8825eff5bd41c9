package mtn

import (
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Reasons that rules leave out, and what a transfer without float fails with.
const (
	reasonFailed = "APPROVAL_REJECTED"
	reasonFloat  = "NOT_ENOUGH_FUNDS"
)

// transfer is POST /disbursement/v1_0/transfer: it is accepted, and made or not made later.
func (s *Server) transfer(w http.ResponseWriter, r *http.Request) string {
	body, bodyErr := wire.Body(r, wire.MaxBody)
	q, parseErr := parseTransfer(body)
	currency, _ := s.currency(r)
	amount, _ := minor(text(q.Amount), currency)
	rule, outcome, done := s.open(w, r, fault.Call{
		Provider: Provider, Operation: "transfer", Peer: text(q.Payee.PartyID), Amount: amount, Reference: r.Header.Get("X-Reference-Id"),
	})
	if done {
		return outcome
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || bodyErr != nil || parseErr != nil {
		return badRequest(w)
	}
	p, refused, ok := s.valid(r, q)
	switch {
	case refused != nil:
		return refuse(w, *refused)
	case !ok:
		return badRequest(w)
	case rule.Fault == fault.Failed && rule.Status != 0: // refused before it is a transfer
		return refuse(w, problemOf(rule.Status, or(rule.Message, reasonFailed)))
	}
	return s.accept(w, r, p, rule)
}

// accept writes the book and answers. From here on the money moves, now or later, or does not, whatever the caller will see.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, p book.Payment, rule fault.Rule) string {
	entry, settles, err := s.pay(p, rule)
	switch {
	case errors.Is(err, book.ErrFloat):
		return refuse(w, problemOf(http.StatusInternalServerError, reasonFloat))
	case err != nil:
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the transfer was refused", "error", err)
		return refuse(w, problemInternal())
	}
	if entry.Requests > 1 { // a reference is good for one transfer
		return s.answer(w, r, rule, func() string { return refuse(w, problemExists()) })
	}
	before, after := s.callbacksFor(r.Header.Get("X-Callback-Url"), entry, settles, rule)
	for _, d := range before {
		s.callbacks.Deliver(r.Context(), d)
	}
	if len(after) > 0 && rule.Fault == fault.TimeoutAfter {
		s.callbacks.Start(after) // nobody waits for that answer
		after = nil
	}
	outcome := s.answer(w, r, rule, func() string {
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush() // the answer leaves before the callback does
		return or(string(rule.Fault), "accepted")
	})
	s.callbacks.Start(after)
	return outcome
}

// pay decides and books. A reference that is known moves nothing.
func (s *Server) pay(p book.Payment, rule fault.Rule) (entry book.Entry, settles time.Time, err error) {
	now := s.Clock.Now()
	v := s.verdict(p, rule, now)
	entry, err = s.Book.Record(p, v, now, true)
	if errors.Is(err, book.ErrFloat) && !s.cfg.RefuseWithoutFloat {
		v = book.Verdict{Status: book.Failed, Message: reasonFloat} // at once: what is pending needs its float, too
		entry, err = s.Book.Record(p, v, now, true)
	}
	return entry, v.SettleAt, err
}

func (s *Server) verdict(p book.Payment, rule fault.Rule, now time.Time) book.Verdict {
	v := s.usual(p, now)
	switch rule.Fault {
	case fault.Failed:
		v = failing(or(rule.Message, reasonFailed), now, s.cfg.Processing)
	case fault.PendingSuccess:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration)}
	case fault.PendingFailed:
		v = book.Verdict{Status: book.Pending, Settles: book.Failed, SettleAt: now.Add(rule.Duration), Message: or(rule.Message, reasonFailed)}
	case fault.PendingForever:
		v = book.Verdict{Status: book.Pending}
	case fault.UnknownStatus:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration), Text: or(rule.Message, "ONGOING")}
	case fault.LookupBlind:
		v.BlindUntil = now.Add(rule.Duration)
	default:
	}
	if rule.Blind > 0 {
		v.BlindUntil = now.Add(rule.Blind)
	}
	return v
}

// answer tells the caller what the rule lets through.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rule fault.Rule, otherwise func() string) string {
	switch rule.Fault {
	case fault.LostAnswer, fault.LookupBlind:
		wire.Drop(w)
		return string(rule.Fault)
	case fault.ResetAfter:
		wire.Reset(w)
		return string(rule.Fault)
	case fault.ServerErrorAfter:
		gatewayError(w, or(rule.Status, http.StatusBadGateway))
		return string(rule.Fault)
	case fault.Garbage:
		wire.Page(w, http.StatusOK, "MTN")
		return string(rule.Fault)
	case fault.TimeoutAfter:
		if s.Clock.Sleep(r.Context(), or(rule.Delay, time.Minute)) != nil {
			wire.Drop(w)
			return string(rule.Fault)
		}
	case fault.Slow, fault.None:
	default:
		if s.Clock.Sleep(r.Context(), rule.Delay) != nil {
			wire.Drop(w)
			return string(rule.Fault)
		}
	}
	return otherwise()
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
