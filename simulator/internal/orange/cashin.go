package orange

import (
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Texts of failures. Only the first was ever seen in a real callback; the others stand for a catalogue that is unknown.
const (
	messageIdentical = "Transaction identique."
	messageFailed    = "Echec de la transaction."
	messageFloat     = "Solde insuffisant."
)

// cashin is POST {base}/transactions/cashin: the call that pays.
func (s *Server) cashin(w http.ResponseWriter, r *http.Request) string {
	body, bodyErr := wire.Body(r, wire.MaxBody)
	q, parseErr := parseCashin(body)
	amount, _ := integer(q.Amount)
	call := fault.Call{Provider: Provider, Operation: "cashin", Peer: text(q.PeerID), Amount: amount, Reference: text(q.TransactionID)}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	p, problem := s.accept(r, q, errors.Join(bodyErr, parseErr))
	if problem != nil {
		return refuse(w, *problem)
	}
	entry, settles, err := s.pay(p, rule)
	if err != nil {
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the payment was refused", "error", err)
		return refuse(w, problemInternal())
	}
	before, after := s.callbacksFor(entry, settles, rule)
	for _, d := range before {
		s.callbacks.Deliver(r.Context(), d)
	}
	if len(after) > 0 && rule.Fault == fault.TimeoutAfter {
		s.callbacks.Start(after) // nobody waits for that answer
		after = nil
	}
	outcome := s.answer(w, r, entry, rule)
	s.callbacks.Start(after)
	return outcome
}

// accept is everything that can be wrong with a request before its content matters.
func (s *Server) accept(r *http.Request, q cashinRequest, bodyErr error) (book.Payment, *problem) {
	refused := func(p problem) (book.Payment, *problem) { return book.Payment{}, &p }
	if p := s.authorize(r); p != nil {
		return book.Payment{}, p
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refused(problemMediaType("application/json"))
	}
	if p := s.checkForms(r); p != nil {
		return book.Payment{}, p
	}
	if bodyErr != nil {
		return refused(problemBody("it is not a JSON object of the documented fields"))
	}
	return s.payment(r.PathValue("cc"), q)
}

// pay decides and writes the book. From here on the money has moved, or not, whatever the caller will see of it.
func (s *Server) pay(p book.Payment, rule fault.Rule) (entry book.Entry, settles time.Time, err error) {
	now := s.Clock.Now()
	v := s.verdict(p, rule, now)
	entry, err = s.Book.Record(p, v, now, s.cfg.Deduplicate)
	if errors.Is(err, book.ErrFloat) {
		v = book.Verdict{Status: book.Failed, Message: messageFloat}
		entry, err = s.Book.Record(p, v, now, s.cfg.Deduplicate)
	}
	return entry, v.SettleAt, err
}

func (s *Server) verdict(p book.Payment, rule fault.Rule, now time.Time) book.Verdict {
	v := book.Verdict{Status: book.Success}
	switch rule.Fault {
	case fault.Failed:
		v = book.Verdict{Status: book.Failed, Message: or(rule.Message, messageFailed)}
	case fault.PendingSuccess:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration)}
	case fault.PendingFailed:
		v = book.Verdict{Status: book.Pending, Settles: book.Failed, SettleAt: now.Add(rule.Duration), Message: or(rule.Message, messageFailed)}
	case fault.PendingForever:
		v = book.Verdict{Status: book.Pending}
	case fault.UnknownStatus:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration), Text: or(rule.Message, "EN_COURS")}
	case fault.LookupBlind:
		v.BlindUntil = now.Add(rule.Duration)
	default:
	}
	if rule.Blind > 0 {
		v.BlindUntil = now.Add(rule.Blind)
	}
	if v.Status != book.Failed && s.identical(p, rule, now) {
		return book.Verdict{Status: book.Failed, Message: messageIdentical, BlindUntil: v.BlindUntil}
	}
	return v
}

// identical is the platform's refusal of a payment that looks like a recent one. It knows nothing of references: a
// repetition and a second, legitimate payment look alike.
func (s *Server) identical(p book.Payment, rule fault.Rule, now time.Time) bool {
	window := s.cfg.IdenticalWindow
	if rule.Fault == fault.Identical {
		if rule.Duration == 0 {
			return true
		}
		window = rule.Duration
	}
	if s.cfg.Deduplicate {
		if _, known, err := s.Book.Lookup(p.Reference, now); err == nil && known {
			return false
		}
	}
	return s.recent.paid(p, now, window)
}

// answer tells the caller what the rule lets through.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, e book.Entry, rule fault.Rule) string {
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
		wire.Page(w, http.StatusOK, "Orange")
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
	status := http.StatusOK
	if s.nested(e.Reference) {
		status = http.StatusCreated
	}
	wire.JSON(w, status, s.transaction(e, rule.Fault == fault.WrongShape))
	_ = http.NewResponseController(w).Flush() // the answer leaves before the callback does
	if rule.Fault != fault.None && rule.Fault != fault.Slow {
		return string(rule.Fault)
	}
	return e.Status.String()
}
