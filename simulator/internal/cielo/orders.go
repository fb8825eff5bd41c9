package cielo

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

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
