package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const evening = "2025-01-24T23:59:00Z"

// planned imports n payees with one payment each and plans their evening; it returns the payouts in payee order.
func planned(t *testing.T, e *payoutstest.Env, n int) []uuid.UUID {
	t.Helper()
	csv := payoutstest.Header
	for i := range n {
		csv += payoutstest.Pay(fmt.Sprintf("p%d", i), fmt.Sprintf("drv-%03d", i), 10_000, "2025-01-24T10:00:00Z")
	}
	e.Import(csv)
	e.Run(payoutstest.Daily(evening))
	return ids(t, e, "SELECT payout_id FROM payouts ORDER BY payee_id")
}

func ids(t *testing.T, e *payoutstest.Env, sql string) []uuid.UUID {
	t.Helper()
	rows, err := e.Pool.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func apply(t *testing.T, e *payoutstest.Env, changes ...store.Change) []payout.Payout {
	t.Helper()
	var moved []payout.Payout
	e.InTx(func(tx pgx.Tx) (err error) { moved, err = e.Store.Apply(e.Ctx(), tx, changes); return err })
	return moved
}

// through moves payouts along states, each step from the one before, with the step's reason on the last.
func through(t *testing.T, e *payoutstest.Env, id uuid.UUID, reason payout.Reason, states ...payout.State) {
	t.Helper()
	for i := 1; i < len(states); i++ {
		if moved := apply(t, e, store.Change{PayoutID: id, From: states[i-1 : i], To: states[i], Reason: reason}); len(moved) != 1 {
			t.Fatalf("%s → %s moved %d payouts", states[i-1], states[i], len(moved))
		}
	}
}

// begin opens the attempt of a payout that is about to be submitting, and fail ends it.
func begin(t *testing.T, e *payoutstest.Env, id uuid.UUID) (begun attempt.Attempt) {
	t.Helper()
	e.InTx(func(tx pgx.Tx) error {
		all, err := attempt.Begin(e.Ctx(), tx, "me", time.Minute, e.Clock.Now(), []attempt.Start{{
			Key: attempt.Key{Subject: id, Number: 1}, Tenant: payoutstest.Tenant, Provider: "orange", Reference: payout.Reference(id, 1),
			Amount: money.Amount{Minor: 8000, Currency: "XOF"},
		}})
		begun = all[0]
		return err
	})
	return begun
}

func fail(t *testing.T, e *payoutstest.Env, a attempt.Attempt) {
	t.Helper()
	e.InTx(func(tx pgx.Tx) error {
		_, err := attempt.Record(e.Ctx(), tx, e.Clock.Now(), []attempt.Outcome{{Key: a.Key, Owner: "me", Sends: a.Sends, State: attempt.Failed}})
		return err
	})
}

func settle(t *testing.T, e *payoutstest.Env) {
	t.Helper()
	all := ids(t, e, "SELECT run_id FROM runs")
	e.InTx(func(tx pgx.Tx) error { return e.Store.Settle(e.Ctx(), tx, all...) })
}

func TestApplyIsACompareAndSet(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	all := planned(t, e, 3)
	send := func(id uuid.UUID) store.Change {
		return store.Change{
			PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Submitting, Attempt: 1,
			Reference: payout.Reference(id, 1), Provider: "orange",
		}
	}
	apply(t, e, send(all[0]))
	moved := apply(t, e, send(all[0]), send(all[1]), send(all[2]), store.Change{PayoutID: uuid.New(), From: []payout.State{payout.Approved}, To: payout.Submitting})
	var got []uuid.UUID
	for _, p := range moved {
		if p.State != payout.Submitting || p.Previous != payout.Approved || p.Attempt != 1 || p.Version != 3 || p.Reference == "" {
			t.Errorf("moved to %+v", p)
		}
		got = append(got, p.ID)
	}
	slices.SortFunc(got, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	want := []uuid.UUID{all[1], all[2]}
	slices.SortFunc(want, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("moved (-want +got):\n%s", diff)
	}
	e.CheckEvents()
}

func TestApplyRefusesWhatTheTableDoesNotHave(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	id := planned(t, e, 1)[0]
	for _, c := range []store.Change{
		{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Succeeded},
		{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Submitting, Release: true},
	} {
		err := pg.InTx(t.Context(), e.Pool, func(tx pgx.Tx) error { _, err := e.Store.Apply(t.Context(), tx, []store.Change{c}); return err })
		if err == nil {
			t.Errorf("%+v was applied", c)
		}
	}
	twice := store.Change{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Held}
	err := pg.InTx(t.Context(), e.Pool, func(tx pgx.Tx) error {
		_, err := e.Store.Apply(t.Context(), tx, []store.Change{twice, twice})
		return err
	})
	if err == nil {
		t.Error("one call moved a payout twice")
	}
	e.CheckEvents()
}

// TestEveryTransitionIsOneEvent walks every way of the state table over real rows (promise 5).
func TestEveryTransitionIsOneEvent(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().PauseAboveFailureRate, e.Rules().PausePayeeAfter = 0, 0
	var ways []event.Transition
	for _, tr := range event.Payout.Transitions {
		if tr.From != "" {
			ways = append(ways, tr)
		}
	}
	all := planned(t, e, len(ways))
	for i, tr := range ways {
		// The start is set by hand, together with the event that would have led there, so that only this step is under test.
		e.SQL("UPDATE payouts SET state = $2 WHERE payout_id = $1", all[i], tr.From)
		before := len(e.Events())
		moved := apply(t, e, store.Change{PayoutID: all[i], From: []payout.State{payout.State(tr.From)}, To: payout.State(tr.To)})
		events := e.Events()[before:]
		if len(moved) != 1 || len(events) != 1 || events[0].Type != tr.Event || events[0].Version != moved[0].Version {
			t.Errorf("%s → %s: %d moved, events %v", tr.From, tr.To, len(moved), events)
			continue
		}
		var body eventsv1.Payout
		if err := event.Decode(events[0].Body, &body); err != nil {
			t.Fatal(err)
		}
		if body.GetState() != tr.To || body.GetPreviousState() != tr.From || body.GetNet().GetMinor() != 8000 {
			t.Errorf("%s → %s tells %v", tr.From, tr.To, &body)
		}
		if s := string(events[0].Body); strings.Contains(s, "0700000101") || strings.Contains(s, "Livreur") {
			t.Errorf("%s tells a name or a phone number: %s", tr.Event, s)
		}
		released := e.Count("SELECT count(*) FROM payments WHERE payment_id = $1 AND payout_id IS NULL", fmt.Sprintf("p%d", i)) == 1
		if released != payout.Releases(payout.State(tr.To), false) {
			t.Errorf("%s → %s: released %v", tr.From, tr.To, released)
		}
	}
	e.CheckItems()
}

func TestARetriedFailureKeepsItsItems(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	id := planned(t, e, 1)[0]
	through(t, e, id, payout.Reason{}, payout.Approved, payout.Submitting)
	at := e.Clock.Now().Add(time.Minute)
	apply(t, e, store.Change{PayoutID: id, From: []payout.State{payout.Submitting}, To: payout.Failed, RetryAt: &at, Counted: 1})
	if n := e.Count("SELECT count(*) FROM payments WHERE payout_id = $1", id); n != 1 {
		t.Error("a failure that is tried again gave its items away")
	}
	e.InTx(func(tx pgx.Tx) error { return e.Store.Reclaim(e.Ctx(), tx, id) }) // nothing to claim
	apply(t, e, store.Change{PayoutID: id, From: []payout.State{payout.Failed}, To: payout.Approved})
	e.CheckItems()
	e.CheckEvents()
}

// TestReclaim: a person tries a failed payout again. All its items must still be free.
func TestReclaim(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	all := planned(t, e, 3)
	for _, id := range all {
		through(t, e, id, payout.Reason{}, payout.Approved, payout.Submitting, payout.Failed)
	}
	again := func(id uuid.UUID, reclaim bool) error {
		return pg.InTx(t.Context(), e.Pool, func(tx pgx.Tx) error {
			if reclaim {
				if err := e.Store.Reclaim(t.Context(), tx, id); err != nil {
					return err
				}
			}
			_, err := e.Store.Apply(t.Context(), tx, []store.Change{{PayoutID: id, From: []payout.State{payout.Failed}, To: payout.Approved}})
			return err
		})
	}
	if err := again(all[0], false); err == nil {
		t.Error("approved again without its items")
	}
	if err := again(all[0], true); err != nil {
		t.Errorf("all items are free, yet: %v", err)
	}
	e.Import(payoutstest.Header + payoutstest.Row("p1", "drv-001", 10_000, "refunded", "2025-01-24T10:00:00Z", ""))
	if err := again(all[1], true); !errors.Is(err, store.ErrItemsTaken) {
		t.Errorf("a refunded payment was claimed again: %v", err)
	}
	e.Finish()
	e.Run(payoutstest.Daily("2025-01-25T23:59:00Z")) // takes the payment of the third
	if err := again(all[2], true); !errors.Is(err, store.ErrItemsTaken) {
		t.Errorf("a payment was claimed for two payouts: %v", err)
	}
	e.CheckItems()
}

// TestRefundedWhileClaimedAndThenReleased: the payment and the carry against it cancel, whoever claimed what first.
func TestRefundedWhileClaimedAndThenReleased(t *testing.T) {
	t.Parallel()
	refund := payoutstest.Header + payoutstest.Row("p0", "drv-000", 10_000, "refunded", "2025-01-24T10:00:00Z", "")
	more := payoutstest.Header + payoutstest.Pay("more", "drv-000", 20_000, "2025-01-25T10:00:00Z")
	net := func(e *payoutstest.Env, day string) int64 {
		return e.Count("SELECT coalesce(sum(net), 0) FROM payouts WHERE period_date = $1::date AND state = 'approved'", day)
	}
	t.Run("both are void while neither is claimed", func(t *testing.T) {
		t.Parallel()
		e := payoutstest.New(t)
		id := planned(t, e, 1)[0]
		e.Import(refund)
		through(t, e, id, payout.Reason{}, payout.Approved, payout.Cancelled)
		if n := e.Count("SELECT count(*) FROM carries WHERE voided_at IS NOT NULL"); n != 1 {
			t.Errorf("%d carries void, want 1", n)
		}
		settle(t, e)
		e.Import(more)
		e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
		if got := net(e, "2025-01-25"); got != 16_000 {
			t.Errorf("the next evening pays %d, want 16000", got)
		}
		e.CheckItems()
		e.CheckEvents()
	})
	t.Run("the payment is owed back once another payout took the carry", func(t *testing.T) {
		t.Parallel()
		e := payoutstest.New(t)
		id := planned(t, e, 1)[0]
		through(t, e, id, payout.Reason{}, payout.Approved, payout.Submitting, payout.Unknown)
		e.Import(refund)
		settle(t, e)
		e.Import(more)
		e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
		if got := net(e, "2025-01-25"); got != 16_000-8_000 {
			t.Errorf("the next evening pays %d, want 8000", got)
		}
		through(t, e, id, payout.Reason{}, payout.Unknown, payout.Failed) // it never moved: its payment is free again
		e.Finish()
		e.Run(payoutstest.Daily("2025-01-26T23:59:00Z"))
		if got := net(e, "2025-01-26"); got != 8_000 {
			t.Errorf("the evening after pays %d, want what was taken too much, 8000", got)
		}
		e.CheckItems()
	})
	t.Run("the carry stays while the payment is paid", func(t *testing.T) {
		t.Parallel()
		e := payoutstest.New(t)
		id := planned(t, e, 1)[0]
		through(t, e, id, payout.Reason{}, payout.Approved, payout.Submitting, payout.Succeeded)
		settle(t, e)
		e.Import(refund)
		e.Import(more)
		e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
		taker := ids(t, e, "SELECT payout_id FROM payouts WHERE period_date = '2025-01-25'")[0]
		through(t, e, taker, payout.Reason{}, payout.Approved, payout.Cancelled)
		if n := e.Count("SELECT count(*) FROM carries WHERE voided_at IS NULL AND payout_id IS NULL"); n != 1 {
			t.Error("what a paid payee owes was forgotten with the payout that would have taken it off")
		}
		e.CheckItems()
	})
}

func TestPayeeFailuresInARowPauseThePayee(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().MaxPerPayout = 8_000 // one payment per payout
	csv := payoutstest.Header
	for i := range 6 {
		csv += payoutstest.Pay(fmt.Sprintf("p%d", i), "drv-1", 10_000, "2025-01-24T10:00:00Z")
	}
	e.Import(csv)
	e.Run(payoutstest.Daily(evening))
	all := ids(t, e, "SELECT payout_id FROM payouts ORDER BY seq")
	fail := func(id uuid.UUID, scope string) {
		t.Helper()
		through(t, e, id, payout.Reason{Class: "REJECTED_FINAL", Scope: scope, Code: "closed"}, payout.Approved, payout.Submitting, payout.Failed)
	}
	state := func() int64 { return e.Count("SELECT count(*) FROM payees WHERE state = 'paused'") }
	fail(all[0], payout.ScopePayee)
	fail(all[1], payout.ScopePayee)
	through(t, e, all[2], payout.Reason{}, payout.Approved, payout.Submitting, payout.Succeeded) // ends the row
	fail(all[3], payout.ScopeProvider)                                                           // not the payee's fault
	fail(all[4], payout.ScopePayee)
	if state() != 0 {
		t.Error("paused although a success lay between the failures")
	}
	e.SQL("UPDATE payees SET failures = 2")
	apply(t, e, store.Change{PayoutID: all[5], From: []payout.State{payout.Approved}, To: payout.Submitting})
	e.Import(payoutstest.Header + payoutstest.Pay("late", "drv-1", 10_000, "2025-01-24T11:00:00Z"))
	byHand := payoutstest.Daily(evening)
	byHand.TickId, byHand.Schedule = "lebenis/payouts/daily!0194", "by-hand"
	e.Run(byHand)
	apply(t, e, store.Change{
		PayoutID: all[5], From: []payout.State{payout.Submitting}, To: payout.Failed,
		Reason: payout.Reason{Class: "REJECTED_FINAL", Scope: payout.ScopePayee, Code: "closed"},
	})
	if state() != 1 {
		t.Error("three failures in a row did not pause the payee")
	}
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'"); n != 0 {
		t.Errorf("%d payouts of a paused payee are still approved", n)
	}
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'held' AND reason_code = 'payee_paused'"); n == 0 {
		t.Error("nothing says why the paused payee's money waits")
	}
	if n := e.Count("SELECT count(*) FROM payees WHERE pause_reason = 'repeated_failures' AND pause_detail LIKE '% payouts in a row were refused, the last as %'"); n != 1 {
		t.Error("the pause does not say what failed")
	}
	for again, want := range []bool{true, false} { // resuming one who is not paused is nothing
		e.InTx(func(tx pgx.Tx) error {
			ok, err := e.Store.ResumePayee(e.Ctx(), tx, payoutstest.Tenant, "drv-1")
			if ok != want {
				t.Errorf("call %d: resumed %v", again+1, ok)
			}
			return err
		})
	}
	if n := e.Count("SELECT count(*) FROM payees WHERE state = 'active' AND failures = 0 AND pause_reason = ''"); n != 1 {
		t.Error("a resumed payee does not begin anew")
	}
	if got := e.EventTypes("payee"); !slices.Equal(got, []string{"payee.paused", "payee.resumed"}) {
		t.Errorf("payee events %v", got)
	}
	e.CheckItems()
	e.CheckEvents()
}

func TestABatchPausesItselfWhenFailuresPassTheLimit(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	all := planned(t, e, 30) // the limit is 0.2: six are on it, seven above
	fail := func(n int) {
		t.Helper()
		for range n {
			through(t, e, all[0], payout.Reason{Scope: payout.ScopePayment}, payout.Approved, payout.Submitting, payout.Failed)
			all = all[1:]
		}
	}
	paused := func() bool { return e.Count("SELECT count(*) FROM batches WHERE control = 'paused'") == 1 }
	if fail(6); paused() {
		t.Error("paused at the limit")
	}
	if fail(1); !paused() {
		t.Fatal("not paused above the limit")
	}
	batch := ids(t, e, "SELECT batch_id FROM batches")[0]
	e.InTx(func(tx pgx.Tx) error {
		ok, err := e.Store.ResumeBatch(e.Ctx(), tx, batch, "user:test")
		if !ok {
			t.Error("not resumed")
		}
		return err
	})
	if fail(1); paused() {
		t.Error("paused again for failures that a person had seen")
	}
	if fail(6); !paused() {
		t.Error("not paused for as many failures again")
	}
	e.CheckEvents()
}

func TestSettleCompletesARunThatIsFinished(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	all := planned(t, e, 4)
	running := func() bool { settle(t, e); return e.Count("SELECT count(*) FROM runs WHERE state = 'running'") == 1 }
	through(t, e, all[0], payout.Reason{}, payout.Approved, payout.Submitting, payout.Succeeded)
	through(t, e, all[1], payout.Reason{}, payout.Approved, payout.Submitting, payout.Unknown)
	through(t, e, all[2], payout.Reason{}, payout.Approved, payout.Held)
	if !running() {
		t.Fatal("completed with an approved payout")
	}
	begun := begin(t, e, all[3])
	through(t, e, all[3], payout.Reason{}, payout.Approved, payout.Submitting)
	if !running() {
		t.Fatal("completed with a submitting payout")
	}
	fail(t, e, begun)
	at := e.Clock.Now().Add(time.Hour)
	apply(t, e, store.Change{PayoutID: all[3], From: []payout.State{payout.Submitting}, To: payout.Failed, RetryAt: &at})
	if running() {
		t.Fatal("kept open by held, unknown and failed payouts")
	}
	var told eventsv1.Run
	for _, ev := range e.Events() {
		if ev.Type == "run.completed" {
			if err := event.Decode(ev.Body, &told); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[string]int64{"succeeded": 1, "unknown": 1, "held": 1, "failed": 1, "waiting": 1}
	if diff := cmp.Diff(want, told.GetCounts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if got := told.GetTotals()["succeeded"].GetMinor(); got != 8000 {
		t.Errorf("succeeded total %d", got)
	}
	settle(t, e) // once is enough
	if got := e.EventTypes("run"); !slices.Equal(got, []string{"run.started", "run.completed"}) {
		t.Errorf("run events %v", got)
	}
	e.CheckEvents()
}

func TestSettleDoesNotWaitForWhatAPersonOrProviderHolds(t *testing.T) {
	t.Parallel()
	later := func(e *payoutstest.Env) time.Time { return e.Clock.Now().Add(time.Hour) }
	for name, hinder := range map[string]func(e *payoutstest.Env){
		"stop":              func(e *payoutstest.Env) { e.SQL("UPDATE outflows SET stopped = true") },
		"batch pause":       func(e *payoutstest.Env) { e.SQL("UPDATE batches SET control = 'paused', state = 'paused'") },
		"provider stopped":  func(e *payoutstest.Env) { e.StopProviders("lebenis/orange") },
		"not before a time": func(e *payoutstest.Env) { e.SQL("UPDATE payouts SET retry_at = $1", later(e)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			planned(t, e, 2)
			hinder(e)
			settle(t, e)
			if n := e.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
				t.Error("the schedule's next run waits for a person")
			}
		})
	}
}

func TestBatchStateFollowsItsPayouts(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	all := planned(t, e, 2)
	through(t, e, all[0], payout.Reason{}, payout.Approved, payout.Submitting, payout.Succeeded)
	through(t, e, all[1], payout.Reason{}, payout.Approved, payout.Submitting, payout.Unknown)
	settle(t, e)
	through(t, e, all[1], payout.Reason{}, payout.Unknown, payout.Failed)
	settle(t, e) // partially completed, though its run is long complete
	e.InTx(func(tx pgx.Tx) error { return e.Store.Reclaim(e.Ctx(), tx, all[1]) })
	through(t, e, all[1], payout.Reason{}, payout.Failed, payout.Approved)
	settle(t, e)
	through(t, e, all[1], payout.Reason{}, payout.Approved, payout.Submitting, payout.Succeeded)
	settle(t, e)
	settle(t, e)
	through(t, e, all[0], payout.Reason{}, payout.Succeeded, payout.Reversed)
	settle(t, e)
	want := []string{
		"payout_batch.created", "payout_batch.partially_completed", "payout_batch.resumed", "payout_batch.completed", "payout_batch.partially_completed",
	}
	if diff := cmp.Diff(want, e.EventTypes("payout_batch")); diff != "" {
		t.Errorf("batch events (-want +got):\n%s", diff)
	}
	e.CheckEvents()
}

func TestRunsOfAScheduleFollowEachOtherInNominalOrder(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	if err := e.Fire(payoutstest.Daily(evening), "1"); err != nil {
		t.Fatal(err)
	}
	for _, nominal := range []string{"2025-01-26T23:59:00Z", "2025-01-25T23:59:00Z"} { // out of order
		if err := e.Fire(payoutstest.Daily(nominal), nominal); err != nil {
			t.Fatal(err)
		}
	}
	e.Work()
	if n := e.Count("SELECT count(*) FROM runs WHERE state = 'queued'"); n != 2 {
		t.Fatalf("%d runs queued behind the first", n)
	}
	id := ids(t, e, "SELECT payout_id FROM payouts")[0]
	through(t, e, id, payout.Reason{}, payout.Approved, payout.Submitting, payout.Succeeded)
	settle(t, e)
	e.Work() // the two others have nothing to pay and end as they are planned
	var order []string
	for _, ev := range e.Events() {
		if ev.Type == "run.started" {
			var r eventsv1.Run
			if err := event.Decode(ev.Body, &r); err != nil {
				t.Fatal(err)
			}
			order = append(order, r.GetLocalDate())
		}
	}
	if diff := cmp.Diff([]string{"2025-01-24", "2025-01-25", "2025-01-26"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	e.CheckEvents()
}

// TestTicksAndCompletionsRace: whichever of a tick and its predecessor's completion commits first, the run starts, and two
// never run at once (the index would refuse them).
func TestTicksAndCompletionsRace(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	day := payoutstest.At(evening)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			tick := payoutstest.Daily(day.AddDate(0, 0, i).Format(time.RFC3339))
			if err := e.Fire(tick, tick.GetTickId()); err != nil {
				t.Errorf("%s: %v", tick.GetTickId(), err)
			}
			for _, m := range e.Messages(stream.Commands) {
				if err := e.Hand(m); err != nil {
					t.Errorf("%s: %v", m.ID, err)
				}
			}
		})
	}
	all.Wait()
	e.Work()
	if n := e.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 12 {
		t.Errorf("%d of 12 runs completed", n)
	}
	e.CheckEvents()
}

// failing is a batch of twenty whose payouts are failed by hand; it pauses when more than a fifth are news.
type failing struct {
	*payoutstest.Env
	t     *testing.T
	ids   []uuid.UUID
	batch uuid.UUID
}

func newFailing(t *testing.T) *failing {
	t.Helper()
	f := &failing{Env: payoutstest.New(t), t: t}
	f.Rules().PauseAboveFailureRate, f.Rules().PausePayeeAfter = 0.2, 0
	csv := payoutstest.Header
	for i := range 20 {
		csv += payoutstest.Pay(fmt.Sprintf("p%02d", i), fmt.Sprintf("drv-%02d", i), 10_000, "2025-01-24T10:00:00Z")
	}
	f.Import(csv)
	f.Run(payoutstest.Daily("2025-01-24T23:59:00Z"))
	for id := range f.Payouts() {
		f.ids = append(f.ids, uuid.MustParse(id))
	}
	slices.SortFunc(f.ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	f.EachBatch(func(id uuid.UUID) { f.batch = id })
	return f
}

// move takes payouts from state to state.
func (f *failing) move(ids []uuid.UUID, states ...payout.State) {
	f.t.Helper()
	for i, to := range states[1:] {
		changes := make([]store.Change, len(ids))
		for n, id := range ids {
			changes[n] = store.Change{PayoutID: id, From: states[i : i+1], To: to}
		}
		f.InTx(func(tx pgx.Tx) error { _, err := f.Store.Apply(f.Ctx(), tx, changes); return err })
	}
}

func (f *failing) paused(want bool, when string) {
	f.t.Helper()
	if n := f.Count("SELECT count(*) FROM batches WHERE control = 'paused'"); (n == 1) != want {
		f.t.Fatalf("%s: paused %t, want %t", when, n == 1, want)
	}
}

func (f *failing) resume() {
	f.t.Helper()
	f.InTx(func(tx pgx.Tx) error { _, err := f.Store.ResumeBatch(f.Ctx(), tx, f.batch, "user:op"); return err })
}

// Failures that a person has accepted by resuming a batch are no longer counted as such once they are tried again: as many new ones pause
// it as before.
func TestFailuresThatAreTriedAgainAreNews(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	f.move(f.ids[:4], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(false, "four of twenty")
	f.move(f.ids[4:6], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(true, "six of twenty")
	f.resume()
	f.move(f.ids[6:8], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(false, "two more after a person has seen six")
	f.InTx(func(tx pgx.Tx) error {
		_, err := f.Store.RetryFailed(f.Ctx(), tx, payoutstest.Tenant, f.batch)
		return err
	})
	f.move(f.ids[:8], payout.Approved, payout.Submitting)
	f.move(f.ids[:4], payout.Submitting, payout.Failed)
	f.paused(false, "four of those that were tried again")
	f.move(f.ids[4:6], payout.Submitting, payout.Failed)
	f.paused(true, "six of those that were tried again")
}

// What a person has accepted is no news again because others, which nobody has accepted, are tried again.
func TestOldFailuresAreNeverNewsAgain(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	f.move(f.ids[:6], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(true, "six of twenty")
	f.resume()
	f.move(f.ids[6:10], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(false, "four more")
	at := f.Clock.Now()
	f.SQL("UPDATE payout_items SET released_at = NULL WHERE payout_id = ANY($1)", f.ids[6:10])
	f.SQL("UPDATE payouts SET retry_at = $2 WHERE payout_id = ANY($1)", f.ids[6:10], at)
	f.move(f.ids[6:10], payout.Failed, payout.Approved, payout.Submitting) // the four
	f.move(f.ids[10:14], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(false, "four others, beside the six that were accepted")
	f.move(f.ids[14:15], payout.Approved, payout.Submitting, payout.Failed)
	f.paused(true, "a fifth one")
}
