package approve_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/approve"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// office is where approvers and operators sit.
type office struct {
	*sending.Env
	approve.Approver
	resolver *resolve.Resolver
	sender   *sending.Sender
	rejected admin.Rejected
	t        *testing.T
}

// tier asks one person from 20,000 on and two from 50,000 on.
var tiers = config.Approval{
	Tiers: []config.Tier{{Above: 20_000, Approvals: 1}, {Above: 50_000, Approvals: 2}}, ExpiresAfter: 24 * time.Hour,
}

func newOffice(t *testing.T, rules config.Approval) *office {
	e := sending.New(t)
	e.Rules().Approval = rules
	o := &office{Env: e, t: t, sender: e.Sender(), Approver: approve.Approver{Store: e.Store, Clock: e.Clock}}
	o.resolver = &resolve.Resolver{Store: e.Store, Outcomes: o.sender.Outcomes, Clock: e.Clock}
	return o
}

// plan imports a payment of each net amount for a payee of its own and plans the evening.
func (o *office) plan(nets ...int64) uuid.UUID {
	o.t.Helper()
	var csv strings.Builder
	csv.WriteString(payoutstest.Header)
	for i, net := range nets {
		fmt.Fprintf(&csv, "pay-%d,%s,Livreur,%s,%d,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n", i+1, sending.Payee(i+1), sending.Phone(i+1), net*10/8)
	}
	if _, refused := o.Import(csv.String()); len(refused) > 0 {
		o.t.Fatal(refused)
	}
	o.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	return o.Run(payoutstest.Daily(sending.Evening))
}

func (o *office) as(name string) context.Context {
	ctx := event.WithCause(o.t.Context(), event.Cause{Actor: name, CorrelationID: "test"})
	return auth.WithActor(ctx, auth.Actor{Name: name, Role: auth.Approver, Tenants: []string{"*"}})
}

func (o *office) id(payee int) (id uuid.UUID) {
	o.t.Helper()
	if err := o.Pool.QueryRow(o.t.Context(), "SELECT payout_id FROM payouts WHERE payee_id = $1 ORDER BY seq LIMIT 1", sending.Payee(payee)).Scan(&id); err != nil {
		o.t.Fatal(err)
	}
	return id
}

func (o *office) batch() (id uuid.UUID) {
	o.t.Helper()
	if err := o.Pool.QueryRow(o.t.Context(), "SELECT batch_id FROM batches").Scan(&id); err != nil {
		o.t.Fatal(err)
	}
	return id
}

type decision func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error

func (o *office) say(name string, do decision, id uuid.UUID) error {
	return pg.InTx(o.as(name), o.Pool, func(tx pgx.Tx) error { return do(o.as(name), tx, payoutstest.Tenant, id, "because") })
}

func (o *office) must(name string, do decision, id uuid.UUID) {
	o.t.Helper()
	if err := o.say(name, do, id); err != nil {
		o.t.Fatalf("%s: %v", name, err)
	}
}

func (o *office) refused(code, name string, do decision, id uuid.UUID) {
	o.t.Helper()
	err := o.say(name, do, id)
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(status.Convert(err).Proto().String(), code) {
		o.t.Errorf("%s: got %v, want a refusal as %s", name, err, code)
	}
}

func (o *office) approveBatch(name string) (done admin.Approved, err error) {
	id := o.batch()
	err = pg.InTx(o.as(name), o.Pool, func(tx pgx.Tx) error {
		done, err = o.ApproveBatch(o.as(name), tx, payoutstest.Tenant, id, "because")
		return err
	})
	return done, err
}

func (o *office) wants(payee int, want string) {
	o.t.Helper()
	var got string
	sql := "SELECT state || CASE reason_code WHEN '' THEN '' ELSE '/' || reason_code END FROM payouts WHERE payee_id = $1 ORDER BY seq LIMIT 1"
	if err := o.Pool.QueryRow(o.t.Context(), sql, sending.Payee(payee)).Scan(&got); err != nil || got != want {
		o.t.Fatalf("payout of payee %d is %s, want %s (%v)", payee, got, want, err)
	}
}

// work lets everything that happens by itself happen.
func (o *office) work(run uuid.UUID) {
	o.t.Helper()
	o.Dispatch(o.sender, run)
	o.Commands(o.sender)
	o.Sweep(o.sender)
	o.Pass(o.sender)
}

func TestTiersAskForAsManyPeople(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	run := o.plan(16_000, 20_000, 50_000)
	o.wants(1, "approved")
	o.wants(2, "awaiting_approval/above_tier")
	o.wants(3, "awaiting_approval/above_tier")
	o.work(run)
	if n := o.Requests(); n != 1 {
		t.Fatalf("%d payouts sent before anybody approved, want the small one", n)
	}
	if n := o.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
		t.Error("the run is kept open by what waits for people")
	}
	o.must("user:ada", o.ApprovePayout, o.id(2))
	o.wants(2, "approved/approved")
	o.must("user:ada", o.ApprovePayout, o.id(3))
	o.wants(3, "awaiting_approval/above_tier")
	o.refused("already_approved", "user:ada", o.ApprovePayout, o.id(3))
	o.refused("already_approved", "user:ada", o.ApprovePayout, o.id(3))
	o.wants(3, "awaiting_approval/above_tier")
	o.must("user:ben", o.ApprovePayout, o.id(3))
	o.refused("state", "user:cleo", o.ApprovePayout, o.id(3))
	o.work(run)
	o.wants(2, "succeeded")
	o.wants(3, "succeeded")
	o.Check()
}

// Who imported a payment of it, who started the run, and who asked for it again are not those who approve it.
func TestNobodyApprovesWhatTheyAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	o.plan(20_000)
	o.refused("own_request", "user:test", o.ApprovePayout, o.id(1)) // the importer
	o.SQL("UPDATE runs SET requester = 'user:ada'")
	o.refused("own_request", "user:ada", o.ApprovePayout, o.id(1))
	o.must("user:ben", o.resolver.Hold, o.id(1))
	o.must("user:ben", o.resolver.Release, o.id(1))
	o.wants(1, "awaiting_approval/above_tier")
	o.refused("own_request", "user:ben", o.ApprovePayout, o.id(1))
	o.must("user:cleo", o.ApprovePayout, o.id(1))
	o.wants(1, "approved/approved")
	o.Check()
}

// Whoever imports that a payment is completed does not take the place of who imported the payment, its payee and its amount.
func TestTheFirstImporterDoesNotApprove(t *testing.T) {
	t.Parallel()
	both := tiers
	both.BatchTiers = byTotal.BatchTiers
	o := newOffice(t, both)
	row := fmt.Sprintf("pay-1,%s,Livreur,%s,50000,XOF,orange_money,%%s,2025-01-24T12:00:00Z,\n", sending.Payee(1), sending.Phone(1))
	for _, by := range []struct{ name, status string }{{"user:ada", "processing"}, {"service:orders", "completed"}} {
		sink := rows.Sink{Refused: func(r rows.Error) error { return &r }, Progress: func(rows.Counts) error { return nil }}
		file := strings.NewReader(payoutstest.Header + fmt.Sprintf(row, by.status))
		if _, err := o.Importer.Payments(o.as(by.name), o.Tenants.Tenants[0], "csv", file, sink); err != nil {
			t.Fatal(err)
		}
	}
	o.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	o.Run(payoutstest.Daily(sending.Evening))
	for _, name := range []string{"user:ada", "service:orders"} {
		o.refused("own_request", name, o.ApprovePayout, o.id(1))
		if _, err := o.approveBatch(name); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s approves the batch: %v", name, err)
		}
	}
	o.must("user:ben", o.ApprovePayout, o.id(1))
	if _, err := o.approveBatch("user:cleo"); err != nil {
		t.Error(err)
	}
}

// A tick by hand carries who asked for it into its run; a schedule's own tick is nobody's request.
func TestTheTicksActorIsTheRequester(t *testing.T) {
	t.Parallel()
	for trigger, want := range map[string]string{"manual": "user:test", "cron": "", "catch_up": ""} {
		o := newOffice(t, tiers)
		tick := payoutstest.Daily(sending.Evening)
		tick.Trigger = trigger
		o.Run(tick)
		var got string
		if err := o.Pool.QueryRow(t.Context(), "SELECT requester FROM runs").Scan(&got); err != nil || got != want {
			t.Errorf("trigger %s: requester %q, want %q (%v)", trigger, got, want, err)
		}
	}
}

// rejectBatch is RejectBatch as a decision; what it counted is in rejected.
func (o *office) rejectBatch(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) (err error) {
	o.rejected, err = o.RejectBatch(ctx, tx, tenant, id, reason)
	return err
}

// Asking again takes back one's own approval: two of three words of one person are one word.
func TestWhoAsksAgainTakesTheirApprovalBack(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	o.plan(50_000)
	o.must("user:ada", o.ApprovePayout, o.id(1))
	o.must("user:ada", o.resolver.Hold, o.id(1))
	o.must("user:ada", o.resolver.Release, o.id(1))
	o.must("user:ben", o.ApprovePayout, o.id(1))
	o.wants(1, "awaiting_approval/above_tier")
	o.refused("own_request", "user:ada", o.ApprovePayout, o.id(1))
	o.must("user:cleo", o.ApprovePayout, o.id(1))
	o.wants(1, "approved/approved")
}

func TestRejectedFreesItsPayments(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	run := o.plan(20_000)
	o.must("user:ada", o.RejectPayout, o.id(1))
	o.wants(1, "rejected/rejected")
	o.refused("state", "user:ben", o.ApprovePayout, o.id(1))
	o.work(run)
	if n := o.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 1 || o.Requests() != 0 {
		t.Errorf("%d payments are free, %d requests", n, o.Requests())
	}
	o.Check()
}

// What was sent before is not freed while it may have been paid: neither by itself nor with its batch.
func TestWhatIsAskedAboutIsNotRejected(t *testing.T) {
	t.Parallel()
	for doubt, sql := range map[string]string{
		"a webhook spoke of it": "UPDATE attempts SET next_lookup_at = submitted_at WHERE subject_id = $1",
		"contradicted":          "UPDATE payouts SET contradicted = true WHERE payout_id = $1",
	} {
		t.Run(doubt, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, config.Approval{})
			o.Cashin(simulator.Failed, 1)
			run := o.plan(20_000)
			o.work(run)
			o.Rules().Approval = tiers
			o.must("user:op", o.resolver.Retry, o.id(1))
			o.wants(1, "awaiting_approval/above_tier")
			if _, err := o.Pool.Exec(t.Context(), sql, o.id(1)); err != nil {
				t.Fatal(err)
			}
			o.refused("in_doubt", "user:ada", o.RejectPayout, o.id(1))
			o.refused("in_doubt", "user:ada", o.rejectBatch, o.batch())
			o.wants(1, "awaiting_approval/above_tier")
			if n := o.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 0 {
				t.Errorf("%d payments are free for another run", n)
			}
			o.SQL("UPDATE attempts SET next_lookup_at = NULL")
			o.SQL("UPDATE payouts SET contradicted = false")
			o.must("user:ada", o.rejectBatch, o.batch())
			o.wants(1, "rejected/rejected")
		})
	}
}

func TestAnApprovalExpiresAndIsAskedForAgain(t *testing.T) {
	t.Parallel()
	o := newOffice(t, tiers)
	run := o.plan(50_000)
	o.must("user:ada", o.ApprovePayout, o.id(1))
	o.Env.Clock.Advance(24 * time.Hour)
	o.refused("approval_expired", "user:ben", o.ApprovePayout, o.id(1)) // the sweeper has not come by yet
	o.work(run)
	o.wants(1, "held/approval_expired")
	for range 3 {
		o.Env.Clock.Advance(time.Hour)
		o.work(run)
	}
	o.wants(1, "held/approval_expired") // by itself it asks nobody
	o.refused("state", "user:ben", o.ApprovePayout, o.id(1))
	o.must("user:op", o.resolver.Release, o.id(1))
	o.wants(1, "awaiting_approval/above_tier")
	o.must("user:ben", o.ApprovePayout, o.id(1))
	o.wants(1, "awaiting_approval/above_tier") // what was said before is void
	o.must("user:ada", o.ApprovePayout, o.id(1))
	o.work(run)
	o.wants(1, "succeeded")
	o.Check()
}

// Trap 42: no way to the provider leads around a tier, whoever takes it and whatever brought the payout there.
func TestNothingBypassesApproval(t *testing.T) {
	t.Parallel()
	one := config.Approval{Tiers: []config.Tier{{Above: 20_000, Approvals: 1}}}
	t.Run("a tier that is newer than the payout", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, config.Approval{})
		run := o.plan(20_000)
		o.wants(1, "approved")
		o.Rules().Approval = one
		o.work(run)
		o.wants(1, "awaiting_approval/above_tier")
		o.notSent()
	})
	t.Run("the end of a stop", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, one)
		o.StopTenant(true)
		run := o.plan(20_000)
		o.wants(1, "held/tenant_stop")
		o.StopTenant(false)
		o.work(run)
		o.wants(1, "awaiting_approval/above_tier")
		if got, want := o.EventTypes("payout"), []string{"payout.created", "payout.held", "payout.awaiting_approval"}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v: it was never approved", got, want)
		}
		o.notSent()
	})
	t.Run("a retry", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, config.Approval{})
		o.Cashin(simulator.Failed, 1)
		run := o.plan(20_000)
		o.work(run)
		o.Rules().Approval = one
		o.must("user:op", o.resolver.Retry, o.id(1))
		o.wants(1, "awaiting_approval/above_tier")
		o.refused("own_request", "user:op", o.ApprovePayout, o.id(1))
		o.work(run)
		if n := o.Requests(); n != 1 {
			t.Errorf("%d requests, want the refused one", n)
		}
		o.must("user:ada", o.ApprovePayout, o.id(1))
		o.work(run)
		o.wants(1, "succeeded")
		o.Check()
	})
	t.Run("an automatic retry of what was approved", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, one)
		run := o.plan(20_000)
		o.must("user:ada", o.ApprovePayout, o.id(1))
		o.Cashin(simulator.Failed, 1)
		o.work(run)
		o.must("user:op", o.resolver.Retry, o.id(1))
		o.wants(1, "approved/retry") // the same sum was approved
		o.work(run)
		o.wants(1, "succeeded")
		o.Check()
	})
	t.Run("parts of a sum", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, one)
		o.Rules().MaxPerPayout = 12_000
		csv := payoutstest.Header
		for i := range 2 {
			csv += fmt.Sprintf("pay-%d,%s,Livreur,%s,15000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n", i, sending.Payee(1), sending.Phone(1))
		}
		o.Import(csv)
		o.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
		run := o.Run(payoutstest.Daily(sending.Evening))
		o.work(run)
		if diff := cmp.Diff(map[string]int64{"awaiting_approval": 2}, o.PayoutStates()); diff != "" {
			t.Errorf("two payouts of 12,000 to one payee (-want +got):\n%s", diff)
		}
		o.notSent()
	})
}

func (o *office) notSent() {
	o.t.Helper()
	if n := o.Requests(); n != 0 {
		o.t.Errorf("%d requests", n)
	}
	o.Check()
}
