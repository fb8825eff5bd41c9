package provider

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/agogopay/agogo/internal/clock"
)

// Token is a credential with a life.
type Token struct {
	Value string
	Life  time.Duration
}

// Tokens keeps one token, fetches a new one before it expires, and lets one caller fetch while the others wait: token
// endpoints are rate limited more strictly than anything else.
type Tokens struct {
	fetch func(ctx context.Context) (Token, error)
	clock clock.Clock

	mu      sync.Mutex
	value   string
	until   time.Time
	pending *fetching
}

type fetching struct {
	done chan struct{}
	err  error
}

// NewTokens makes a cache around fetch.
func NewTokens(c clock.Clock, fetch func(ctx context.Context) (Token, error)) *Tokens {
	return &Tokens{clock: c, fetch: fetch}
}

// Get returns a token that is not about to expire.
func (t *Tokens) Get(ctx context.Context) (string, error) {
	for {
		t.mu.Lock()
		if t.value != "" && t.clock.Now().Before(t.until) {
			v := t.value
			t.mu.Unlock()
			return v, nil
		}
		f := t.pending
		if f == nil {
			return t.lead(ctx)
		}
		t.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		// The leader's own time may have been over while ours is not: then it is our turn to fetch.
		if f.err != nil && !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return "", f.err
		}
	}
}

// lead fetches for everybody who waits. It is entered with the lock held and leaves without.
func (t *Tokens) lead(ctx context.Context) (string, error) {
	f := &fetching{done: make(chan struct{})}
	t.pending = f
	t.mu.Unlock()

	asked := t.clock.Now()
	tok, err := t.fetch(ctx)

	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.value, t.until = tok.Value, asked.Add(tok.Life-min(time.Minute, tok.Life/10))
	}
	if ctx.Err() != nil && err != nil {
		err = errors.Join(err, ctx.Err())
	}
	f.err, t.pending = err, nil
	close(f.done)
	return tok.Value, err
}

// Forget drops a token that the provider has refused, unless another one has taken its place already.
func (t *Tokens) Forget(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}
