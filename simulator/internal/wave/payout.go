package wave

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash/fnv"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// payoutRequest has the documented fields. Fields beyond them are ignored.
type payoutRequest struct {
	Currency            string  `json:"currency"`
	ReceiveAmount       *string `json:"receive_amount"`
	Mobile              string  `json:"mobile"`
	Name                string  `json:"name"`
	NationalID          string  `json:"national_id"`
	PaymentReason       string  `json:"payment_reason"`
	ClientReference     string  `json:"client_reference"`
	AggregatedMerchant  string  `json:"aggregated_merchant_id"`
	amount              int64
	unreadable, notJSON bool
}

// refusedMark stands in the book before the code of a refusal that left no payout behind.
const refusedMark = "refused "

var (
	mobile = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)
	whole  = regexp.MustCompile(`^[1-9][0-9]{0,14}$`)
)

// longestKey is also the most characters of a client reference.
const (
	longestKey    = 255
	longestReason = 40
)

// payout is POST /v1/payout: the call that pays.
func (s *Server) payout(c *exchange) string {
	q := parsePayout(c.body)
	c.call.Peer, c.call.Reference, c.call.Amount = q.Mobile, q.ClientReference, q.amount
	if outcome, done := s.open(c); done {
		return outcome
	}
	key := c.r.Header.Get("Idempotency-Key")
	if outcome, wrong := s.check(c, key, q); wrong {
		return outcome
	}
	e, code, err := s.pay(c, key, q)
	switch {
	case err != nil:
		return s.lost(c, err)
	case s.spoils(c):
		return string(c.rule.Fault)
	case code != "":
		return c.refuse(code)
	}
	c.json(payoutJSON(e, c.rule))
	if c.rule.Fault != fault.None && c.rule.Fault != fault.Slow {
		return string(c.rule.Fault)
	}
	return e.Status.String()
}

func parsePayout(body []byte) payoutRequest {
	var q payoutRequest
	if err := json.Unmarshal(body, &q); err != nil {
		var wrongType *json.UnmarshalTypeError
		q.notJSON, q.unreadable = !errors.As(err, &wrongType), true
	}
	if q.ReceiveAmount != nil && whole.MatchString(*q.ReceiveAmount) {
		q.amount, _ = strconv.ParseInt(*q.ReceiveAmount, 10, 64) // fifteen digits fit
	}
	return q
}

// check holds a request to the documentation.
func (s *Server) check(c *exchange, key string, q payoutRequest) (outcome string, wrong bool) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	at, known := home(c.r)
	switch {
	case err != nil || kind != "application/json" || c.bodyErr != nil || q.notJSON:
		return c.refuse("request-not-json"), true
	case q.unreadable:
		return c.refuse("request-parsing-error"), true
	case key == "" || utf8.RuneCountInString(key) > longestKey:
		return c.invalid("header", "Idempotency-Key", "it is required, with 255 characters at most"), true
	case !mobile.MatchString(q.Mobile):
		return c.invalid("body", "mobile", "it has to be a number with + and country code"), true
	case q.amount == 0:
		return c.invalid("body", "receive_amount", "it has to be a whole amount, as a text"), true
	case utf8.RuneCountInString(q.ClientReference) > longestKey:
		return c.invalid("body", "client_reference", "it has 255 characters at most"), true
	case utf8.RuneCountInString(q.PaymentReason) > longestReason:
		return c.invalid("body", "payment_reason", "it has 40 characters at most"), true
	case known && q.Currency != at.currency:
		return c.refuse("currency-mismatch"), true
	case known && !strings.HasPrefix(q.Mobile, at.prefix):
		return c.refuse("country-mismatch"), true
	default:
		return "", false
	}
}

// pay decides and writes the book: from here on the money has moved, or not, whatever the caller will see of it. code is set
// when the answer is an error that leaves no payout behind.
func (s *Server) pay(c *exchange, key string, q payoutRequest) (e book.Entry, code string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock.Now()
	p := book.Payment{
		Reference: strings.Clone(key), Peer: strings.Clone(q.Mobile), Amount: q.amount, Currency: q.Currency,
		Account: strings.Clone(q.ClientReference), Fee: s.fee(q.amount),
	}
	old, known, err := s.Book.Lookup(key, now)
	if err != nil {
		return book.Entry{}, "", err
	}
	body := sha256.Sum256(c.body)
	if replay := known && !strings.HasPrefix(old.Message, refusedMark); replay {
		first, remembered := s.bodies[key]
		same := old.Peer == p.Peer && old.Amount == p.Amount && old.Currency == p.Currency && old.Account == p.Account
		if !same || remembered && first != body {
			return book.Entry{}, "idempotency-mismatch", nil
		}
		e, err = s.Book.Record(p, book.Verdict{}, now, true) // counts the request; nothing moves again
		return e, "", err
	}
	s.bodies[p.Reference] = body
	if !known {
		s.index(p)
	}
	e, err = s.Book.Record(p, s.verdict(p, c.rule, now), now, false)
	if errors.Is(err, book.ErrFloat) {
		e, err = s.Book.Record(p, s.refusal(key, noFunds), now, false)
	}
	return e, strings.TrimPrefix(marked(e.Message), refusedMark), err
}

// marked is a message that tells of a refusal without a payout, or "".
func marked(message string) string {
	if strings.HasPrefix(message, refusedMark) {
		return message
	}
	return ""
}

func (s *Server) verdict(p book.Payment, rule fault.Rule, now time.Time) book.Verdict {
	v := book.Verdict{Status: book.Success}
	switch {
	case rule.Fault == fault.Failed:
		v = s.refusal(p.Reference, or(rule.Message, "recipient-account-blocked"))
	case p.Amount > s.cfg.Limit:
		v = s.refusal(p.Reference, "recipient-limit-exceeded")
	case rule.Fault == fault.PendingSuccess:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration)}
	case rule.Fault == fault.PendingFailed:
		v = book.Verdict{Status: book.Pending, Settles: book.Failed, SettleAt: now.Add(rule.Duration), Message: or(rule.Message, "recipient-account-blocked")}
	case rule.Fault == fault.PendingForever:
		v = book.Verdict{Status: book.Pending}
	case rule.Fault == fault.UnknownStatus:
		v = book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(rule.Duration), Text: or(rule.Message, "on_hold")}
	case rule.Fault == fault.LookupBlind:
		v.BlindUntil = now.Add(rule.Duration)
	}
	if rule.Blind > 0 {
		v.BlindUntil = now.Add(rule.Blind)
	}
	return v
}

// refusal is a definite no, in one of its two forms.
func (s *Server) refusal(key, code string) book.Verdict {
	if s.cfg.Failures == "http" || s.cfg.Failures == "" && digest(key)%2 == 0 {
		code = refusedMark + code
	}
	return book.Verdict{Status: book.Failed, Message: code}
}

// fee is rounded up to the unit.
func (s *Server) fee(amount int64) int64 {
	if s.cfg.FeeBPS < 0 {
		return 0
	}
	return (amount*s.cfg.FeeBPS + 9_999) / 10_000
}

// index remembers a payout by its id and by its client reference. The caller holds the lock, or is alone.
func (s *Server) index(p book.Payment) {
	s.keys[payoutID(p.Reference)] = p.Reference
	s.references[p.Account] = append(s.references[p.Account], p.Reference)
}

// payoutID has the form of Wave's ids and follows from the key.
func payoutID(key string) string { return "pt-" + strconv.FormatUint(digest(key), 36) }

func digest(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	x := h.Sum64()
	return x ^ x>>29
}
