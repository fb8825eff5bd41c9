package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var errStalled = errors.New("the server holds messages and delivers none")

// watchdog notices a consumer that has messages and delivers none. It asks the server only while nothing arrives, and
// then rarely: consumer info is not for polling.
type watchdog struct {
	patience time.Duration
	quiet    *time.Timer
}

// infoer is the part of a consumer that the watchdog asks.
type infoer interface {
	Info(ctx context.Context) (*jetstream.ConsumerInfo, error)
}

func newWatchdog(patience time.Duration) *watchdog {
	return &watchdog{patience: patience, quiet: time.NewTimer(patience)}
}

func (w *watchdog) check(ctx context.Context, c infoer, delivered bool) error {
	if delivered {
		w.quiet.Reset(w.patience)
		return nil
	}
	select {
	case <-w.quiet.C:
		w.quiet.Reset(w.patience)
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := c.Info(ctx)
	if err != nil {
		return fmt.Errorf("consumer is silent and cannot be asked: %w", err)
	}
	// Not a stall: a pause that somebody ordered, and others that hold as much as may be out at once.
	full := info.Config.MaxAckPending > 0 && info.NumAckPending >= info.Config.MaxAckPending
	if info.NumPending == 0 || info.Paused || full {
		return nil
	}
	return fmt.Errorf("consumer %s: %w: %d wait", info.Name, errStalled, info.NumPending)
}
