package cielo

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// dispute is a holder's objection to a transaction, from a time on.
type dispute struct {
	at       time.Time
	minor    int64
	accepted bool // by the shop
}

// Refund gives back a part of what was charged for an order, or with 0 all that is left, and notifies. The newest transaction that
// has as much left gives it, as the documentation says of voiding by order.
func (s *Server) Refund(order string, minor int64) error {
	now, ids := s.Clock.Now(), s.of(order)
	for _, id := range slices.Backward(ids) {
		e, err := s.Book.Refund(id, minor, now)
		if errors.Is(err, book.ErrNotMoved) {
			continue
		}
		if err != nil {
			return err
		}
		s.posts.Start(s.notice(e, changeStatus, now))
		return nil
	}
	return fmt.Errorf("nothing was charged for order %q, or not as much is left of it", order)
}

// Dispute makes the holder of the newest charged transaction of an order dispute an amount of it, or with 0 all of it, from now on,
// and notifies.
func (s *Server) Dispute(order string, minor int64) error {
	now, ids := s.Clock.Now(), s.of(order)
	for _, id := range slices.Backward(ids) {
		e, ok, err := s.Book.Lookup(id, now)
		if err != nil {
			return err
		}
		if !ok || e.Status != book.Success {
			continue
		}
		if minor == 0 {
			minor = e.MovedMinor
		}
		if minor < 0 || minor > e.MovedMinor {
			return fmt.Errorf("order %q was charged %d, so %d of it cannot be disputed", order, e.MovedMinor, minor)
		}
		s.dispute(id, dispute{at: now, minor: minor})
		s.posts.Start(s.notice(e, changeChargeback, now))
		return nil
	}
	return fmt.Errorf("order %q was not charged, so nobody can dispute it", order)
}

// AcceptDispute has the shop accept the disputes of an order, and notifies.
func (s *Server) AcceptDispute(order string) error {
	now, found := s.Clock.Now(), false
	for _, id := range s.of(order) {
		if !s.accept(id, now) {
			continue
		}
		found = true
		e, _, err := s.Book.Lookup(id, now)
		if err != nil {
			return err
		}
		s.posts.Start(s.notice(e, changeChargeback, now))
	}
	if !found {
		return fmt.Errorf("nobody disputes order %q", order)
	}
	return nil
}

func (s *Server) dispute(paymentID string, d dispute) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disputes[paymentID] = append(s.disputes[paymentID], d)
}

func (s *Server) accept(paymentID string, now time.Time) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.disputes[paymentID] {
		if d := &s.disputes[paymentID][i]; !now.Before(d.at) {
			d.accepted, found = true, true
		}
	}
	return found
}

// disputesOf are those of a transaction, also those to come.
func (s *Server) disputesOf(paymentID string) []dispute {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.disputes[paymentID])
}

// chargebacks are what the query host tells of a transaction's disputes. Each has a number of its own.
func (s *Server) chargebacks(e book.Entry, odd bool) (all []chargeback) {
	now := s.Clock.Now()
	for i, d := range s.disputesOf(e.Reference) {
		if now.Before(d.at) {
			continue
		}
		status := "Received"
		if d.accepted {
			status = "AcceptedByMerchant"
		}
		all = append(all, chargeback{
			Amount: number{d.minor, odd}, CaseNumber: fmt.Sprintf("%09d", (digest(e.Reference)+uint64(i))%1_000_000_000), Date: stamp(d.at)[:len(time.DateOnly)],
			ReasonCode: "1040", ReasonMessage: "Transacao nao reconhecida", Status: status,
		})
	}
	return all
}

// takenBack tells what was given back of a charged transaction. What went back whole is voided on the day of the sale, and refunded
// later; of a part only the amount tells.
func takenBack(p *paymentAnswer, e book.Entry, odd bool) {
	if e.Refunded == 0 {
		return
	}
	p.VoidedAmount, p.VoidedDate = &number{e.Refunded, odd}, stamp(e.RefundedAt)
	if e.Refunded < e.MovedMinor {
		return
	}
	p.Status.value, p.ReturnMessage = statusRefunded, "Transacao estornada"
	if stamp(e.RefundedAt)[:len(time.DateOnly)] == stamp(e.FirstAt)[:len(time.DateOnly)] {
		p.Status.value, p.ReturnMessage = statusVoided, "Transacao cancelada"
	}
}
