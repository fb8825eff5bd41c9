package cielo

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// add makes a transaction of an order. Its id follows from the order and the number of the transaction.
func (s *Server) add(order string) (paymentID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.orders[order]) + 1
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", order, n))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	paymentID = fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	s.orders[order] = append(s.orders[order], paymentID)
	return paymentID
}

// of are the transactions of an order, oldest first.
func (s *Server) of(order string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orders[order])
}

// index finds the orders of a book that was read from a file.
func (s *Server) index() error {
	var all []book.Entry
	err := s.Book.Each(s.Clock.Now(), func(e book.Entry) bool {
		all = append(all, e)
		return true
	})
	slices.SortFunc(all, func(a, b book.Entry) int {
		return cmp.Or(a.FirstAt.Compare(b.FirstAt), cmp.Compare(a.Reference, b.Reference))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range all {
		s.orders[e.Account] = append(s.orders[e.Account], e.Reference)
	}
	return err
}

// Dispute makes the holder of every charged transaction of an order dispute it from now on, and notifies. It says how many
// there were.
func (s *Server) Dispute(order string) (int, error) {
	now, n := s.Clock.Now(), 0
	for _, id := range s.of(order) {
		e, ok, err := s.Book.Lookup(id, now)
		if err != nil {
			return n, err
		}
		if ok && e.Status == book.Success {
			n++
			s.dispute(id, now)
			s.posts.Start(s.disputeNotice(e, now))
		}
	}
	return n, nil
}

func (s *Server) dispute(paymentID string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disputes[paymentID] = at
}

func (s *Server) disputed(paymentID string, now time.Time) (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok = s.disputes[paymentID]
	return at, ok && !now.Before(at)
}
