package run_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/run"
)

// lines has runs of n schedules.
func (b *bakery) lines(n int) {
	b.t.Helper()
	for i := range n {
		tick := b.tick(first)
		tick.Schedule = fmt.Sprintf("oven-%d", i)
		tick.TickId = "lebenis/bakery/" + tick.Schedule + "@" + first
		if err := b.fire(tick, tick.Schedule); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Of the runs of five schedules one cannot be moved, as a row with a defect cannot: the others are, it is told of once, shown, and tried again
// until it is mended.
func TestOneRunThatCannotBeMovedCostsItself(t *testing.T) {
	t.Parallel()
	for step, c := range map[string]struct {
		due   func(*bakery) // something is due for all of them
		moved string        // those that it was done for
	}{
		"start_run": {func(b *bakery) { b.sql("UPDATE runs SET state = 'queued'") }, "state = 'running'"},
		"settle_run": {func(b *bakery) {
			b.work()
			b.sql("UPDATE loaves SET raw = false")
		}, "state = 'completed'"},
		"wake_planning": {func(b *bakery) { b.sql("UPDATE runs SET moved_at = '2025-01-01'") }, "moved_at > '2025-01-02'"},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := newBakery(t)
			b.lines(5)
			c.due(b)
			b.sql("ALTER TABLE runs ADD CONSTRAINT defect CHECK (schedule <> 'oven-2' OR (" + c.moved + ") IS NOT TRUE)")
			var log bytes.Buffer
			s := b.sweeper()
			s.Logger, s.Stuck = slog.New(slog.NewTextHandler(&log, nil)), run.StuckGauge("bakery", prometheus.NewRegistry())
			check := func(moved, told, stuck int) {
				t.Helper()
				b.sweep(s)
				var n int
				if err := b.runs.Pool.QueryRow(t.Context(), "SELECT count(*) FROM runs WHERE "+c.moved).Scan(&n); err != nil {
					t.Fatal(err)
				}
				if n != moved {
					t.Errorf("%d were moved, want %d", n, moved)
				}
				if n := strings.Count(log.String(), "the others are, and it is tried again"); n != told {
					t.Errorf("told of %d times, want %d:\n%s", n, told, log.String())
				}
				if n := testutil.ToFloat64(s.Stuck.WithLabelValues(step)); n != float64(stuck) {
					t.Errorf("%v are shown as stuck, want %d", n, stuck)
				}
			}
			b.clock.Advance(time.Minute)
			check(4, 1, 1)
			b.clock.Advance(time.Minute)
			check(4, 1, 1)
			b.clock.Advance(10 * time.Minute)
			check(4, 2, 1)
			b.sql("ALTER TABLE runs DROP CONSTRAINT defect")
			b.clock.Advance(11 * time.Minute)
			check(5, 2, 0)
		})
	}
}

// A schedule that somebody has locked, as a transaction that hangs, keeps the runs of no other from starting.
func TestAScheduleThatIsLockedCostsItself(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	b.lines(3)
	b.sql("UPDATE runs SET state = 'queued'")
	tx, err := b.runs.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/lebenis/oven-1', 7101))")
	if err != nil {
		t.Fatal(err)
	}
	s := b.sweeper()
	b.sweep(s)
	running := func() (n int) {
		if err := b.runs.Pool.QueryRow(t.Context(), "SELECT count(*) FROM runs WHERE state = 'running'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := running(); n != 2 {
		t.Errorf("%d are running, want 2", n)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(61 * time.Second)
	b.sweep(s)
	if n := running(); n != 3 {
		t.Errorf("%d are running once it is free, want 3", n)
	}
}

// A run that cannot be started, as a row with a defect cannot, does not keep the one before it open, and is told of.
func TestARunEndsThoughTheNextCannotBegin(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	next := b.mustFire("2025-01-25T23:59:00Z")
	b.work()
	b.sql("UPDATE loaves SET raw = false")
	b.sql("ALTER TABLE runs ADD CONSTRAINT defect CHECK (local_date <> '2025-01-25' OR state <> 'running')")
	s := b.sweeper()
	b.sweep(s)
	b.sweep(s)
	if got, then := b.get(id).State, b.get(next).State; got != run.Completed || then != run.Queued {
		t.Errorf("it is %s, and the next one %s", got, then)
	}
	if n := testutil.ToFloat64(s.Stuck.WithLabelValues("start_run")); n != 1 {
		t.Errorf("%v are shown as stuck, want 1", n)
	}
	b.sql("ALTER TABLE runs DROP CONSTRAINT defect")
	b.clock.Advance(11 * time.Minute)
	b.sweep(s)
	if got := b.get(next).State; got != run.Running {
		t.Errorf("mended, the next one is %s", got)
	}
}
