package cielo

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// remembered is how long the query host finds a transaction.
const remembered = 90 * 24 * time.Hour

// ask is GET /1/sales?merchantOrderId=: which transactions an order has.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) string {
	order := r.URL.Query().Get("merchantOrderId")
	call := fault.Call{Provider: Provider, Operation: "orders", Reference: order}
	if first, ok := s.first(order); ok {
		call.Peer, call.Token, call.Amount = first.Peer, first.Peer, first.Amount
	}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if outcome, ok := s.authorize(w, r); !ok {
		return outcome
	}
	visible, err := s.visible(order, rule)
	switch {
	case err != nil:
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the question was refused", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return "refused_Internal Server Error"
	case rule.Fault == fault.Garbage:
		wire.Page(w, http.StatusOK, "Cielo")
		return string(rule.Fault)
	case len(visible) == 0 && digest(order)%2 == 0:
		return notThere(w, r) // the documentation has both ways to say so
	}
	wire.JSON(w, http.StatusOK, listing(order, visible))
	if len(visible) == 0 {
		return "not_found"
	}
	return "ok"
}

func (s *Server) first(order string) (book.Entry, bool) {
	ids := s.of(order)
	if len(ids) == 0 {
		return book.Entry{}, false
	}
	e, ok, err := s.Book.Lookup(ids[0], s.Clock.Now())
	return e, ok && err == nil
}

// visible are the transactions of an order that the query host shows.
func (s *Server) visible(order string, rule fault.Rule) ([]book.Entry, error) {
	var found []book.Entry
	now := s.Clock.Now()
	for _, id := range s.of(order) {
		e, known, err := s.Book.Lookup(id, now)
		if err != nil {
			return nil, err
		}
		if known && !hidden(e, rule, now) {
			found = append(found, e)
		}
	}
	return found, nil
}

func hidden(e book.Entry, rule fault.Rule, now time.Time) bool {
	blind := rule.Fault == fault.LookupBlind && (rule.Duration == 0 || now.Before(e.FirstAt.Add(rule.Duration)))
	return blind || now.Before(e.BlindUntil) || now.After(e.FirstAt.Add(remembered))
}

// listing is the answer to a question by order, under either of the names that its list has. The field of the date is
// spelled as it is there.
func listing(order string, visible []book.Entry) []byte {
	type item struct {
		PaymentID string `json:"PaymentId"`
		Received  string `json:"ReceveidDate"`
	}
	items := make([]item, 0, len(visible))
	for _, e := range visible {
		items = append(items, item{e.Reference, stamp(e.FirstAt)})
	}
	name := "Payments"
	if digest(order)%3 == 0 {
		name = "Payment"
	}
	b, err := json.Marshal(map[string]any{"ReasonCode": 0, "ReasonMessage": "Successful", name: items})
	if err != nil {
		return []byte(`{}`)
	}
	return b
}

// payment is GET /1/sales/{PaymentId}.
func (s *Server) payment(w http.ResponseWriter, r *http.Request) string {
	id := r.PathValue("payment")
	e, known, err := s.Book.Lookup(id, s.Clock.Now())
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return "refused_Internal Server Error"
	}
	call := fault.Call{Provider: Provider, Operation: "payment", Reference: or(e.Account, id), Peer: e.Peer, Token: e.Peer, Amount: e.Amount}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if outcome, ok := s.authorize(w, r); !ok {
		return outcome
	}
	now := s.Clock.Now() // a slow answer must not be an old one
	if known {
		if e, known, err = s.Book.Lookup(id, now); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return "refused_Internal Server Error"
		}
	}
	switch {
	case !known || hidden(e, rule, now):
		return notThere(w, r)
	case rule.Fault == fault.Garbage:
		wire.Page(w, http.StatusOK, "Cielo")
		return string(rule.Fault)
	case rule.Fault == fault.UnknownStatus:
		e.Status, e.Text = book.Pending, or(rule.Message, "77")
	}
	wire.JSON(w, http.StatusOK, s.transaction(e, rule.Fault == fault.WrongShape))
	return e.Status.String()
}
