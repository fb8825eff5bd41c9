package provider

import (
	"context"
	"sync"
	"time"

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
	changed chan struct{} // closed and replaced when a slot becomes free
}

// NewThrottle makes a Throttle that has everything until Share is called. A rate or concurrency of 0 or less is 1 slot and
// no bound on the rate.
func NewThrottle(perSecond, concurrency int) *Throttle {
	t := &Throttle{
		perSecond: float64(perSecond), concurrency: max(1, concurrency),
		limiter: rate.NewLimiter(rate.Inf, 1), changed: make(chan struct{}),
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

// gather is how long a free slot waits for others: they come back a few at a time, and what is done with them costs less
// for many at once. Providers take longer than this to answer.
const gather = 5 * time.Millisecond

// Slots takes up to most free slots. It waits until there is at least one, and a moment for half of all to be free.
func (t *Throttle) Slots(ctx context.Context, most int) (int, error) {
	var enough <-chan time.Time
	waited := false
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		t.mu.Lock()
		n := min(most, t.share-t.used)
		if n > 0 && (waited || n >= min(most, (t.share+1)/2)) {
			t.used += n
			t.mu.Unlock()
			return n, nil
		}
		changed := t.changed
		t.mu.Unlock()
		if n > 0 && enough == nil {
			timer := time.NewTimer(gather)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case <-changed:
		case <-enough:
			waited = true
		case <-ctx.Done():
		}
	}
}

// Free gives n slots back.
func (t *Throttle) Free(n int) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used -= n
	t.wake()
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

// Capacity is the number of slots of all replicas together.
func (t *Throttle) Capacity() int { return t.concurrency }
