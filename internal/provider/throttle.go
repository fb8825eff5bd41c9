package provider

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// Throttle is the capacity of one connector in this process. Slots bound how many transfers are open at once, and so how
// many can be of unknown outcome when the process dies; the rate bounds how many calls begin per second. What is configured
// is the provider's whole capacity: a process takes its share of it, by the number of replicas.
type Throttle struct {
	perSecond   float64
	concurrency int
	limiter     *rate.Limiter

	mu      sync.Mutex
	share   int // slots of this process
	used    int
	parts   map[string]*part // by whom they are for: those that hold slots or wait for some
	turns   uint64           // grants so far
	changed chan struct{}    // closed and replaced when there may be slots for somebody who waits
}

// NewThrottle makes a Throttle that has everything until Share is called. A rate or concurrency of 0 or less is 1 slot and
// no bound on the rate.
func NewThrottle(perSecond, concurrency int) *Throttle {
	t := &Throttle{
		perSecond: float64(perSecond), concurrency: max(1, concurrency),
		limiter: rate.NewLimiter(rate.Inf, 1), parts: map[string]*part{}, changed: make(chan struct{}),
	}
	t.Share(1)
	return t
}

// Share divides rate and slots by the number of replicas; at least one slot remains, so with more replicas than slots the
// sum is the number of replicas.
func (t *Throttle) Share(replicas int) {
	replicas = max(1, replicas)
	if t.perSecond > 0 {
		perSecond := t.perSecond / float64(replicas)
		// A quarter of a second's worth may begin at once: enough to send what one transaction claimed.
		t.limiter.SetBurst(max(1, min(t.concurrency, int(perSecond/4))))
		t.limiter.SetLimit(rate.Limit(perSecond))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.share = max(1, t.concurrency/replicas)
	t.wake()
}

func (t *Throttle) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// InUse is the number of slots taken.
func (t *Throttle) InUse() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}

// Take waits until one call may begin and takes as many more, up to most, as may begin right now.
func (t *Throttle) Take(ctx context.Context, most int) (int, error) {
	if err := t.limiter.Wait(ctx); err != nil {
		return 0, err
	}
	return 1 + t.Allow(most-1), nil
}

// Allow takes as many calls, up to most, as may begin right now: none if the rate is used up.
func (t *Throttle) Allow(most int) (n int) {
	for n < most && t.limiter.Allow() {
		n++
	}
	return n
}

// One waits until one call may begin.
func (t *Throttle) One(ctx context.Context) error {
	_, err := t.Take(ctx, 1)
	return err
}

// Rate is how many calls a second all replicas together may begin; 0 is no bound.
func (t *Throttle) Rate() float64 { return t.perSecond }

// Capacity is the number of slots of all replicas together.
func (t *Throttle) Capacity() int { return t.concurrency }
