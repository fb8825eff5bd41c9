package disburse_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

func cancelRun(e *sending.Env, id uuid.UUID) error {
	return pgx.BeginFunc(e.Ctx(), e.Pool, func(tx pgx.Tx) error { return e.Store.CancelRun(e.Ctx(), tx, id, "the wrong file") })
}

func retryRun(e *sending.Env, id uuid.UUID) error {
	return pgx.BeginFunc(e.Ctx(), e.Pool, func(tx pgx.Tx) error { return e.Store.RetryRun(e.Ctx(), tx, id) })
}

// standing are a run and its batch: states, reason and control.
func standing(t *testing.T, e *sending.Env, id uuid.UUID) string {
	t.Helper()
	var s string
	err := e.Pool.QueryRow(t.Context(), `SELECT concat_ws(' ', r.state, NULLIF(r.reason, ''), '/', b.state, b.control)
		FROM runs r LEFT JOIN batches b USING (run_id) WHERE run_id = $1`, id).Scan(&s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A run is cancelled while two replicas send it: what is with the provider is followed to its end, nothing else is sent, its payments are free,
// and the next run pays them. Twice is once.
func TestARunIsCancelledWhileTwoReplicasSendIt(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Config.Concurrency = 2
	under, goOn := make(chan struct{}, 8), make(chan struct{})
	slow := sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		under <- struct{}{}
		<-goOn
		return real.Submit(ctx, tr)
	}}
	one, two := e.Sender(slow), e.Sender(slow)
	run := e.Plan(12)
	var both sync.WaitGroup
	for _, s := range []*sending.Sender{one, two} {
		both.Go(func() { e.Dispatch(s, run) })
	}
	for range 4 { // both replicas have all that they may have at once
		<-under
	}
	if err := cancelRun(e, run); err != nil {
		t.Fatal(err)
	}
	if got, want := standing(t, e, run), "running cancelled / cancelled cancelled"; got != want {
		t.Errorf("run and batch are %q, want %q", got, want)
	}
	e.SweepOnly()
	close(goOn)
	both.Wait()
	e.SweepOnly()
	if diff := cmp.Diff(map[string]int64{"succeeded": 4, "cancelled": 8}, e.PayoutStates()); diff != "" {
		t.Fatalf("payouts (-want +got):\n%s", diff)
	}
	if err := cancelRun(e, run); err != nil {
		t.Errorf("cancelled again: %v", err)
	}
	if got, want := standing(t, e, run), "completed cancelled / cancelled cancelled"; got != want {
		t.Errorf("run and batch are %q, want %q", got, want)
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 8 {
		t.Errorf("%d payments are free, want 8", n)
	}
	for page := range 2 {
		if err := two.Dispatch(e.Ctx(), run, page); err != nil { // a command that comes late
			t.Fatal(err)
		}
	}
	next := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	e.Dispatch(one, next)
	if diff := cmp.Diff(map[string]int64{"succeeded": 12, "cancelled": 8}, e.PayoutStates()); diff != "" {
		t.Errorf("after the next run (-want +got):\n%s", diff)
	}
	e.Check()
	e.CheckItems()
	e.CheckEvents()
}

// What comes back after its run was cancelled, as not sent, is cancelled too; what may have been paid stays and is asked about; what waits for
// approval, or is held, is free; and nobody brings anything of it back.
func TestWhatComesBackToACancelledRun(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Config.Concurrency = 2
	e.Rules().Approval = config.Approval{Tiers: []config.Tier{{Above: 1_000_000, Approvals: 1}}}
	answers := map[string]provider.Result{
		sending.Phone(1): {Class: provider.NotSent, Code: "connection_refused"},
		sending.Phone(2): {Class: provider.Ambiguous, Code: "timeout"},
	}
	under, goOn := make(chan struct{}, 8), make(chan struct{})
	s := e.Sender(sending.Hooks{Submit: func(_ context.Context, tr provider.Transfer, _ provider.Submitter) provider.Result {
		under <- struct{}{}
		<-goOn
		return answers[tr.Destination]
	}})
	run := e.Plan(5)
	e.SQL("UPDATE payouts SET state = 'held', reason_code = 'daily_cap' WHERE payee_id = $1", sending.Payee(3))
	e.SQL("UPDATE payouts SET state = 'awaiting_approval', approvals_needed = 1 WHERE payee_id = $1", sending.Payee(4))
	e.SQL("UPDATE payouts SET state = 'failed', retry_at = $2 WHERE payee_id = $1", sending.Payee(5), e.Env.Clock.Now().Add(time.Minute))
	var sends sync.WaitGroup
	sends.Go(func() { e.DispatchMoving(s, run) })
	for range 2 {
		<-under
	}
	if err := cancelRun(e, run); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	sends.Wait()
	e.SweepOnly()
	want := []string{"cancelled/run_cancelled", "unknown/timeout", "cancelled/run_cancelled", "cancelled/run_cancelled", "failed"}
	check := func(when string) {
		t.Helper()
		var got []string
		for i := range want {
			got = append(got, e.Of(i+1))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("after the answers")
	e.Clock.Advance(2 * time.Minute)
	e.SweepOnly() // the retry is due, and is not made
	want[4] = "cancelled/run_cancelled"
	check("when its retry is due")
	if got := standing(t, e, run); got != "completed cancelled / cancelled cancelled" {
		t.Errorf("run and batch are %q", got)
	}
	err := pgx.BeginFunc(e.Ctx(), e.Pool, func(tx pgx.Tx) error {
		_, err := e.Store.RetryFailed(e.Ctx(), tx, payoutstest.Tenant, store.BatchID(run))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "was cancelled with its run") {
		t.Errorf("its failed payouts tried again: %v", err)
	}
	if err := retryRun(e, run); err == nil || !strings.Contains(err.Error(), "has not failed") {
		t.Errorf("retried: %v", err)
	}
	e.CheckItems()
}

// A run that waits for an earlier one is over when it is cancelled, and has planned nothing; one that is complete with nothing left cannot be.
func TestCancellingWhatHasNotBegunOrIsOver(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	s := e.Sender()
	first := e.Plan(2)
	queued := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	if got := standing(t, e, queued); got != "queued /" {
		t.Fatalf("the second run is %q", got)
	}
	if err := cancelRun(e, queued); err != nil {
		t.Fatal(err)
	}
	if got := standing(t, e, queued); got != "completed cancelled /" {
		t.Errorf("the second run is %q", got)
	}
	e.Dispatch(s, first)
	if err := cancelRun(e, first); err == nil || !strings.Contains(err.Error(), "nothing of it waits to be sent") {
		t.Errorf("a run that is over was cancelled: %v", err)
	}
	e.Check()
	e.CheckEvents()
}

// A run that is over and has only doubts left is not cancelled: its batch would say so for ever, whatever comes of them. One of which
// something waits still is, or is to be tried again.
func TestARunWithOnlyDoubtsIsNotCancelled(t *testing.T) {
	t.Parallel()
	for state, refused := range map[string]bool{
		"unknown": true, "processing": true, "manual_review": true, "failed, for good": true,
		"held": false, "approved": false, "awaiting_approval": false, "failed": false,
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			s := e.Sender(sending.Hooks{Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
				return provider.Result{Class: provider.Ambiguous, Code: "timeout"}
			}})
			run := e.Plan(1)
			e.Dispatch(s, run)
			e.SweepOnly()
			if got := standing(t, e, run); got != "completed / created open" {
				t.Fatalf("run and batch are %q", got)
			}
			word, forGood := strings.CutSuffix(state, ", for good")
			retry := "NULL"
			if word == "failed" && !forGood {
				retry = "now()"
			}
			e.SQL("UPDATE payouts SET retry_at = "+retry+", state = $1", word)
			err := cancelRun(e, run)
			if refused != (err != nil && strings.Contains(err.Error(), "nothing of it waits to be sent")) {
				t.Errorf("cancelled with what is %s: %v", state, err)
			}
			want := "completed / created open"
			if !refused {
				want = "completed / cancelled cancelled"
			}
			if got := standing(t, e, run); got != want {
				t.Errorf("run and batch are %q, want %q", got, want)
			}
		})
	}
}

// The tenants file loses a tenant in the middle of a run, and gets it back: the run goes on where it stopped, on the same page, once, however
// often it is asked to.
func TestAFailedRunGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	for name, tiers := range map[string][]config.Tier{"without approval": nil, "with approval of its sum": {{Above: 60_000, Approvals: 1}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			e.Rules().Approval.BatchTiers = tiers
			e.Planner.PageSize = 2
			s := e.Sender()
			rules := e.Rules()
			tenant := &e.Tenants.Tenants[0]
			pages := 0
			daily := e.Exec.Jobs["payouts/daily"]
			e.Exec.Jobs["payouts/daily"] = func(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
				if pages++; pages == 3 {
					tenant.Payouts = nil
				}
				return daily(ctx, tx, r)
			}
			csv := payoutstest.Header
			for i := 1; i <= 7; i++ {
				csv += fmt.Sprintf("pay-%d,%s,Livreur,%s,30000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n", i, sending.Payee(i), sending.Phone(i))
			}
			e.Import(csv)
			id := e.Run(payoutstest.Daily(sending.Evening))
			tenant.Payouts = rules
			if got := standing(t, e, id); !strings.HasPrefix(got, "failed not_configured / created") {
				t.Fatalf("run and batch are %q", got)
			}
			e.Sweep(s) // what it has planned goes, or waits for approval
			if tiers != nil {
				if got := standing(t, e, id); got != "failed not_configured / awaiting_approval open" {
					t.Fatalf("run and batch are %q", got)
				}
				e.InTx(func(tx pgx.Tx) error {
					return e.Store.AgreeToBatch(e.Ctx(), tx, store.BatchID(id), "user:ben", "four of them")
				})
			}
			for range 3 {
				if err := retryRun(e, id); err != nil {
					t.Fatal(err)
				}
			}
			if n := e.Count("SELECT count(*) FROM payouts"); n != 4 {
				t.Fatalf("%d payouts before it goes on", n)
			}
			e.Work()
			e.Dispatch(s, id)
			if tiers != nil { // what was approved was the sum of four
				if got := standing(t, e, id); !strings.HasSuffix(got, "awaiting_approval open") {
					t.Fatalf("run and batch are %q", got)
				}
				if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'"); n != 7 {
					t.Fatalf("%d payouts wait for approval of the batch: %v", n, e.PayoutStates())
				}
				e.InTx(func(tx pgx.Tx) error { return e.Store.AgreeToBatch(e.Ctx(), tx, store.BatchID(id), "user:ben", "all") })
				e.Dispatch(s, id)
			}
			e.SweepOnly()
			if diff := cmp.Diff(map[string]int64{"succeeded": 7}, e.PayoutStates()); diff != "" {
				t.Errorf("payouts (-want +got):\n%s", diff)
			}
			if got := standing(t, e, id); got != "completed / completed open" {
				t.Errorf("run and batch are %q", got)
			}
			if err := retryRun(e, id); err == nil || !strings.Contains(err.Error(), "has not failed") {
				t.Errorf("a run that is complete was retried: %v", err)
			}
			e.Check()
			e.CheckItems()
			e.CheckEvents()
		})
	}
}

// Runs of a schedule follow each other, also when one of them comes back; and one whose batch was cancelled does not come back.
func TestWhenAFailedRunCannotGoOn(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	s := e.Sender()
	rules, tenant := e.Rules(), &e.Tenants.Tenants[0]
	tenant.Payouts = nil
	if err := e.Fire(payoutstest.Daily(sending.Evening), "tick"); err == nil {
		e.Work()
	}
	tenant.Payouts = rules
	failed := e.Count("SELECT count(*) FROM runs WHERE state = 'failed'")
	if failed != 1 {
		t.Fatalf("%d failed runs", failed)
	}
	var id uuid.UUID
	if err := e.Pool.QueryRow(t.Context(), "SELECT run_id FROM runs").Scan(&id); err != nil {
		t.Fatal(err)
	}
	csv := payoutstest.Header + fmt.Sprintf("pay-1,%s,Livreur,%s,30000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n", sending.Payee(1), sending.Phone(1))
	e.Import(csv)
	other := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	if err := retryRun(e, id); err == nil || !strings.Contains(err.Error(), other.String()) || !strings.Contains(err.Error(), "running") {
		t.Errorf("retried beside another run: %v", err)
	}
	e.Dispatch(s, other)
	if err := retryRun(e, id); err != nil {
		t.Fatal(err)
	}
	e.Work()
	if got := standing(t, e, id); !strings.HasPrefix(got, "completed") {
		t.Errorf("the run is %q", got)
	}
	if diff := cmp.Diff(map[string]int64{"succeeded": 1}, e.PayoutStates()); diff != "" {
		t.Errorf("payouts (-want +got):\n%s", diff)
	}
	e.Check()
	e.CheckEvents()
}
