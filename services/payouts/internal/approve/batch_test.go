package approve_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
)

// byTotal asks one person for a run of 30,000 or more.
var byTotal = config.Approval{BatchTiers: []config.Tier{{Above: 30_000, Approvals: 1}}, ExpiresAfter: 24 * time.Hour}

func (o *office) batchIs(want string) {
	o.t.Helper()
	var got string
	if err := o.Pool.QueryRow(o.t.Context(), "SELECT state || ' ' || control FROM batches").Scan(&got); err != nil || got != want {
		o.t.Fatalf("the batch is %s, want %s (%v)", got, want, err)
	}
}

func TestNothingOfABatchIsSentBeforeItsSumIsKnown(t *testing.T) {
	t.Parallel()
	o := newOffice(t, byTotal)
	o.Planner.PageSize = 1
	run := o.plan(16_000, 8_000, 8_000)
	o.batchIs("awaiting_approval open")
	for range 3 { // whatever wakes it
		o.Env.Clock.Advance(time.Minute)
		o.work(run)
	}
	if n := o.Requests(); n != 0 {
		t.Fatalf("%d sent before the batch is approved", n)
	}
	if n := o.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
		t.Error("the run is kept open by a batch that waits for people")
	}
	if _, err := o.approveBatch("user:ada"); err != nil {
		t.Fatal(err)
	}
	o.work(run)
	if diff := cmp.Diff(map[string]int64{"succeeded": 3}, o.PayoutStates()); diff != "" {
		t.Error(diff)
	}
	o.work(run)
	o.batchIs("completed open")
	o.Check()
}

// While a run is being planned its pages wait, also when its sum turns out to be small.
func TestASmallBatchGoesWhenItIsPlanned(t *testing.T) {
	t.Parallel()
	o := newOffice(t, byTotal)
	o.Planner.PageSize = 1
	run := o.plan(16_000, 8_000)
	o.batchIs("created open")
	o.SQL("UPDATE runs SET planned = false")
	o.Dispatch(o.sender, run)
	if n := o.Requests(); n != 0 {
		t.Fatalf("%d sent while the run is planned", n)
	}
	o.SQL("UPDATE runs SET planned = true")
	o.Commands(o.sender) // those of the last page
	if diff := cmp.Diff(map[string]int64{"succeeded": 2}, o.PayoutStates()); diff != "" {
		t.Error(diff)
	}
	o.Check()
}

// A run that fails while it is planned leaves nothing behind that nobody can approve: what there is of it waits or goes by its sum.
func TestWhatAFailedRunHasPlannedWaitsOrGoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		net  int64
		want string
	}{"waits": {16_000, "awaiting_approval open"}, "goes": {8_000, "created open"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, byTotal)
			o.Planner.PageSize = 1
			rules, tenant := o.Rules(), &o.Tenants.Tenants[0]
			job := o.Exec.Jobs[runs.JobDaily]
			o.Exec.Jobs[runs.JobDaily] = func(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
				if r.Page == 2 {
					tenant.Payouts = nil
				}
				return job(ctx, tx, r)
			}
			o.plan(c.net, c.net, c.net)
			if n := o.Count("SELECT count(*) FROM runs WHERE state = 'failed' AND NOT planned"); n != 1 {
				t.Fatal("the run has not failed")
			}
			o.SweepOnly() // without rules nobody knows the tiers
			o.batchIs("created open")
			tenant.Payouts = rules
			o.SweepOnly()
			o.batchIs(c.want)
			if c.net == 16_000 {
				if _, err := o.approveBatch("user:ada"); err != nil {
					t.Fatal(err)
				}
			}
			o.Commands(o.sender)
			if diff := cmp.Diff(map[string]int64{"succeeded": 2}, o.PayoutStates()); diff != "" {
				t.Error(diff)
			}
			o.Check()
		})
	}
}

func TestABatchsRequesterDoesNotApproveIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t, byTotal)
	o.plan(30_400)
	o.SQL("UPDATE runs SET requester = 'user:ada'")
	for _, name := range []string{"user:ada", "user:test"} { // who started it, who imported it
		if _, err := o.approveBatch(name); err == nil {
			t.Errorf("%s approves what they asked for", name)
		}
	}
	o.batchIs("awaiting_approval open")
}

func TestARejectedBatchFreesEverything(t *testing.T) {
	t.Parallel()
	both := byTotal
	both.Tiers = []config.Tier{{Above: 20_000, Approvals: 1}}
	o := newOffice(t, both)
	run := o.plan(20_000, 16_000, 8_000)
	o.must("user:op", o.resolver.Hold, o.id(3))
	o.must("user:ada", o.rejectBatch, o.batch())
	o.batchIs("rejected cancelled")
	if o.rejected != (admin.Rejected{Rejected: 1}) {
		t.Errorf("told %+v", o.rejected)
	}
	if diff := cmp.Diff(map[string]int64{"rejected": 1, "cancelled": 2}, o.PayoutStates()); diff != "" {
		t.Error(diff)
	}
	o.work(run)
	if n := o.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 3 || o.Requests() != 0 {
		t.Errorf("%d payments are free, %d requests", n, o.Requests())
	}
	o.Check()
}

// What of a batch may have been paid is not rejected, and whoever rejects the rest is told how much that is.
func TestRejectingABatchTellsWhatItLeaves(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	o.plan(20_000, 24_000, 28_000)
	o.SQL("UPDATE payouts SET contradicted = true WHERE payee_id = $1", sending.Payee(2))
	o.must("user:ada", o.rejectBatch, o.batch())
	if o.rejected != (admin.Rejected{Rejected: 2, LeftInDoubt: 1}) {
		t.Errorf("told %+v", o.rejected)
	}
	o.wants(2, "awaiting_approval/above_tier")
}

// Whoever has recorded any step of a payment, its first, one between or its completion, does not approve it.
func TestNobodyApprovesAPaymentOfWhichTheyRecordedAStep(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	sink := rows.Sink{Refused: func(r rows.Error) error { return &r }, Progress: func(rows.Counts) error { return nil }}
	for _, step := range []struct{ who, status, at string }{
		{"user:ada", "pending", ""}, {"user:ben", "processing", ""}, {"user:cleo", "completed", "2025-01-24T12:00:00Z"},
	} {
		file := payoutstest.Header + fmt.Sprintf("pay-1,%s,Livreur,%s,25000,XOF,orange_money,%s,%s,\n", sending.Payee(1), sending.Phone(1), step.status, step.at)
		if _, err := o.Importer.Payments(o.as(step.who), o.Tenants.Tenants[0], "csv", strings.NewReader(file), sink); err != nil {
			t.Fatal(err)
		}
	}
	o.Run(payoutstest.Daily(sending.Evening))
	o.wants(1, "awaiting_approval/above_tier")
	for _, who := range []string{"user:ada", "user:ben", "user:cleo"} {
		if err := o.say(who, o.ApprovePayout, o.id(1)); err == nil {
			t.Errorf("%s approves what they have recorded", who)
		}
	}
	o.must("user:dan", o.ApprovePayout, o.id(1))
	o.wants(1, "approved/approved")
}

// An approval of the whole batch is one for each payout of it that waits, but not of what one may not approve.
func TestABatchIsApprovedAsASet(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	run := o.plan(20_000, 50_000, 24_000, 16_000)
	o.SQL("UPDATE payments SET recorded_by = '{user:ada}' WHERE payment_id = 'pay-3'")
	done, err := o.approveBatch("user:ada")
	if err != nil {
		t.Fatal(err)
	}
	if want := (admin.Approved{Approved: 1, Waiting: 1, LeftToOthers: 1}); done != want {
		t.Errorf("got %+v, want %+v", done, want)
	}
	if done, err = o.approveBatch("user:ben"); err != nil || done != (admin.Approved{Approved: 2}) {
		t.Errorf("got %+v, %v", done, err)
	}
	if _, err = o.approveBatch("user:ben"); err == nil {
		t.Error("nothing waits, and an approval of it is taken")
	}
	o.work(run)
	if diff := cmp.Diff(map[string]int64{"succeeded": 4}, o.PayoutStates()); diff != "" {
		t.Error(diff)
	}
	o.Check()
}

func TestABatchsApprovalExpires(t *testing.T) {
	t.Parallel()
	o := newOffice(t, byTotal)
	run := o.plan(30_400)
	o.Env.Clock.Advance(24 * time.Hour)
	if _, err := o.approveBatch("user:ada"); err == nil {
		t.Error("an expired approval is given")
	}
	o.work(run)
	o.batchIs("paused paused")
	if _, err := o.approveBatch("user:ada"); err == nil {
		t.Error("a paused batch is approved")
	}
	o.resume("user:op")
	o.batchIs("awaiting_approval open")
	if _, err := o.approveBatch("user:op"); err == nil {
		t.Error("who asked again approves")
	}
	o.work(run)
	if o.Requests() != 0 {
		t.Error("resuming an unapproved batch sends it")
	}
	if _, err := o.approveBatch("user:ada"); err != nil {
		t.Fatal(err)
	}
	o.work(run)
	o.Check()
	want := []string{
		"payout_batch.created", "payout_batch.awaiting_approval", "payout_batch.paused", "payout_batch.resumed",
		"payout_batch.awaiting_approval", "payout_batch.approved", "payout_batch.completed",
	}
	if got := o.EventTypes("payout_batch"); !slices.Equal(got, want) {
		t.Errorf("events %v", got)
	}
}

// A pause is no way around a batch tier either.
func TestPausingDuringPlanningDoesNotBypass(t *testing.T) {
	t.Parallel()
	o := newOffice(t, byTotal)
	run := o.plan(30_400)
	o.InTx(func(tx pgx.Tx) error {
		_, err := o.Env.Store.PauseBatchBy(o.Ctx(), tx, o.batch(), "look at it")
		return err
	})
	o.resume("user:op")
	o.batchIs("awaiting_approval open")
	o.work(run)
	if o.Requests() != 0 {
		t.Error("sent")
	}
}

func (o *office) resume(name string) {
	o.t.Helper()
	o.InTx(func(tx pgx.Tx) error {
		ok, err := o.Env.Store.ResumeBatch(o.as(name), tx, o.batch(), name)
		if err == nil && !ok {
			o.t.Error("the batch cannot be resumed")
		}
		return err
	})
}
