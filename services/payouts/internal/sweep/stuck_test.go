package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// stuckIn holds the gauge of a step against what is expected.
func (h *heard) stuckIn(t *testing.T, step string, want int) {
	t.Helper()
	text := "# HELP agogo_payouts_sweep_stuck What an error keeps from what is due for it, by what that is.\n" +
		"# TYPE agogo_payouts_sweep_stuck gauge\n"
	for _, s := range []string{
		"close_batch", "close_lost", "end_plan", "expire_approval", "expire_batch_approval", "forget_wish", "release", "release_queue", "retry", "settle_run", "start_run",
		"take_over", "wake_page", "wake_planning",
	} {
		n := 0
		if s == step {
			n = want
		}
		text += fmt.Sprintf("agogo_payouts_sweep_stuck{step=%q} %d\n", s, n)
	}
	if err := testutil.GatherAndCompare(h.registry, strings.NewReader(text), "agogo_payouts_sweep_stuck"); err != nil {
		t.Error(err)
	}
}

// dueRun is a run of n payouts in a state, of which something has been due for a minute.
func dueRun(t *testing.T, n int, due string) *payoutstest.Env {
	t.Helper()
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	e.SQL(clone, 1, n-1, false)
	e.SQL("UPDATE payouts SET "+due, e.Clock.Now().Add(-time.Minute))
	return e
}

// heldRun is a run of n payouts that were held for a cap which is gone.
func heldRun(t *testing.T, n int) *payoutstest.Env {
	t.Helper()
	e := dueRun(t, n, "state = 'held', reason_code = 'daily_cap', updated_at = $1")
	e.SQL("INSERT INTO payees (tenant, payee_id, phone, updated_at) SELECT tenant, payee_id, destination, updated_at FROM payouts WHERE payee_id LIKE 'clone-%'")
	return e
}

// dueBatches has n runs that are over, with batches in a state.
func dueBatches(t *testing.T, n int, state string) *payoutstest.Env {
	t.Helper()
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	e.SQL(`INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, state, planned, created_at)
		SELECT gen_random_uuid(), 'due-' || i, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, 'completed', true, created_at
		FROM runs, generate_series(1, $1::integer) i`, n)
	e.SQL(`INSERT INTO batches (batch_id, tenant, run_id, period_date, state, currency, created_at, approval_expires_at)
		SELECT gen_random_uuid(), tenant, run_id, local_date, $1, 'XOF', created_at, $2 FROM runs WHERE tick_id LIKE 'due-%'`, state, e.Clock.Now().Add(-time.Minute))
	e.SQL("CREATE TABLE defective AS SELECT batch_id FROM batches WHERE run_id IN (SELECT run_id FROM runs WHERE tick_id IN ('due-7', 'due-500'))")
	e.SQL(`CREATE FUNCTION defective(uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT 1 FROM defective WHERE batch_id = $1) $$`)
	return e
}

// dueRuns has n runs of as many schedules, changed so that something of them is due.
func dueRuns(t *testing.T, n int, due string) *payoutstest.Env {
	t.Helper()
	e := dueBatches(t, n, "partially_completed")
	e.SQL("UPDATE runs SET schedule = tick_id, " + due + " WHERE tick_id LIKE 'due-%'")
	return e
}

// Of 600 that something is due for two cannot be moved: the others are, the two are told of once, shown, and tried again until it is mended.
func TestOneThatCannotBeMovedCostsItself(t *testing.T) {
	t.Parallel()
	const ofPayouts, ofBatches, ofRuns = "payee_id NOT IN ('clone-7', 'clone-500')", "NOT defective(batch_id)", "tick_id NOT IN ('due-7', 'due-500')"
	for step, c := range map[string]struct {
		made            func() *payoutstest.Env
		table, may, end string // which rows may come to what
	}{
		"retry": {
			func() *payoutstest.Env { return dueRun(t, 600, "state = 'failed', retry_at = $1") }, "payouts", ofPayouts, "state = 'approved'",
		},
		"expire_approval": {
			func() *payoutstest.Env {
				return dueRun(t, 600, "state = 'awaiting_approval', approval_expires_at = $1")
			}, "payouts", ofPayouts, "state = 'held'",
		},
		"expire_batch_approval": {
			func() *payoutstest.Env { return dueBatches(t, 600, "awaiting_approval") }, "batches", ofBatches, "state = 'paused'",
		},
		"close_batch": {
			func() *payoutstest.Env { return dueBatches(t, 600, "created") }, "batches", ofBatches, "state = 'completed'",
		},
		"release": {
			func() *payoutstest.Env { return heldRun(t, 600) }, "payouts", ofPayouts, "state = 'approved'",
		},
		"settle_run": {
			func() *payoutstest.Env { return dueRuns(t, 600, "state = 'running'") }, "runs", ofRuns, "state = 'completed'",
		},
		"end_plan": {
			func() *payoutstest.Env { return dueRuns(t, 600, "state = 'failed', planned = false") }, "runs", ofRuns, "planned AND tick_id LIKE 'due-%'",
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			e := c.made()
			e.SQL(fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT defect CHECK (%s OR (%s) IS NOT TRUE)", c.table, c.may, c.end))
			h := hear(e)
			done := func(want int64) {
				t.Helper()
				if n := e.Count("SELECT count(*) FROM " + c.table + " WHERE " + c.end); n != want {
					t.Errorf("%d are %s, want %d", n, c.end, want)
				}
			}
			told := func(want int) {
				t.Helper()
				if n := strings.Count(h.log.String(), "the others are, and it is tried again"); n != want {
					t.Errorf("told of %d times, want %d:\n%s", n, want, h.log.String())
				}
			}
			round := func() { // of two pages
				once(t, h.Sweeper)
				once(t, h.Sweeper)
			}
			round()
			done(598)
			h.stuckIn(t, step, 2)
			round()
			told(2)
			e.Clock.Advance(11 * time.Minute)
			round()
			told(4)
			e.SQL(fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT defect", c.table))
			e.Clock.Advance(11 * time.Minute)
			round()
			done(600)
			h.stuckIn(t, step, 0)
		})
	}
}

// More are stuck than a page holds: a sweep tries a bounded number of times, and what is due later is reached all the same.
func TestAPageOfWhatIsStuckKeepsNothingWaiting(t *testing.T) {
	t.Parallel()
	e := dueRun(t, 505, "state = 'failed', retry_at = $1")
	e.SQL("UPDATE payouts SET retry_at = retry_at + interval '1 second' WHERE payee_id = 'drv-00'")
	e.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (payee_id = 'drv-00' OR state <> 'approved')")
	h := hear(e)
	once(t, h.Sweeper)
	if n := strings.Count(h.log.String(), "cannot be approved"); n < 1 || n > 50 {
		t.Errorf("%d were told of in one sweep, want 1 to 50", n)
	}
	for range 22 { // 50 failures each, of two for each that is stuck
		once(t, h.Sweeper)
	}
	if n := states(e)["approved"]; n != 1 {
		t.Errorf("%d are approved, want 1", n)
	}
	h.stuckIn(t, "retry", 504)
}

// A hundred that are held cannot be released, and 500 behind them can: a sweep tries a bounded number of times, comes to all of them, and nothing
// goes before what is first and was not tried yet.
func TestAQueueGetsPastWhatIsStuck(t *testing.T) {
	t.Parallel()
	e := heldRun(t, 601)
	e.SQL("UPDATE payouts SET created_at = created_at - interval '1 second' WHERE payee_id LIKE 'clone-%' AND substr(payee_id, 7)::int <= 100")
	e.SQL("UPDATE payouts SET created_at = created_at + interval '1 second' WHERE payee_id = 'drv-00'")
	e.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (CASE WHEN payee_id LIKE 'clone-%' THEN substr(payee_id, 7)::int > 100 ELSE true END OR state <> 'approved')")
	h := hear(e)
	approved := func() int64 { return e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'") }
	once(t, h.Sweeper)
	if n := strings.Count(h.log.String(), "cannot be released"); n < 1 || n > 50 {
		t.Errorf("%d were told of in one sweep, want 1 to 50", n)
	}
	once(t, h.Sweeper)
	if n := approved(); n != 0 {
		t.Errorf("%d are approved before what was held first was tried", n)
	}
	for range 8 {
		once(t, h.Sweeper)
	}
	if n := approved(); n != 501 {
		t.Errorf("%d are approved, want 501", n)
	}
	h.stuckIn(t, "release", 100)
	if n := strings.Count(h.log.String(), "cannot be released"); n != 100 {
		t.Errorf("told of %d times, want once each", n)
	}
}

// What was listed has changed before it is looked at again, in a later transaction: it is left alone.
func TestWhatIsNotDueAnyMoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		due, not string
		move     func(e *payoutstest.Env, tx pgx.Tx, ids []uuid.UUID) error
	}{
		"tried again later":    {"state = 'failed', retry_at = $1", "retry_at = retry_at + interval '1 hour'", retry},
		"not tried any more":   {"state = 'failed', retry_at = $1", "retry_at = NULL", retry},
		"contradicted":         {"state = 'failed', retry_at = $1", "contradicted = true", retry},
		"sent by somebody":     {"state = 'failed', retry_at = $1", "state = 'submitting'", retry},
		"asked for anew":       {"state = 'awaiting_approval', approval_expires_at = $1", "approval_expires_at = approval_expires_at + interval '1 hour'", expire},
		"waits without end":    {"state = 'awaiting_approval', approval_expires_at = $1", "approval_expires_at = NULL", expire},
		"approved by somebody": {"state = 'awaiting_approval', approval_expires_at = $1", "state = 'approved'", expire},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := dueRun(t, 2, c.due)
			e.SQL("UPDATE payouts SET " + c.not + " WHERE payee_id = 'drv-00'")
			version := func(payee string) int64 { return e.Count("SELECT version FROM payouts WHERE payee_id = $1", payee) }
			before, other := version("drv-00"), version("clone-1")
			var ids []uuid.UUID
			e.Each("SELECT payout_id::text, state, version FROM payouts", func(id, _ string, _ int64) { ids = append(ids, uuid.MustParse(id)) })
			e.InTx(func(tx pgx.Tx) error { return c.move(e, tx, ids) })
			if version("drv-00") != before || version("clone-1") != other+1 {
				t.Errorf("moved by %d and %d, want 0 and 1", version("drv-00")-before, version("clone-1")-other)
			}
		})
	}
}

func retry(e *payoutstest.Env, tx pgx.Tx, ids []uuid.UUID) error {
	return e.Store.Retry(e.Ctx(), tx, ids)
}

func expire(e *payoutstest.Env, tx pgx.Tx, ids []uuid.UUID) error {
	return e.Store.ExpireApprovals(e.Ctx(), tx, ids)
}

// A batch whose approval was asked for anew, or given, is not paused for the old one.
func TestABatchThatIsNotDueAnyMoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	e := dueBatches(t, 3, store.BatchAwaiting)
	var ids []uuid.UUID
	e.InTx(func(tx pgx.Tx) (err error) {
		ids, _, err = e.Store.ExpiredBatches(e.Ctx(), tx, store.Due{}, 500)
		return err
	})
	if len(ids) != 3 {
		t.Fatalf("%d are due", len(ids))
	}
	e.SQL("UPDATE batches SET approval_expires_at = $1 WHERE batch_id = $2", e.Clock.Now().Add(time.Hour), ids[0])
	e.SQL("UPDATE batches SET state = 'approved' WHERE batch_id = $1", ids[1])
	e.InTx(func(tx pgx.Tx) error { return e.Store.ExpireBatches(e.Ctx(), tx, ids) })
	if n := e.Count("SELECT count(*) FROM batches WHERE state = 'paused' AND batch_id = $1", ids[2]); n != 1 {
		t.Error("the one whose time is over is not paused")
	}
	if n := e.Count("SELECT count(*) FROM batches WHERE state = 'paused'"); n != 1 {
		t.Errorf("%d are paused, want 1", n)
	}
}

// Of 600 pages that stand still one cannot be woken: all others are, those behind the first 500 the next time, and the one is told of.
func TestOnePageThatCannotBeWokenCostsItself(t *testing.T) {
	t.Parallel()
	e := dueRun(t, 600, "state = 'approved', updated_at = $1")
	e.SQL("UPDATE payouts SET page = substr(payee_id, 7)::int WHERE payee_id LIKE 'clone-%'")
	e.SQL("ALTER TABLE outbox_parcels ADD CONSTRAINT defect CHECK (array_to_string(keys, ' ') !~ '/7( |$)') NOT VALID")
	h := hear(e)
	woken := func() (pages int) {
		for key := range commands(e) {
			if strings.HasPrefix(key, "dispatch ") && strings.HasSuffix(key, " again") {
				pages++
			}
		}
		return pages
	}
	once(t, h.Sweeper)
	if n := woken(); n != 499 {
		t.Errorf("%d pages are woken, want 499", n)
	}
	h.stuckIn(t, "wake_page", 1)
	e.Clock.Advance(31 * time.Second)
	once(t, h.Sweeper)
	if n := woken(); n != 599 {
		t.Errorf("%d pages are woken the next time, want 599", n)
	}
	h.stuckIn(t, "wake_page", 1)
}
