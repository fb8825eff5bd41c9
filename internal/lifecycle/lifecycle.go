// Package lifecycle starts the parts of a process in order, tells whether they are ready, and stops them in reverse
// order within a budget, whatever made it stop: a signal, a failed part, or the caller.
package lifecycle

import (
	"context"
	"log/slog"
	"time"
)

// Group is an ordered set of parts.
type Group struct{}

// New makes an empty group; stopBudget bounds the whole stop (0: 20 s).
func New(logger *slog.Logger, stopBudget time.Duration) *Group { panic("contract") }

// Add appends a part with a start that returns when it is up and a stop; either may be nil.
func (g *Group) Add(name string, start, stop func(ctx context.Context) error) { panic("contract") }

// Go appends a part that runs until its context ends. Returning earlier, or with an error other than the context's, stops
// the group with that error.
func (g *Group) Go(name string, run func(ctx context.Context) error) { panic("contract") }

// Check appends a readiness check.
func (g *Group) Check(name string, check func(ctx context.Context) error) { panic("contract") }

// Run starts all parts, calls started (may be nil) when they are up, and blocks until ctx ends or a part fails; then it
// becomes unready and stops all parts in reverse. It returns nil when ctx ended it and every part stopped cleanly.
func (g *Group) Run(ctx context.Context, started func()) error { panic("contract") }

// Ready says why the group is not ready, or nil.
func (g *Group) Ready(ctx context.Context) error { panic("contract") }
