package lifecycle

import (
	"context"
	"errors"
	"fmt"
)

// runner makes a part of a function that runs until its context ends.
type runner struct {
	name string
	run  func(ctx context.Context) error
	fail func(error)

	cancel context.CancelFunc
	done   chan struct{}
	err    error // of run, once done is closed; nil if fail was told of it
}

func (r *runner) start(ctx context.Context) error {
	// Its turn to end comes in the order of the group, not when the caller's context does.
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(r.done)
		err := safely(ctx, r.run)
		if ctx.Err() != nil {
			r.err = err
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		r.fail(fmt.Errorf("%s: %w", r.name, err))
	}()
	return nil
}

func (r *runner) stop(ctx context.Context) error {
	r.cancel()
	select {
	case <-r.done:
	case <-ctx.Done():
		select {
		case <-r.done: // both: the part is done
		default:
			return fmt.Errorf("still running: %w", ctx.Err())
		}
	}
	if errors.Is(r.err, context.Canceled) {
		return nil
	}
	return r.err
}
