package run_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
)

func (b *bakery) sweeper(steps ...run.Step) *run.Sweeper {
	return &run.Sweeper{Runs: b.runs, Logger: slog.New(slog.DiscardHandler), Settle: b.runs.Settle, Steps: steps}
}

func (b *bakery) sweep(s *run.Sweeper) {
	b.t.Helper()
	if err := s.Once(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func TestTheSweeperStartsSettlesAndWakes(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	next := b.mustFire("2025-01-25T23:59:00Z")
	s := b.sweeper()
	b.sweep(s)
	if n := len(b.messages(stream.Commands, 0)); n != 1 {
		t.Errorf("%d commands: the first look of a process is patient for one sweep's time", n)
	}
	b.clock.Advance(31 * time.Second) // the command is lost
	b.sweep(s)
	b.sweep(s)
	all := b.messages(stream.Commands, 0)
	if len(all) != 2 || all[0].ID == all[1].ID || all[0].Headers["ce-id"] != all[1].Headers["ce-id"] || !strings.Contains(all[1].ID, "#") {
		t.Fatalf("%d commands; the lost one is emitted again, once, under another message id", len(all))
	}
	b.seq = all[0].seq
	b.work()
	b.sql("UPDATE loaves SET raw = false")
	b.sweep(s)
	if r := b.get(id); r.State != run.Completed {
		t.Errorf("a run that is through stays %s", r.State)
	}
	b.sql("UPDATE runs SET state = 'queued' WHERE run_id = $1", next) // its start is lost
	b.sweep(s)
	if r := b.get(next); r.State != run.Running {
		t.Errorf("a queued run stays %s", r.State)
	}
}

// A process that starts takes what has rested for the time of a sweep for lost: the one before it may have died.
func TestANewSweeperIsLessPatient(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	b.mustFire(first)
	b.clock.Advance(3 * time.Second)
	b.sweep(b.sweeper())
	if n := len(b.messages(stream.Commands, 0)); n != 2 {
		t.Errorf("%d commands", n)
	}
}

func TestStepsOfAService(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	var did []string
	step := func(name string, lock int64, wakes bool) run.Step {
		return run.Step{Name: name, Lock: lock, Wakes: wakes, Do: func(ctx context.Context, _ pgx.Tx, turn run.Turn) error {
			c := event.CauseFrom(ctx)
			if c.Actor != "service:bakery" || c.CorrelationID != "sweep" || turn.Limit <= 0 || turn.Nonce == "" {
				t.Errorf("%s: cause %+v, turn %+v", name, c, turn)
			}
			did = append(did, name)
			return nil
		}}
	}
	s := b.sweeper(step("wake", 1, true), step("look", 2, false))
	for range 3 {
		b.sweep(s)
		b.clock.Advance(15 * time.Second)
	}
	if diff := cmp.Diff([]string{"look", "wake", "look", "look", "wake"}, did); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	did = nil
	b.inTx(func(ctx context.Context, tx pgx.Tx) error { // another replica is at it
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 2))")
		if err == nil {
			b.sweep(s)
		}
		return err
	})
	if len(did) != 0 {
		t.Errorf("%v were done twice at once", did)
	}
}

func TestASweeperStopsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.sweeper().Run(ctx) }()
	if err := b.clock.BlockUntil(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A step that has more to do goes on in transactions of its own: what fails does not undo what came before it.
func TestAStepGoesOnInTransactionsOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	if _, err := b.runs.Pool.Exec(t.Context(), "CREATE TABLE looked (queue integer)"); err != nil {
		t.Fatal(err)
	}
	left, failing := 4, true
	step := run.Step{
		Name: "look", Lock: 9101, More: func() bool { return left > 0 },
		Do: func(ctx context.Context, tx pgx.Tx, _ run.Turn) error {
			left--
			_, err := tx.Exec(ctx, "INSERT INTO looked VALUES ($1)", left)
			if left == 1 && failing {
				return errors.New("this one cannot")
			}
			return err
		},
	}
	count := func() (n int) {
		if err := b.runs.Pool.QueryRow(t.Context(), "SELECT count(*) FROM looked").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	s := b.sweeper(step)
	if err := s.Once(t.Context()); err == nil || count() != 2 {
		t.Errorf("%v; %d of the two before the failing one are kept", err, count())
	}
	failing = false
	if b.sweep(s); left != 0 || count() != 3 {
		t.Errorf("the next sweep leaves %d, %d are kept", left, count())
	}
}
