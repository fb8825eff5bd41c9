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
func Real() Clock { panic("contract") }

// Offset runs with the machine's clock, shifted so that it shows from at this moment.
func Offset(from time.Time) Clock { panic("contract") }

// Virtual stands still until it is moved.
type Virtual struct{}

// NewVirtual makes a clock that shows at.
func NewVirtual(at time.Time) *Virtual { panic("contract") }

// Now is the virtual time.
func (v *Virtual) Now() time.Time { panic("contract") }

// Sleep waits until the clock was moved by d.
func (v *Virtual) Sleep(ctx context.Context, d time.Duration) error { panic("contract") }

// Advance moves the clock and wakes those whose time has come.
func (v *Virtual) Advance(d time.Duration) { panic("contract") }
