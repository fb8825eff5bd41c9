package orange

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// recent remembers when a payee was last paid which amount.
type recent struct {
	seed   maphash.Seed
	shards [64]struct {
		mu   sync.Mutex
		last map[uint64]int64
	}
}

func newRecent() *recent {
	r := &recent{seed: maphash.MakeSeed()}
	r.reset()
	return r
}

type likeness struct {
	peer   string
	amount int64
}

// paid notes a payment, unless one like it was noted within the window: then it says true.
func (r *recent) paid(p book.Payment, now time.Time, window time.Duration) bool {
	k := maphash.Comparable(r.seed, likeness{p.Peer, p.Amount})
	s := &r.shards[k%uint64(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[k]; ok && now.Sub(time.Unix(0, last)) < window {
		return true
	}
	s.last[k] = now.UnixNano()
	return false
}

func (r *recent) reset() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.last = map[uint64]int64{}
		s.mu.Unlock()
	}
}
