package sonatel

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// messageFailed stands for a list of descriptions that is not known.
const messageFailed = "Transaction failed"

type party struct {
	IDType string `json:"idType"`
	ID     string `json:"id"`
	PIN    string `json:"encryptedPinCode"`
}

// request has the documented fields. Fields beyond them are ignored.
type request struct {
	Partner  party `json:"partner"`
	Customer party `json:"customer"`
	Amount   struct {
		Value json.RawMessage `json:"value"`
		Unit  string          `json:"unit"`
	} `json:"amount"`
	Reference string         `json:"reference"`
	Metadata  map[string]any `json:"metadata"`
}

var (
	nineDigits = regexp.MustCompile(`^[0-9]{9}$`)
	wallet     = regexp.MustCompile(`^7[0-9]{8}$`)
)

// cashin is POST /api/eWallet/v1/cashins: the call that pays.
func (s *Server) cashin(w http.ResponseWriter, r *http.Request) string {
	body, bodyErr := wire.Body(r, wire.MaxBody)
	var q request
	parseErr := json.Unmarshal(body, &q)
	value, _ := integer(q.Amount.Value)
	call := fault.Call{Provider: Provider, Operation: "cashin", Peer: q.Customer.ID, Amount: value, Reference: q.Reference}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	p, wrong := s.accept(r, q, errors.Join(bodyErr, parseErr), rule)
	if wrong != nil {
		return refuse(w, *wrong)
	}
	entry, settles, err := s.pay(p, rule)
	switch {
	case errors.Is(err, book.ErrFloat):
		return refuse(w, problemOf("2021"))
	case err != nil:
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the payment was refused", "error", err)
		return refuse(w, internal)
	}
	before, after := s.callbacksFor(entry, settles, rule, r.Header.Get("X-Callback-Url"))
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

// accept holds a request to what is documented. The payee is looked at before the PIN: a PIN is proven by nothing less than a
// payment.
func (s *Server) accept(r *http.Request, q request, bodyErr error, rule fault.Rule) (book.Payment, *problem) {
	refused := func(code string) (book.Payment, *problem) {
		p := problemOf(code)
		return book.Payment{}, &p
	}
	if p := s.admit(r); p != nil {
		return book.Payment{}, p
	}
	value, whole := integer(q.Amount.Value)
	switch {
	case bodyErr != nil, q.Partner.IDType != "MSISDN", q.Customer.IDType != "MSISDN", !nineDigits.MatchString(q.Partner.ID),
		!matches(s.cfg.Retailer, q.Partner.ID), q.Reference == "", len(q.Metadata) > 10, q.Amount.Unit != "XOF", !whole, value < s.cfg.Minimum:
		return refused("4099")
	case !wallet.MatchString(q.Customer.ID):
		return refused("2001")
	}
	if rule.Fault == fault.KeyRevoked {
		s.safe.revoke()
	}
	if code := s.safe.check(q.Partner.PIN, s.cfg.PIN); code != "" {
		return refused(code)
	}
	return book.Payment{
		Reference: strings.Clone(q.Reference), Peer: strings.Clone(q.Customer.ID), Amount: value, Currency: "XOF", Account: strings.Clone(q.Partner.ID),
	}, nil
}

// pay decides and writes the book. From here on the money has moved, or not, whatever the caller will see of it. A reference that
// comes again pays again.
func (s *Server) pay(p book.Payment, rule fault.Rule) (entry book.Entry, settles time.Time, err error) {
	now := s.Clock.Now()
	v := book.Verdict{Status: book.Success}
	failed := cmp.Or(rule.Message, messageFailed)
	switch rule.Fault {
	case fault.Failed:
		v = book.Verdict{Status: book.Failed, Message: failed}
	case fault.PendingSuccess:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration)}
	case fault.PendingFailed:
		v = book.Verdict{Status: book.Pending, Settles: book.Failed, SettleAt: now.Add(rule.Duration), Message: failed}
	case fault.PendingForever:
		v = book.Verdict{Status: book.Pending}
	case fault.UnknownStatus:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration), Text: cmp.Or(rule.Message, "EN_COURS")}
	case fault.LookupBlind:
		v.BlindUntil = now.Add(rule.Duration)
	default:
	}
	if rule.Blind > 0 {
		v.BlindUntil = now.Add(rule.Blind)
	}
	if entry, err = s.Book.Record(p, v, now, false); err == nil {
		s.ids.Store(transactionID(entry), entry.Reference)
	}
	return entry, v.SettleAt, err
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
		gatewayError(w, cmp.Or(rule.Status, http.StatusBadGateway))
		return string(rule.Fault)
	case fault.Garbage:
		wire.Page(w, http.StatusOK, "Sonatel")
		return string(rule.Fault)
	case fault.Slow, fault.None: // waited already
	default:
		wait := rule.Delay
		if rule.Fault == fault.TimeoutAfter {
			wait = cmp.Or(wait, time.Minute)
		}
		if s.Clock.Sleep(r.Context(), wait) != nil {
			wire.Drop(w)
			return string(rule.Fault)
		}
	}
	wire.JSON(w, http.StatusOK, s.receipt(e))
	_ = http.NewResponseController(w).Flush() // the answer leaves before the callback does
	if rule.Fault != fault.None && rule.Fault != fault.Slow {
		return string(rule.Fault)
	}
	return e.Status.String()
}

// integer reads a JSON number without fraction and exponent: the currency has no minor unit.
func integer(raw json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}
