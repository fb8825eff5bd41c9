package run_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run"
)

// A person cancels a queued run at the moment the one before it ends: each holds what the other one wants next, and neither waits for it.
// The run after it starts only when it is known not to be the turn of the one that is held.
func TestAQueuedRunIsCancelledWhileTheOneBeforeItEnds(t *testing.T) {
	t.Parallel()
	for _, cancelled := range []bool{true, false} {
		b := newBakery(t)
		ends, held, later := b.mustFire(first), b.mustFire("2025-01-25T23:59:00Z"), b.mustFire("2025-01-26T23:59:00Z")
		person, err := b.runs.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = person.Rollback(context.WithoutCancel(t.Context())) }()
		r, err := b.runs.Lock(t.Context(), person, held)
		if err != nil {
			t.Fatal(err)
		}
		err = pg.InTx(b.ctx(), b.runs.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SET LOCAL lock_timeout = '2s'"); err != nil {
				return err
			}
			one, err := b.runs.Lock(t.Context(), tx, ends)
			if err != nil {
				return err
			}
			return b.runs.Finish(b.ctx(), tx, one, run.Completed, "")
		})
		if err != nil {
			t.Fatalf("the end of a run waits for who holds the next one: %v", err)
		}
		if one, two := b.get(held).State, b.get(later).State; one != run.Queued || two != run.Queued {
			t.Errorf("the run that is held is %s and the one after it %s, before it is known whose turn it is", one, two)
		}
		want := map[bool][2]string{true: {run.Completed, run.Running}, false: {run.Running, run.Queued}}[cancelled]
		if cancelled {
			if err := b.runs.Cancel(b.ctx(), person, r); err != nil {
				t.Fatal(err)
			}
			if err := person.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := person.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.sweep(b.sweeper())
		}
		if got := [2]string{b.get(held).State, b.get(later).State}; got != want {
			t.Errorf("cancelled %t: the run is %s and the one after it %s, want %v", cancelled, got[0], got[1], want)
		}
	}
}
