package mtn

import (
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// status is GET /disbursement/v1_0/transfer/{X-Reference-Id}.
func (s *Server) status(w http.ResponseWriter, r *http.Request) string {
	reference := strings.ToLower(r.PathValue("reference"))
	e, known, err := s.Book.Lookup(reference, s.Clock.Now())
	if err != nil {
		return s.unwritten(w, r, err)
	}
	rule, outcome, done := s.open(w, r, fault.Call{Provider: Provider, Operation: "status", Reference: reference, Peer: e.Peer, Amount: e.Amount})
	if done {
		return outcome
	}
	if !uuid4.MatchString(reference) {
		return badRequest(w)
	}
	now := s.Clock.Now() // a slow answer must not be an old one
	if known {
		if e, known, err = s.Book.Lookup(reference, now); err != nil {
			return s.unwritten(w, r, err)
		}
	}
	hidden := rule.Fault == fault.LookupBlind && (rule.Duration == 0 || now.Before(e.FirstAt.Add(rule.Duration)))
	switch {
	case !known || hidden || now.Before(e.BlindUntil):
		return refuse(w, problemNotFound())
	case rule.Fault == fault.Garbage:
		wire.Page(w, http.StatusOK, "MTN")
		return string(rule.Fault)
	case rule.Fault == fault.UnknownStatus:
		e.Status, e.Text = book.Pending, or(rule.Message, "ONGOING")
	}
	wire.JSON(w, http.StatusOK, s.document(e, rule.Fault == fault.WrongShape))
	return word(e)
}

func (s *Server) unwritten(w http.ResponseWriter, r *http.Request, err error) string {
	s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the call was refused", "error", err)
	return refuse(w, problemInternal())
}

// document is the JSON of a transfer, the same in statuses and callbacks. odd makes its numbers arrive as careless servers
// write them.
func (s *Server) document(e book.Entry, odd bool) []byte {
	amount := `"` + major(e.Amount, e.Currency) + `"`
	if odd {
		amount = major(e.Amount, e.Currency)
		if !strings.Contains(amount, ".") {
			amount += ".0"
		}
	}
	b := append(make([]byte, 0, 384), `{"amount":`...)
	b = append(append(b, amount...), `,"currency":`...)
	b = quote(b, e.Currency)
	if e.Status == book.Success {
		id := strconv.FormatUint(1_000_000_000+digest(e.Reference)%9_000_000_000, 10)
		if !odd {
			id = `"` + id + `"`
		}
		b = append(append(b, `,"financialTransactionId":`...), id...)
	}
	b = quote(append(b, `,"externalId":`...), e.Account)
	b = quote(append(b, `,"payee":{"partyIdType":"MSISDN","partyId":`...), e.Peer)
	b = quote(append(b, `},"payerMessage":"","payeeNote":"","status":`...), word(e))
	if e.Status == book.Failed && e.Message != "" {
		b = append(append(b, `,"reason":`...), s.reason(e)...)
	}
	return append(b, '}')
}

// reason is an object by the documentation and a text in practice.
func (s *Server) reason(e book.Entry) []byte {
	if s.cfg.Reason == "string" || s.cfg.Reason == "" && digest(e.Reference)%2 == 0 {
		return quote(nil, e.Message)
	}
	b := quote([]byte(`{"code":`), e.Message)
	return append(b, `,"message":"The transfer was not made."}`...)
}

// word is the documented word for a state.
func word(e book.Entry) string {
	switch {
	case e.Text != "":
		return e.Text
	case e.Status == book.Success:
		return "SUCCESSFUL"
	default:
		return e.Status.String()
	}
}

// quote appends a JSON string.
func quote(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...)
	}
	return append(b, q...)
}

func digest(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	x := h.Sum64()
	return x ^ x>>29
}
