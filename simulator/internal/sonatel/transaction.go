package sonatel

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// margin is by how much the platform's times lie behind: what is younger than fromDateTime and so much is not found.
const margin = 120 * time.Second

// search is GET /api/eWallet/v1/transactions: a bare list. It has two known defects: with type it finds nothing, and
// fromDateTime leaves out what should be in.
func (s *Server) search(w http.ResponseWriter, r *http.Request) string {
	reference, now := r.URL.Query().Get("reference"), s.Clock.Now()
	e, known, err := s.Book.Lookup(reference, now)
	if err != nil {
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the search was refused", "error", err)
		return refuse(w, internal)
	}
	rule, outcome, done := s.ask(w, r, "search", e, known, reference)
	if done {
		return outcome
	}
	now = s.Clock.Now() // a slow answer must not be an old one
	if known {
		if e, known, err = s.Book.Lookup(reference, now); err != nil {
			return refuse(w, internal)
		}
	}
	hidden := rule.Fault == fault.LookupBlind && (rule.Duration == 0 || now.Before(e.FirstAt.Add(rule.Duration)))
	if from, err := time.Parse(time.RFC3339, r.URL.Query().Get("fromDateTime")); err == nil && e.FirstAt.Before(from.Add(margin)) {
		hidden = true
	}
	if !known || hidden || now.Before(e.BlindUntil) || r.URL.Query().Get("type") != "" {
		wire.JSON(w, http.StatusOK, []byte("[]"))
		return "none"
	}
	word(&e, rule)
	body := append([]byte("["), s.transaction(e, rule.Fault == fault.WrongShape)...)
	wire.JSON(w, http.StatusOK, append(body, ']'))
	return e.Status.String()
}

// status is GET /api/eWallet/v1/transactions/{id}/status, with the platform's own id.
func (s *Server) status(w http.ResponseWriter, r *http.Request) string {
	id := r.PathValue("id")
	e, known, err := s.byID(id)
	if err != nil {
		return refuse(w, internal)
	}
	rule, outcome, done := s.ask(w, r, "status", e, known, e.Reference)
	if done {
		return outcome
	}
	if !known {
		return refuse(w, notFound)
	}
	word(&e, rule)
	wire.JSON(w, http.StatusOK, fmt.Appendf(nil, `{"status":%q}`, statusOf(e)))
	return e.Status.String()
}

// byID finds a payment by the platform's id. Those of before a restart are searched for in the whole book.
func (s *Server) byID(id string) (e book.Entry, known bool, err error) {
	if reference, ok := s.ids.Load(id); ok {
		return s.Book.Lookup(reference.(string), s.Clock.Now())
	}
	err = s.Book.Each(s.Clock.Now(), func(entry book.Entry) bool {
		if known = transactionID(entry) == id; known {
			e = entry
		}
		return !known
	})
	return e, known, err
}

// ask is what both questions begin with.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, operation string, e book.Entry, known bool, reference string) (rule fault.Rule, outcome string, done bool) {
	call := fault.Call{Provider: Provider, Operation: operation, Reference: reference, Peer: e.Peer, Amount: e.Amount}
	rule, _ = s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return rule, outcome, true
	}
	if p := s.admit(r); p != nil {
		return rule, refuse(w, *p), true
	}
	if known && rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "Sonatel")
		return rule, string(rule.Fault), true
	}
	return rule, "", false
}

// word makes a status one that no documentation has.
func word(e *book.Entry, rule fault.Rule) {
	if rule.Fault != fault.UnknownStatus {
		return
	}
	e.Status, e.Text = book.Pending, "EN_COURS"
	if rule.Message != "" {
		e.Text = rule.Message
	}
}

// statusOf is the platform's word: what is pending says so in one of four ways, decided by the reference, and what failed in one
// of three.
func statusOf(e book.Entry) string {
	switch {
	case e.Text != "":
		return e.Text
	case e.Status == book.Pending:
		return []string{"PRE_INITIATED", "INITIATED", "ACCEPTED", "PENDING"}[digest(e.Reference)%4]
	case e.Status == book.Failed:
		return []string{"FAILED", "REJECTED", "CANCELLED"}[digest(e.Reference)%3]
	default:
		return "SUCCESS"
	}
}

// receipt is the answer to a cash-in.
func (s *Server) receipt(e book.Entry) []byte {
	return marshal(map[string]string{
		"transactionId": transactionID(e), "requestId": fmt.Sprintf("req-%08x", digest(e.Reference)), "reference": e.Reference,
		"status": statusOf(e), "description": describe(e),
	})
}

func describe(e book.Entry) string {
	if e.Message != "" {
		return e.Message
	}
	return "Cash-in"
}

// transaction is a payment as searches and callbacks show it. odd makes its amount arrive as careless servers write it.
func (s *Server) transaction(e book.Entry, odd bool) []byte {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return marshal(map[string]any{
		"transactionId": transactionID(e), "reference": e.Reference, "status": statusOf(e), "description": describe(e), "type": "CASHIN",
		"amount":      json.RawMessage(append(amount([]byte("{"), e.Amount, odd), '}')),
		"partner":     map[string]string{"idType": "MSISDN", "id": e.Account},
		"customer":    map[string]string{"idType": "MSISDN", "id": e.Peer},
		"metadata":    map[string]string{"idempotencyKey": fmt.Sprintf("%016x", digest(e.Reference)), "notification.dispatched": "true"},
		"requestDate": at(e.FirstAt), "createdAt": at(e.FirstAt), "updatedAt": at(e.LastAt), "channel": "API", "receiveNotification": true,
	})
}

func amount(b []byte, value int64, odd bool) []byte {
	b = strconv.AppendInt(append(b, `"value":`...), value, 10)
	if odd {
		b = append(b, ".0"...)
	}
	return append(b, `,"unit":"XOF"`...)
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte(`{}`)
	}
	return b
}

// transactionID begins as the platform's own ids do, "CI250124.2359.A…", and follows from the payment. Its number is longer than
// theirs, so that no two payments of a minute share one.
func transactionID(e book.Entry) string {
	return fmt.Sprintf("CI%s.A%015d", e.FirstAt.UTC().Format("060102.1504"), digest(e.Reference)%1_000_000_000_000_000)
}

func digest(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	x := h.Sum64()
	return x ^ x>>29
}
