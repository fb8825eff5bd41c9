package disburse_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

// denied is an evening of one payout that was sent and that its provider, who deduplicates, denies since: it may go again under the same
// reference, and waits behind a pause.
type denied struct {
	*sending.Env
	t       *testing.T
	sender  *sending.Sender
	run     uuid.UUID
	id      uuid.UUID
	blind   atomic.Bool // the provider's reading side knows nothing
	arrives bool        // what is sent comes to the provider
}

func newDenied(t *testing.T, arrives bool) *denied {
	t.Helper()
	d := &denied{Env: sending.New(t), t: t, arrives: arrives}
	d.Config.Deduplicates = true
	d.blind.Store(true)
	lost := true
	d.sender = d.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		if !lost {
			return real.Submit(ctx, tr)
		}
		if lost = false; d.arrives {
			real.Submit(ctx, tr)
		}
		return provider.Result{Class: provider.Ambiguous, Code: "timeout"}
	}, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if d.blind.Load() {
			return provider.Found{}, nil
		}
		return real.Lookup(ctx, tr)
	}})
	d.run = d.Plan(1)
	d.Dispatch(d.sender, d.run)
	d.SQL("UPDATE batches SET control = 'paused'") // or it would go again at once
	d.minutes(12)
	d.is("approved/proven_never_created")
	if err := d.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	return d
}

// minutes go by, with everything that happens by itself.
func (d *denied) minutes(n int) {
	for range n {
		d.Clock.Advance(time.Minute)
		d.Pass(d.sender)
		d.Sweep(d.sender)
	}
}

func (d *denied) is(want string) {
	d.t.Helper()
	if got := d.One(); got != want {
		d.t.Fatalf("the payout is %s, want %s", got, want)
	}
}

func (d *denied) cancel() {
	d.t.Helper()
	if err := cancelRun(d.Env, d.run); err != nil {
		d.t.Fatal(err)
	}
}

// decide has two people say that it was not paid.
func (d *denied) decide() {
	d.t.Helper()
	people := &resolve.Resolver{Store: d.Store, Outcomes: d.sender.Outcomes, Clock: d.Clock}
	for _, who := range []string{"user:ada", "user:ben"} {
		ctx := auth.WithActor(event.WithCause(d.t.Context(), event.Cause{Actor: who}), auth.Actor{Name: who, Role: auth.Operator, Tenants: []string{"*"}})
		d.InTx(func(tx pgx.Tx) error {
			_, err := people.Resolve(ctx, tx, payoutstest.Tenant, d.id, admin.Resolution{Outcome: "not_paid", Evidence: "not on the statement"})
			return err
		})
		d.minutes(1)
	}
}

// after has the next evening run, and holds everything against the provider's book: whatever came of it, the payee has been paid once.
func (d *denied) after(free int64) {
	d.t.Helper()
	if n := d.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != free {
		d.t.Errorf("%d payments are free, want %d", n, free)
	}
	d.blind.Store(false)
	d.minutes(3)
	d.Dispatch(d.sender, d.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
	d.minutes(3)
	paidOnce(d.t, d.Env, 1)
	d.CheckItems()
	d.CheckEvents()
}

// What was sent, denied by its provider and cancelled with its run goes nowhere under its reference any more, and is not free either. It is
// asked about again; while nothing is known people decide; and it is not paid twice, whatever is found.
func TestWhatWasDeniedBeforeItsRunWasCancelledIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	for name, way := range map[string][]payout.State{
		"approved": nil, "held": {payout.Held}, "awaiting approval": {payout.Held, payout.AwaitingApproval},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, true)
			for _, to := range way {
				d.InTx(func(tx pgx.Tx) error {
					from := []payout.State{payout.Approved, payout.Held}
					_, err := d.Store.Apply(d.Ctx(), tx, []store.Change{{PayoutID: d.id, From: from, To: to, Reason: payout.HeldBy(payout.CodePayeePaused)}})
					return err
				})
			}
			d.cancel()
			d.SweepOnly()
			d.is("unknown/run_cancelled")
			if b := d.Balances(); b["in_transit:orange"] != -24000 {
				t.Errorf("in transit are %d", b["in_transit:orange"])
			}
			d.minutes(12)
			d.is("manual_review/not_resendable")
			d.blind.Store(false)
			d.Clock.Advance(24 * time.Hour)
			d.Pass(d.sender)
			d.is("succeeded")
			d.after(0)
			d.Check()
		})
	}
}

// It did not arrive, and two people say so: its payments are free, and the next run pays them.
func TestWhatWasDeniedAndNeverArrivedIsFreedByTwoPeople(t *testing.T) {
	t.Parallel()
	d := newDenied(t, false)
	d.cancel()
	d.minutes(12)
	d.is("manual_review/not_resendable")
	if n := d.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 0 {
		t.Fatal("its payment is free before anybody has decided")
	}
	d.decide()
	d.is("failed/resolved_not_paid")
	d.after(1)
	d.Check()
}

// A webhook that speaks of it before the sweeper comes has the provider asked first. What that finds contradicts what is closed, and is for
// the books: it is neither freed nor in doubt.
func TestAWebhookBeforeADeniedPayoutIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	d := newDenied(t, true)
	d.cancel()
	d.Hint(d.sender)
	d.SweepOnly()
	d.is("approved/proven_never_created")
	d.blind.Store(false)
	d.minutes(1)
	d.is("held/contradicted")
	d.minutes(10)
	d.is("held/contradicted")
	d.after(0)
}

// A webhook that comes afterwards is heard at once.
func TestAWebhookAfterADeniedPayoutIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	d := newDenied(t, true)
	d.cancel()
	d.minutes(12)
	d.blind.Store(false)
	d.Hint(d.sender)
	d.Pass(d.sender)
	d.is("succeeded")
	d.after(0)
	d.Check()
}

// Restored to where it is denied and its run is not cancelled yet, it is asked about for the restore first.
func TestADeniedPayoutAfterARestore(t *testing.T) {
	t.Parallel()
	d := newDenied(t, true)
	back := pgtest.Backup(t, d.Pool)
	d.cancel()
	d.minutes(2)
	back()
	mark(d.Env, 1)
	d.cancel()
	d.SweepOnly()
	d.is("approved/proven_never_created") // the provider is asked what came after the backup
	prove(t, d.Env, d.sender)
	d.minutes(1)
	d.is("unknown/run_cancelled") // nothing did; what came before it is another question
	d.blind.Store(false)
	d.minutes(12)
	d.is("succeeded")
	d.after(0)
}

// A payout that is tried again, and of whose failure a webhook has spoken: it is not freed before the provider is asked, and not afterwards
// either, for it was paid.
func TestWhatAWebhookSpeaksOfIsNotFreedByACancelledRun(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.Identical, 1)
	s := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}, nil
	}})
	run := e.Send(s, 1)
	if err := cancelRun(e, run); err != nil {
		t.Fatal(err)
	}
	e.Hint(s)
	e.Clock.Advance(2 * time.Minute)
	for range 2 { // it is approved again, and would be cancelled
		e.SweepOnly()
	}
	if got := e.One(); got != "approved/retry" {
		t.Fatalf("the payout is %s before the provider was asked", got)
	}
	e.Pass(s)
	e.SweepOnly()
	if got := e.One(); got != "held/contradicted" {
		t.Errorf("the payout is %s", got)
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 0 {
		t.Errorf("%d payments are free", n)
	}
	e.CheckItems()
}
