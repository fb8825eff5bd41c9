// Package batch writes together what many wait for at once, each of them alone: in few transactions, and so that how long anybody
// waits has a bound.
package batch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Config bounds the batches of a [Writer].
type Config struct {
	// Most is how many things are written at once. It must be as many as can wait at once: then whatever waits is in the next batch.
	Most int
	// Pace is the least time between the beginnings of two batches.
	Pace time.Duration
	// Limit is for one batch with all its halves. Who comes during a batch waits for that one and for its own, so for at most twice this, and the pace.
	Limit time.Duration
}

// Deps are what a writer needs.
type Deps[T any] struct {
	// Write writes all of some, or nothing. It ends when its context does.
	Write func(ctx context.Context, some []T) error
	// Passing reports whether an error is nobody's of those that were to be written, so that writing fewer of them would not help.
	Passing func(error) bool
	// Apart reports whether a thing needs what others may hold: such things come last in a batch, so that the halves of those that need nothing are
	// written first however many there are. May be nil.
	Apart  func(T) bool
	Logger *slog.Logger
}

// Writer writes what it is given in batches.
type Writer[T any] struct {
	cfg  Config
	deps Deps[T]
	in   chan waiting[T]
}

// New makes a writer; [Writer.Run] must run while it is given anything.
func New[T any](c Config, d Deps[T]) *Writer[T] {
	return &Writer[T]{cfg: c, deps: d, in: make(chan waiting[T])}
}

// waiting is a thing and who waits for it.
type waiting[T any] struct {
	thing T
	done  chan error
}

// Put waits until a thing is written, and returns what kept it from being. When ctx ends before, it may yet be written.
func (w *Writer[T]) Put(ctx context.Context, thing T) error {
	it := waiting[T]{thing, make(chan error, 1)}
	select {
	case w.in <- it:
	case <-ctx.Done():
		return fmt.Errorf("wait for a transaction: %w", ctx.Err())
	}
	select {
	case err := <-it.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the transaction's end: %w", ctx.Err())
	}
}

// Run writes batches until ctx ends. It must be stopped after those who put something in.
func (w *Writer[T]) Run(ctx context.Context) error {
	next := time.After(0)
	for {
		select {
		case it := <-w.in:
			batch := w.gather(it, next)
			next = time.After(w.cfg.Pace)
			w.finish(ctx, batch)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gather takes what waits until the next batch may begin, and then what waits at that moment. A lone thing is not delayed: when
// it comes, that moment has passed.
func (w *Writer[T]) gather(first waiting[T], next <-chan time.Time) []waiting[T] {
	batch := []waiting[T]{first}
	for due := false; len(batch) < w.cfg.Most; {
		select {
		case it := <-w.in:
			batch = append(batch, it)
			continue
		default:
		}
		if due {
			return batch
		}
		select {
		case it := <-w.in:
			batch = append(batch, it)
		case <-next:
			due = true
		}
	}
	return batch
}

// finish writes a batch, or what can be written of it, and answers everybody within the limit. One thing that cannot be written must not keep the
// others from it, nor make each wait for a transaction of its own: halves are tried until it is alone, the largest first. That is two
// transactions for each doubling of the batch's size. What was written when the limit ends it stays written.
func (w *Writer[T]) finish(ctx context.Context, batch []waiting[T]) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Limit)
	defer cancel()
	w.order(batch)
	for parts := [][]waiting[T]{batch}; len(parts) > 0; parts = parts[1:] {
		part := parts[0]
		err := w.deps.Write(ctx, things(part))
		if err == nil || len(part) == 1 || ctx.Err() != nil || w.deps.Passing(err) {
			for _, it := range part {
				it.done <- err
			}
			continue
		}
		w.deps.Logger.WarnContext(ctx, "a transaction failed; its halves are tried", "things", len(part), "error", err)
		middle := len(part) / 2
		parts = append(parts, part[:middle], part[middle:])
	}
}

// order puts last what stands apart. Among themselves things stay in the order in which they came.
func (w *Writer[T]) order(batch []waiting[T]) {
	if w.deps.Apart == nil {
		return
	}
	slices.SortStableFunc(batch, func(a, b waiting[T]) int {
		switch first, second := w.deps.Apart(a.thing), w.deps.Apart(b.thing); {
		case first == second:
			return 0
		case first:
			return 1
		default:
			return -1
		}
	})
}

func things[T any](all []waiting[T]) []T {
	some := make([]T, len(all))
	for i, it := range all {
		some[i] = it.thing
	}
	return some
}
