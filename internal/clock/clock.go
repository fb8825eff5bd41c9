// Package clock is the only source of wall time. Business times reach SQL as parameters from here; only leases use
// database time.
package clock

import (
	"context"
	"time"
)

// Clock tells and waits for time.
type Clock interface {
	Now() time.Time
	// Sleep waits for d or until ctx ends, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Real is the machine's clock.
func Real() Clock { return machine{} }

// Offset runs with the machine's clock, shifted so that it shows from at this moment.
func Offset(from time.Time) Clock {
	// Both keep a monotonic reading where they can: from is moved by the time that passed, so that a step of the
	// machine's clock does not move this one.
	return offset{from: from, began: time.Now()}
}

type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) Sleep(ctx context.Context, d time.Duration) error { return sleep(ctx, d) }

type offset struct {
	from, began time.Time
}

func (o offset) Now() time.Time { return o.from.Add(time.Since(o.began)) }

func (offset) Sleep(ctx context.Context, d time.Duration) error { return sleep(ctx, d) }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
