package clock

import (
	"context"
	"sync"
	"time"
)

// Virtual stands still until it is moved. Any number of goroutines may read it, sleep on it and move it.
type Virtual struct {
	mu       sync.Mutex
	now      time.Time
	sleepers map[*sleeper]struct{}
	changed  chan struct{} // closed and replaced whenever a sleeper comes or goes
}

type sleeper struct {
	until time.Time
	wake  chan struct{}
}

// NewVirtual makes a clock that shows at.
func NewVirtual(at time.Time) *Virtual {
	return &Virtual{now: at, sleepers: map[*sleeper]struct{}{}, changed: make(chan struct{})}
}

// Now is the virtual time.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Sleep waits until the clock was moved by d.
func (v *Virtual) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	s := v.add(d)
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		v.remove(s)
		return ctx.Err()
	}
}

// Advance moves the clock and wakes those whose time has come.
func (v *Virtual) Advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.move(v.now.Add(d))
}

// Set moves the clock to at and wakes those whose time has come. Moving it back is allowed: machines' clocks step too.
func (v *Virtual) Set(at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.move(at)
}

// BlockUntil waits until at least n goroutines sleep on the clock, so that a test moves it only when those it means to
// wake are there. It returns ctx's error if that ends first.
func (v *Virtual) BlockUntil(ctx context.Context, n int) error {
	for {
		v.mu.Lock()
		enough, changed := len(v.sleepers) >= n, v.changed
		v.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *Virtual) move(to time.Time) {
	v.now = to
	for s := range v.sleepers {
		if !s.until.After(to) {
			delete(v.sleepers, s)
			close(s.wake)
		}
	}
	v.tell()
}

func (v *Virtual) add(d time.Duration) *sleeper {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := &sleeper{until: v.now.Add(d), wake: make(chan struct{})}
	v.sleepers[s] = struct{}{}
	v.tell()
	return s
}

func (v *Virtual) remove(s *sleeper) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.sleepers, s)
	v.tell()
}

func (v *Virtual) tell() {
	close(v.changed)
	v.changed = make(chan struct{})
}
