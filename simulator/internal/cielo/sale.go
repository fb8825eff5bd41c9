package cielo

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Text in the book while a transaction is pending, beside which Cielo's status is 12.
const authorizedText = "authorized"

// sale is POST /1/sales/: the call that charges.
func (s *Server) sale(w http.ResponseWriter, r *http.Request) string {
	body, bodyErr := wire.Body(r, wire.MaxBody)
	var q saleRequest
	parseErr := json.Unmarshal(body, &q)
	amount, wrong := q.check()
	token := q.Payment.CreditCard.CardToken
	call := fault.Call{Provider: Provider, Operation: "sale", Peer: token, Token: token, Amount: amount, Reference: q.MerchantOrderID}
	rule, _ := s.Faults.Decide(call)
	rule = combine(rule, behaviour(token, s.cfg.PendingFor))
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if outcome, ok := s.authorize(w, r); !ok {
		return outcome
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || kind != "application/json":
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return "refused_Unsupported Media Type"
	case bodyErr != nil || parseErr != nil:
		return refuse(w, problem{100, "The request is not the JSON that is documented"})
	case len(wrong) > 0:
		return refuse(w, wrong...)
	}
	return s.charge(w, r, q, amount, rule)
}

// charge decides, writes the book and answers. From the book on the card is charged, or not, whatever the caller will see.
func (s *Server) charge(w http.ResponseWriter, r *http.Request, q saleRequest, amount int64, rule fault.Rule) string {
	now := s.Clock.Now()
	id := s.add(strings.Clone(q.MerchantOrderID))
	payment := book.Payment{
		Reference: id, Peer: strings.Clone(q.Payment.CreditCard.CardToken), Amount: amount, Currency: "BRL",
		Account: strings.Clone(q.MerchantOrderID),
	}
	v := verdict(rule, q.Payment.Capture, now)
	e, err := s.Book.Record(payment, v, now, false)
	if err != nil {
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the charge was refused", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return "refused_Internal Server Error"
	}
	if rule.Fault == fault.Chargeback {
		s.dispute(id, dispute{at: now.Add(rule.Duration), minor: amount})
	}
	before, after := s.notifications(e, v.SettleAt, rule)
	for _, d := range before {
		s.posts.Deliver(r.Context(), d)
	}
	if rule.Fault == fault.TimeoutAfter {
		s.posts.Start(after) // nobody waits for that answer
		after = nil
	}
	outcome := s.answer(w, r, e, rule)
	s.posts.Start(after)
	return outcome
}

func verdict(rule fault.Rule, capture bool, now time.Time) book.Verdict {
	v := book.Verdict{Status: book.Success}
	switch rule.Fault {
	case fault.Failed:
		v = book.Verdict{Status: book.Failed, Message: or(rule.Message, "05")}
	case fault.PendingSuccess:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration)}
	case fault.PendingFailed:
		v = book.Verdict{Status: book.Pending, Settles: book.Failed, SettleAt: now.Add(rule.Duration), Message: or(rule.Message, "51")}
	case fault.PendingForever:
		v = book.Verdict{Status: book.Pending}
	case fault.UnknownStatus:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration), Text: or(rule.Message, "77")}
	case fault.LookupBlind:
		v.BlindUntil = now.Add(rule.Duration)
	case fault.AuthorizedOnly:
		capture = false
	default:
	}
	if !capture && v.Status == book.Success {
		v.Status, v.Text = book.Pending, authorizedText
		if rule.Fault == fault.AuthorizedOnly && rule.Duration > 0 {
			v.Settles, v.SettleAt = book.Success, now.Add(rule.Duration)
		}
	}
	if rule.Blind > 0 {
		v.BlindUntil = now.Add(rule.Blind)
	}
	return v
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
		status := or(rule.Status, http.StatusBadGateway)
		wire.Page(w, status, http.StatusText(status))
		return string(rule.Fault)
	case fault.Garbage:
		wire.Page(w, http.StatusCreated, "Cielo")
		return string(rule.Fault)
	default:
	}
	wait := rule.Delay
	switch rule.Fault {
	case fault.TimeoutAfter:
		wait = or(rule.Delay, time.Minute)
	case fault.Slow, fault.None:
		wait = 0 // it came before the call was looked at
	default:
	}
	if s.Clock.Sleep(r.Context(), wait) != nil {
		wire.Drop(w)
		return string(rule.Fault)
	}
	wire.JSON(w, http.StatusCreated, s.transaction(e, rule.Fault == fault.WrongShape))
	_ = http.NewResponseController(w).Flush() // the answer leaves before the notification does
	if rule.Fault != fault.None && rule.Fault != fault.Slow && rule.Fault != fault.Failed {
		return string(rule.Fault)
	}
	return e.Status.String()
}

// refuse answers with content errors.
func refuse(w http.ResponseWriter, problems ...problem) string {
	body, err := json.Marshal(problems)
	if err != nil {
		body = []byte(`[]`)
	}
	wire.JSON(w, http.StatusBadRequest, body)
	return "refused_Bad Request"
}
