package servicetest

import (
	"context"
	"sync"
	"time"
)

// Clock is a clock that a test sets. Who sleeps on it looks again soon by the machine's time, however long they meant to.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock makes a clock that shows a time.
func NewClock(at time.Time) *Clock { return &Clock{at: at} }

// Now is the time that was set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Set sets the time.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// Advance moves the time on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Sleep waits a moment.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(min(d, 100*time.Millisecond)):
	}
	return ctx.Err()
}
