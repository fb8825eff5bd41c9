package sweep_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const evening = "2025-01-24T23:59:00Z"

func sweeper(e *payoutstest.Env) *run.Sweeper {
	log := slog.New(slog.DiscardHandler)
	outcomes := outcome.New(outcome.Deps{Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: &connector.Set{}, Logger: log})
	return sweep.New(e.Store, outcomes, &precheck.Gate{Clock: e.Clock, Reference: payout.Reference, MustTell: attempt.MustTellPayee}, log, nil)
}

func once(t *testing.T, s *run.Sweeper) {
	t.Helper()
	if err := s.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// payees imports n payees with one payment each.
func payees(e *payoutstest.Env, n int, amount int64) {
	csv := payoutstest.Header
	for i := range n {
		csv += payoutstest.Pay(fmt.Sprintf("p%d", i), fmt.Sprintf("drv-%02d", i), amount, "2025-01-24T10:00:00Z")
	}
	e.Import(csv)
}

// commands lists the commands so far: verb, page and what tells emissions apart.
func commands(e *payoutstest.Env) map[string]int {
	n := map[string]int{}
	for _, m := range e.Messages(stream.Commands) {
		id, nonce, again := strings.Cut(m.ID, "#")
		verb, target, _ := strings.Cut(id, "/")
		_, page, _ := strings.Cut(target, "/")
		key := verb + " " + page
		if again && nonce != "" {
			key += " again"
		}
		n[key]++
	}
	return n
}

func states(e *payoutstest.Env) map[string]int {
	n := map[string]int{}
	for _, p := range e.Payouts() {
		n[p.GetState()]++
	}
	return n
}

// move takes every payout that is in one state to another.
func move(t *testing.T, e *payoutstest.Env, from, to payout.State, retryAt *time.Time) {
	t.Helper()
	var changes []store.Change
	for id, p := range e.Payouts() {
		if p.GetState() == string(from) {
			changes = append(changes, store.Change{PayoutID: uuid.MustParse(id), From: []payout.State{from}, To: to, RetryAt: retryAt})
		}
	}
	e.InTx(func(tx pgx.Tx) error { _, err := e.Store.Apply(e.Ctx(), tx, changes); return err })
}

func TestALostPlanCommandIsEmittedAgain(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 3, 10_000)
	e.Planner.PageSize = 2
	if err := e.Fire(payoutstest.Daily(evening), "tick"); err != nil {
		t.Fatal(err)
	}
	s := sweeper(e)
	once(t, s)
	if diff := cmp.Diff(map[string]int{"plan 0": 1}, commands(e)); diff != "" {
		t.Errorf("a run that has just moved (-want +got):\n%s", diff)
	}
	e.Clock.Advance(31 * time.Second)
	once(t, s)
	once(t, sweeper(e)) // another replica: touched, so the next look is a patience away
	if diff := cmp.Diff(map[string]int{"plan 0": 1, "plan 0 again": 1}, commands(e)); diff != "" {
		t.Errorf("a run that stands still (-want +got):\n%s", diff)
	}
	var ids []string
	for _, m := range e.Messages(stream.Commands) {
		ids = append(ids, m.Headers["ce-id"])
	}
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("ce-ids %v: a command emitted again is the same command", ids)
	}
	e.Work()
	if n := states(e)["approved"]; n != 3 {
		t.Errorf("%d payouts planned, want 3", n)
	}
	e.CheckEvents()
}

// A command that died with its process is emitted again by the next one, long before JetStream would deliver it to anybody.
func TestTheFirstLookAfterAStartIsNotPatient(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 3, 10_000)
	if err := e.Fire(payoutstest.Daily(evening), "tick"); err != nil {
		t.Fatal(err)
	}
	before := sweeper(e)
	once(t, before)
	e.Clock.Advance(3 * time.Second)
	once(t, before)
	if diff := cmp.Diff(map[string]int{"plan 0": 1}, commands(e)); diff != "" {
		t.Errorf("the process that has run for a while (-want +got):\n%s", diff)
	}
	once(t, sweeper(e))
	if diff := cmp.Diff(map[string]int{"plan 0": 1, "plan 0 again": 1}, commands(e)); diff != "" {
		t.Errorf("the one that has just started (-want +got):\n%s", diff)
	}
}

func TestALostDispatchCommandIsEmittedAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		hinder func(e *payoutstest.Env)
		want   int
	}{
		"nothing in the way": {func(*payoutstest.Env) {}, 1},
		"batch paused":       {func(e *payoutstest.Env) { e.SQL("UPDATE batches SET control = 'paused', state = 'paused'") }, 0},
		"tenant stopped":     {func(e *payoutstest.Env) { e.SQL("UPDATE outflows SET stopped = true") }, 0},
		"provider stopped":   {func(e *payoutstest.Env) { e.StopProviders("lebenis/orange") }, 0},
		"not before a time":  {func(e *payoutstest.Env) { e.SQL("UPDATE payouts SET retry_at = $1", e.Clock.Now().Add(time.Hour)) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			payees(e, 2, 10_000)
			e.Run(payoutstest.Daily(evening))
			s := sweeper(e)
			once(t, s)
			if n := commands(e)["dispatch 0 again"]; n != 0 {
				t.Errorf("%d emissions of what has just been approved", n)
			}
			tt.hinder(e)
			e.Clock.Advance(31 * time.Second)
			once(t, s)
			if n := commands(e)["dispatch 0 again"]; n != tt.want {
				t.Errorf("%d emissions, want %d", n, tt.want)
			}
		})
	}
}

// Payouts of one page are released one soon after the other: each wakes the page by itself, however short the time between, since the
// stream drops what it has had a moment ago.
func TestEachReleaseWakesItsPage(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 3, 10_000)
	e.SQL("UPDATE payees SET state = 'paused'")
	e.Run(payoutstest.Daily(evening))
	s := sweeper(e)
	seen := map[string]bool{}
	for _, payee := range []string{"drv-00", "drv-01", "drv-02"} {
		e.SQL("UPDATE payees SET state = 'active' WHERE payee_id = $1", payee)
		once(t, s)
		for _, m := range e.Messages(stream.Commands) {
			if strings.HasPrefix(m.ID, "dispatch/") {
				seen[m.ID] = true
			}
		}
	}
	if n := states(e)["approved"]; n != 3 || len(seen) != 3 {
		t.Errorf("%d payouts released, %d wake-ups, want 3 of each: %v", n, len(seen), seen)
	}
}

func TestHeldPayoutsAreReleasedWhenTheirCauseIsGone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ hold, lift func(e *payoutstest.Env) }{
		"tenant stop": {
			func(e *payoutstest.Env) {
				e.SQL("INSERT INTO outflows (tenant, stopped, changed_at) VALUES ('lebenis', true, now()) ON CONFLICT (tenant) DO UPDATE SET stopped = true")
			},
			func(e *payoutstest.Env) { e.SQL("UPDATE outflows SET stopped = false") },
		},
		"payee paused": {
			func(e *payoutstest.Env) { e.SQL("UPDATE payees SET state = 'paused'") },
			func(e *payoutstest.Env) { e.SQL("UPDATE payees SET state = 'active'") },
		},
		"provider stopped": {
			func(e *payoutstest.Env) { e.StopProviders("lebenis/orange") },
			func(e *payoutstest.Env) { e.StopProviders() },
		},
		"max_per_payout": {
			func(e *payoutstest.Env) { e.Rules().MaxPerPayout = 7999 },
			func(e *payoutstest.Env) { e.Rules().MaxPerPayout = 8000 },
		},
		"daily cap": {
			func(e *payoutstest.Env) { e.Rules().DailyCap = 7999 },
			func(e *payoutstest.Env) { e.Rules().DailyCap = 16_000 },
		},
		"payee's daily cap": {
			func(e *payoutstest.Env) { e.Rules().PayeeDailyCap = 7999 },
			func(e *payoutstest.Env) { e.Rules().PayeeDailyCap = 8000 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			payees(e, 2, 10_000)
			tt.hold(e)
			e.Run(payoutstest.Daily(evening))
			s := sweeper(e)
			once(t, s)
			if diff := cmp.Diff(map[string]int{"held": 2}, states(e)); diff != "" {
				t.Fatalf("while the cause lasts (-want +got):\n%s", diff)
			}
			tt.lift(e)
			once(t, s)
			if diff := cmp.Diff(map[string]int{"approved": 2}, states(e)); diff != "" {
				t.Errorf("when it is gone (-want +got):\n%s", diff)
			}
			if n := commands(e)["dispatch 0 again"]; n != 1 {
				t.Errorf("%d dispatch commands for the released page", n)
			}
			e.CheckEvents()
			e.CheckItems()
		})
	}
}

func TestWhatAPersonHoldsStaysHeld(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	id := uuid.Nil
	for text := range e.Payouts() {
		id = uuid.MustParse(text)
	}
	hold := store.Change{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodeByPerson)}
	e.InTx(func(tx pgx.Tx) error { _, err := e.Store.Apply(e.Ctx(), tx, []store.Change{hold}); return err })
	once(t, sweeper(e))
	if diff := cmp.Diff(map[string]int{"held": 1}, states(e)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReleaseIsFirstComeFirstServed: of what the day's cap lets through, the oldest go first, page by page.
func TestReleaseIsFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 3, 10_000)
	e.Rules().DailyCap = 1
	e.Run(payoutstest.Daily(evening))
	e.Clock.Advance(time.Hour)
	payees2 := payoutstest.Header
	for i := range 3 {
		payees2 += payoutstest.Pay(fmt.Sprintf("q%d", i), fmt.Sprintf("aaa-%d", i), 10_000, "2025-01-25T10:00:00Z")
	}
	e.Import(payees2)
	e.Finish()
	e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	e.Rules().DailyCap = 4 * 8000
	s := sweeper(e)
	once(t, s)
	first, second := 0, 0
	for _, p := range e.Payouts() {
		if p.GetState() == "approved" && p.GetPeriodDate() == "2025-01-24" {
			first++
		} else if p.GetState() == "approved" {
			second++
		}
	}
	if first != 3 || second != 1 {
		t.Errorf("%d of the first evening and %d of the second were released; want 3 and 1", first, second)
	}
	once(t, s)
	if n := states(e)["approved"]; n != 4 {
		t.Errorf("%d approved: the cap was passed", n)
	}
	e.Clock.Advance(24 * time.Hour) // a new day, a new cap
	once(t, s)
	if n := states(e)["approved"]; n != 6 {
		t.Errorf("%d approved on the next day, want 6", n)
	}
}

func TestFailedPayoutsAreTriedAgainWhenDue(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().PauseAboveFailureRate = 0
	payees(e, 3, 10_000)
	e.Run(payoutstest.Daily(evening))
	move(t, e, payout.Approved, payout.Submitting, nil)
	due := e.Clock.Now().Add(time.Minute)
	move(t, e, payout.Submitting, payout.Failed, &due)
	e.SQL("UPDATE payees SET state = 'paused' WHERE payee_id = 'drv-02'")
	s := sweeper(e)
	once(t, s)
	if n := states(e)["failed"]; n != 3 {
		t.Fatalf("%d failed before retry_at", n)
	}
	e.Clock.Advance(time.Minute)
	once(t, s)
	if diff := cmp.Diff(map[string]int{"approved": 2, "held": 1}, states(e)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := commands(e)["dispatch 0 again"]; n == 0 {
		t.Error("nobody was woken")
	}
	e.CheckItems()
	e.CheckEvents()
}

func TestTheSweeperSettlesAndStarts(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 2, 10_000)
	e.Run(payoutstest.Daily(evening))
	if err := e.Fire(payoutstest.Daily("2025-01-25T23:59:00Z"), "next"); err != nil {
		t.Fatal(err)
	}
	move(t, e, payout.Approved, payout.Submitting, nil)
	move(t, e, payout.Submitting, payout.Unknown, nil) // and nobody settled
	s := sweeper(e)
	once(t, s)
	e.Work()
	if n := e.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 2 {
		t.Errorf("%d of 2 runs completed", n)
	}
	move(t, e, payout.Unknown, payout.Succeeded, nil)
	once(t, s)
	if n := e.Count("SELECT count(*) FROM batches WHERE state = 'completed'"); n != 2 {
		t.Errorf("%d of 2 batches completed", n)
	}
	// A start that was lost, as after a crash between two versions of the service.
	e.SQL("UPDATE runs SET state = 'queued', version = 0, planned = false, page = 0 WHERE local_date = '2025-01-25'")
	e.SQL("DELETE FROM outbox_parcels WHERE EXISTS (SELECT FROM unnest(subjects) s WHERE s LIKE '%.run.%')")
	once(t, s)
	if n := e.Count("SELECT count(*) FROM runs WHERE state = 'running'"); n != 1 {
		t.Errorf("%d runs started", n)
	}
}

// TestManySweepersAtOnce: replicas sweep together; each payout is released once.
func TestManySweepersAtOnce(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 40, 10_000)
	e.StopProviders("lebenis/orange")
	e.Run(payoutstest.Daily(evening))
	e.StopProviders()
	var all sync.WaitGroup
	for range 6 {
		s := sweeper(e)
		all.Go(func() {
			if err := s.Once(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	once(t, sweeper(e)) // whoever found a step taken left it
	if diff := cmp.Diff(map[string]int{"approved": 40}, states(e)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	released := 0
	for _, ty := range e.EventTypes("payout") {
		if ty == "payout.released" {
			released++
		}
	}
	if released != 40 {
		t.Errorf("%d released events of 40 payouts", released)
	}
	e.CheckEvents()
}

func TestRunSweepsByTheClockUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	if err := e.Fire(payoutstest.Daily(evening), "tick"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- sweeper(e).Run(ctx) }()
	for range 20 { // 40 s in steps of a sweep
		if err := e.Clock.BlockUntil(ctx, 1); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(2 * time.Second)
	}
	if err := e.Clock.BlockUntil(ctx, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	// At 2 s, since it has just started, and at 32 s.
	if diff := cmp.Diff(map[string]int{"plan 0": 1, "plan 0 again": 2}, commands(e)); diff != "" {
		t.Errorf("after 40 s (-want +got):\n%s", diff)
	}
}

// Each queue of held payouts is looked at in a transaction of its own: one that cannot be released keeps no other waiting.
func TestOneQueueThatCannotBeReleasedCostsItself(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	payees(e, 4, 10_000)
	e.Rules().DailyCap = 1
	e.Run(payoutstest.Daily(evening))
	e.SQL("UPDATE payouts SET provider = 'another' WHERE payee_id = (SELECT min(payee_id) FROM payouts)")
	e.Rules().DailyCap = 0
	e.Tenants.Tenants[0].Providers["another"] = e.Tenants.Tenants[0].Providers["orange"]
	e.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (provider <> 'another' OR state <> 'approved')")
	s := sweeper(e)
	for range 2 {
		_ = s.Once(t.Context()) // the first queue fails, by the alphabet
	}
	if got := states(e); got["approved"] != 3 || got["held"] != 1 {
		t.Errorf("got %v", got)
	}
}
