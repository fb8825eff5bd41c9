package resolve_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

// failedEvening has n payouts sent, the first failures of which were refused for good.
func failedEvening(t *testing.T, n, failures int, rules func(*config.Payouts)) (*desk, uuid.UUID) {
	e := sending.New(t)
	d := &desk{Env: e, t: t, sender: e.Sender()}
	if rules != nil {
		rules(e.Rules())
	}
	e.Cashin(simulator.Failed, failures)
	run := e.Send(d.sender, n)
	return d, run
}

func (d *desk) retryFailed(run uuid.UUID) (done store.Retried) {
	d.t.Helper()
	d.InTx(func(tx pgx.Tx) (err error) {
		done, err = d.Env.Store.RetryFailed(d.as("op"), tx, payoutstest.Tenant, store.BatchID(run))
		return err
	})
	return done
}

func TestRetryOfOnlyTheFailed(t *testing.T) {
	t.Parallel()
	d, run := failedEvening(t, 8, 6, func(r *config.Payouts) { r.PauseAboveFailureRate = 0 })
	if got := d.PayoutStates(); got["failed"] != 6 || got["succeeded"] != 2 {
		t.Fatalf("got %v", got)
	}
	failed := d.payouts("SELECT payout_id FROM payouts WHERE state = 'failed' ORDER BY payout_id")
	d.SQL("UPDATE payouts SET contradicted = true WHERE payout_id = $1", failed[0])
	d.SQL("UPDATE attempts SET next_lookup_at = now() WHERE subject_id = $1", failed[1])
	d.SQL("UPDATE payments SET status = 'refunded' WHERE payment_id IN (SELECT item_id FROM payout_items WHERE payout_id = $1)", failed[2])
	d.SQL("UPDATE payments SET paid_reference = 'elsewhere' WHERE payment_id IN (SELECT item_id FROM payout_items WHERE payout_id = $1)", failed[3])
	if diff := cmp.Diff(store.Retried{Retried: 2, ItemsTaken: 2, InDoubt: 2}, d.retryFailed(run)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(store.Retried{ItemsTaken: 2, InDoubt: 2}, d.retryFailed(run)); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	d.Commands(d.sender)
	if got := d.PayoutStates(); got["failed"] != 4 || got["succeeded"] != 4 {
		t.Errorf("got %v", got)
	}
	d.CheckItems()
	d.CheckEvents()
	seen := map[string]int{}
	for _, entry := range d.Book() {
		if seen[entry.Peer] += entry.Moved; seen[entry.Peer] > 1 {
			t.Errorf("%s is paid twice", entry.Peer)
		}
	}
}

// A statement contradicts a failure while a person has the failed tried again, and is first.
func TestAFailureThatIsContradictedDuringARetryIsInDoubt(t *testing.T) {
	t.Parallel()
	d, run := failedEvening(t, 2, 1, func(r *config.Payouts) { r.PauseAboveFailureRate = 0 })
	failed := d.payouts("SELECT payout_id FROM payouts WHERE state = 'failed'")
	done := make(chan store.Retried, 1)
	d.InTx(func(tx pgx.Tx) error {
		if err := d.Env.Store.Contradict(d.as("op"), tx, failed...); err != nil {
			return err
		}
		go func() { done <- d.retryFailed(run) }()
		for d.Count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%name: LockFailed%' AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'payouts'::regclass)") == 0 {
			<-time.After(time.Millisecond)
		}
		return nil
	})
	if diff := cmp.Diff(store.Retried{InDoubt: 1}, <-done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := d.Count("SELECT count(*) FROM payouts WHERE state = 'failed' AND contradicted"); n != 1 {
		t.Error("it was moved")
	}
	d.CheckEvents()
}

// What the next evening's run has claimed is not paid by a retry of the last one's, nor what is above the day's cap.
func TestRetryOfTheFailedAfterAnotherRun(t *testing.T) {
	t.Parallel()
	d, run := failedEvening(t, 3, 3, nil)
	d.Finish()
	next := d.Run(payoutstest.Daily(nextEvening))
	if diff := cmp.Diff(store.Retried{ItemsTaken: 3}, d.retryFailed(run)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.Dispatch(d.sender, next)
	if got := d.PayoutStates(); got["succeeded"] != 3 {
		t.Errorf("got %v", got)
	}
	d.Check()
}

func TestRetryOfTheFailedKeepsToCapsAndTiers(t *testing.T) {
	t.Parallel()
	d, run := failedEvening(t, 3, 3, nil)
	d.Rules().DailyCap = 50_000 // two of 24,000
	d.Rules().Approval.Tiers = []config.Tier{{Above: 24_000, Approvals: 1}}
	if diff := cmp.Diff(store.Retried{Waiting: 2, OverCap: 1}, d.retryFailed(run)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := d.Count("SELECT count(*) FROM approvals WHERE actor = 'user:op' AND word = 'asked'"); n != 2 {
		t.Errorf("%d are noted as asked for", n)
	}
	d.Commands(d.sender)
	if n := d.Requests(); n != 3 {
		t.Errorf("%d requests, want the three refused ones", n)
	}
	d.Check()
}

// Partial failure: a batch above its rate goes on, pauses with the rest approved, or holds the rest.
func TestOnFailures(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]struct{ state, reason string }{
		config.OnFailuresContinue: {"succeeded", ""}, config.OnFailuresPause: {"approved", ""}, config.OnFailuresHold: {"held", "batch_paused"},
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			d, run := failedEvening(t, 30, 12, func(r *config.Payouts) { r.OnFailures = policy })
			rest := d.Count("SELECT count(*) FROM payouts WHERE state <> 'failed'")
			if n := d.Count("SELECT count(*) FROM payouts WHERE state = $1 AND reason_code = $2", want.state, want.reason); n != rest || n == 0 {
				t.Fatalf("%d of the rest of %d are %s: %v", n, rest, want.state, d.PayoutStates())
			}
			paused := d.Count("SELECT count(*) FROM batches WHERE control = 'paused' AND control_reason = 'failure_rate'")
			if (paused == 1) != (policy != config.OnFailuresContinue) {
				t.Errorf("%d batches are paused", paused)
			}
			if paused == 1 {
				d.Sweep(d.sender)
				if n := d.Count("SELECT count(*) FROM payouts WHERE state = $1", want.state); n != rest {
					t.Errorf("a sweep ends the wait: %v", d.PayoutStates())
				}
				d.InTx(func(tx pgx.Tx) error {
					_, err := d.Env.Store.ResumeBatch(d.as("op"), tx, store.BatchID(run), "user:op")
					return err
				})
				d.Dispatch(d.sender, run)
				d.later(3)
			}
			if n := d.Count("SELECT count(*) FROM payouts WHERE state IN ('approved', 'held')"); n != 0 {
				t.Errorf("%v", d.PayoutStates())
			}
			d.Check()
		})
	}
}

func (d *desk) payouts(sql string) []uuid.UUID {
	d.t.Helper()
	rows, err := d.Pool.Query(d.t.Context(), sql)
	if err != nil {
		d.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		d.t.Fatal(err)
	}
	return ids
}
