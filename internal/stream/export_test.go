package stream

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// Limits is tested directly, because a real server cannot be given old messages.
var Limits = limits

// Covers and RetryDelay are pure and have more cases than a server should be asked for.
var (
	Covers       = covers
	RetryDelay   = retryDelay
	LastDelivery = lastDelivery
)

// ErrStalled is what the watchdog says; no real server can be made to stall.
var (
	ErrStalled  = errStalled
	NewWatchdog = newWatchdog
)

// Check asks the watchdog.
func (w *watchdog) Check(ctx context.Context, c infoer, delivered bool) error {
	return w.check(ctx, c, delivered)
}

// Context is what a handler gets; an old message cannot be had from a real server.
func (l *Loop) Context(ctx context.Context, m Message) (context.Context, trace.Span) {
	return l.context(ctx, m)
}
