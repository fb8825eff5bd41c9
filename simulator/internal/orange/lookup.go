package orange

import (
	"net/http"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// lookup is GET {base}/transactions/{transactionId}, with the caller's own id.
func (s *Server) lookup(w http.ResponseWriter, r *http.Request) string {
	reference, now := r.PathValue("transaction"), s.Clock.Now()
	e, known, err := s.Book.Lookup(reference, now)
	if err != nil {
		s.Logger.ErrorContext(r.Context(), "simulator: the book cannot be written; the lookup was refused", "error", err)
		return refuse(w, problemInternal())
	}
	call := fault.Call{Provider: Provider, Operation: "lookup", Reference: reference, Peer: e.Peer, Amount: e.Amount}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if p := s.authorize(r); p != nil {
		return refuse(w, *p)
	}
	now = s.Clock.Now() // a slow answer must not be an old one
	if known {
		if e, known, err = s.Book.Lookup(reference, now); err != nil {
			return refuse(w, problemInternal())
		}
	}
	hidden := rule.Fault == fault.LookupBlind && (rule.Duration == 0 || now.Before(e.FirstAt.Add(rule.Duration)))
	switch {
	case !known || hidden || now.Before(e.BlindUntil):
		return refuse(w, problemNotFound("The requested transaction does not exist."))
	case rule.Fault == fault.Garbage:
		wire.Page(w, http.StatusOK, "Orange")
		return string(rule.Fault)
	case rule.Fault == fault.UnknownStatus:
		e.Status, e.Text = book.Pending, or(rule.Message, "EN_COURS")
	}
	wire.JSON(w, http.StatusOK, s.transaction(e, rule.Fault == fault.WrongShape))
	return e.Status.String()
}
