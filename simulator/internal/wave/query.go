package wave

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// get is GET /v1/payout/{id}.
func (s *Server) get(c *exchange) string {
	key := s.key(c.r.PathValue("id"))
	e, known, err := s.Book.Lookup(key, s.Clock.Now())
	if err != nil {
		return s.lost(c, err)
	}
	c.call.Reference, c.call.Peer, c.call.Amount = e.Account, e.Peer, e.Amount
	if outcome, done := s.open(c); done {
		return outcome
	}
	if known {
		if e, known, err = s.Book.Lookup(key, s.Clock.Now()); err != nil { // a slow answer must not be an old one
			return s.lost(c, err)
		}
	}
	if c.rule.Fault == fault.Garbage {
		return s.garbage(c)
	}
	if !known || !s.visible(c, e) {
		return c.refuse(notFound)
	}
	e = altered(e, c.rule)
	c.json(payoutJSON(e, c.rule))
	return status(e)
}

// search is GET /v1/payouts/search?client_reference=.
func (s *Server) search(c *exchange) string {
	reference := c.r.URL.Query().Get("client_reference")
	keys := s.of(reference)
	c.call.Reference = reference
	if len(keys) > 0 {
		if e, ok, err := s.Book.Lookup(keys[0], s.Clock.Now()); err == nil && ok {
			c.call.Peer, c.call.Amount = e.Peer, e.Amount
		}
	}
	if outcome, done := s.open(c); done {
		return outcome
	}
	if reference == "" {
		return c.invalid("query", "client_reference", "it is required")
	}
	var found [][]byte
	for _, key := range keys {
		e, ok, err := s.Book.Lookup(key, s.Clock.Now())
		if err != nil {
			return s.lost(c, err)
		}
		if ok && s.visible(c, e) {
			found = append(found, payoutJSON(altered(e, c.rule), c.rule))
		}
	}
	if c.rule.Fault == fault.Garbage {
		return s.garbage(c)
	}
	body := []byte(`{"result":[`)
	for i, f := range found {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, f...)
	}
	c.json(append(body, "]}"...))
	if len(found) == 0 {
		return "empty"
	}
	return "found"
}

func (s *Server) garbage(c *exchange) string {
	s.spoils(c)
	return string(c.rule.Fault)
}

func altered(e book.Entry, rule fault.Rule) book.Entry {
	if rule.Fault == fault.UnknownStatus {
		e.Status, e.Text = book.Pending, or(rule.Message, "on_hold")
	}
	return e
}

// visible hides what was refused without a payout, and what lookups are blind for.
func (s *Server) visible(c *exchange, e book.Entry) bool {
	now := s.Clock.Now()
	hidden := c.rule.Fault == fault.LookupBlind && (c.rule.Duration == 0 || now.Before(e.FirstAt.Add(c.rule.Duration)))
	return !hidden && !now.Before(e.BlindUntil) && !strings.HasPrefix(e.Message, refusedMark)
}

func (s *Server) key(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[id]
}

func (s *Server) of(reference string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.references[reference])
}

// reversible is how long a payout can be taken back.
const reversible = 3 * 24 * time.Hour

// reverse is POST /v1/payout/{id}/reverse: amount and fee come back, once.
func (s *Server) reverse(c *exchange) string {
	key := s.key(c.r.PathValue("id"))
	e, known, err := s.Book.Lookup(key, s.Clock.Now())
	if err != nil {
		return s.lost(c, err)
	}
	c.call.Reference, c.call.Peer, c.call.Amount = e.Account, e.Peer, e.Amount
	if outcome, done := s.open(c); done {
		return outcome
	}
	switch {
	case !known || !s.visible(c, e):
		return c.refuse(notFound)
	case e.ReversedAt.IsZero() && s.Clock.Now().Sub(e.FirstAt) > reversible:
		return c.refuse("payout-reversal-time-limit-exceeded")
	case c.rule.Fault == fault.Failed: // by default the recipient has spent it
		return c.refuse(or(c.rule.Message, noFunds))
	}
	_, err = s.Book.Reverse(key, s.Clock.Now())
	switch {
	case errors.Is(err, book.ErrNotMoved): // what is answered then is not documented
		return c.invalid("path", "id", "the payout has not succeeded")
	case err != nil:
		return s.lost(c, err)
	case s.spoils(c):
		return string(c.rule.Fault)
	}
	c.w.WriteHeader(200)
	return "reversed"
}
