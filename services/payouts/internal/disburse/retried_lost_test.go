package disburse_test

import (
	"context"
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
)

// regretted is an evening of one payout that does not pay at first, of which there is a backup then, and that people have paid by another
// attempt in the hours that the backup does not have.
type regretted struct {
	*sending.Env
	t       *testing.T
	sender  *sending.Sender
	run, id uuid.UUID
	answers []provider.Result // to sends, the last of them for good; the zero one is the provider's own
	denied  bool              // the provider says now that it refused the first
	back    func()
}

func newRegretted(t *testing.T, answers ...provider.Result) *regretted {
	t.Helper()
	r := &regretted{Env: sending.New(t), t: t, answers: answers}
	r.sender = r.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		res := r.answers[0]
		if len(r.answers) > 1 {
			r.answers = r.answers[1:]
		}
		if res.Class == "" {
			return real.Submit(ctx, tr)
		}
		return res
	}, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if err == nil && !f.Exists && r.denied && tr.Reference == payout.Reference(r.id, 1) {
			return provider.Found{Exists: true, Amount: &tr.Amount, Destination: tr.Destination, Result: refusal}, nil
		}
		return f, err
	}})
	r.run = r.Plan(1)
	if err := r.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&r.id); err != nil {
		t.Fatal(err)
	}
	return r
}

var refusal = provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "refused"}

func (r *regretted) send() { r.Dispatch(r.sender, r.run) }

func (r *regretted) minutes(n int) {
	for range n {
		r.Clock.Advance(time.Minute)
		r.Pass(r.sender)
		r.Sweep(r.sender)
	}
}

// backup is made of the payout in a state.
func (r *regretted) backup(want string) {
	r.t.Helper()
	if got := r.One(); got != want {
		r.t.Fatalf("before the backup the payout is %s, want %s", got, want)
	}
	r.back = pgtest.Backup(r.t, r.Pool)
}

func (r *regretted) people() *resolve.Resolver {
	return &resolve.Resolver{Store: r.Store, Outcomes: r.sender.Outcomes, Clock: r.Clock}
}

func (r *regretted) retry() {
	r.InTx(func(tx pgx.Tx) error {
		return r.people().Retry(r.Ctx(), tx, payoutstest.Tenant, r.id, "the number is right now")
	})
	r.minutes(2)
}

// decide has two people say that it was not paid.
func (r *regretted) decide(again bool) {
	for _, who := range []string{"user:ada", "user:ben"} {
		ctx := auth.WithActor(event.WithCause(r.t.Context(), event.Cause{Actor: who}), auth.Actor{Name: who, Role: auth.Operator, Tenants: []string{"*"}})
		r.InTx(func(tx pgx.Tx) error {
			_, err := r.people().Resolve(ctx, tx, payoutstest.Tenant, r.id, admin.Resolution{Outcome: "not_paid", PayAgain: again, Evidence: "not on the statement"})
			return err
		})
		r.minutes(3)
	}
}

// restore loses what came after the backup; EVENTS has told of the payout in the state that it is in.
func (r *regretted) restore(want string) {
	r.t.Helper()
	var state string
	var version int64
	if err := r.Pool.QueryRow(r.t.Context(), "SELECT state, version FROM payouts").Scan(&state, &version); err != nil {
		r.t.Fatal(err)
	}
	if state != want {
		r.t.Fatalf("in the lost hours the payout came to be %s, want %s", state, want)
	}
	r.back()
	r.Clock.Advance(10 * time.Minute)
	mark(r.Env, 1)
	r.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'orange', 24000, $4, 0, $5)",
		r.id, payoutstest.Tenant, sending.Payee(1), state, version)
}

// evening is the next one, and what the payee's newest payout comes to in it.
func (r *regretted) evening(want string) {
	r.t.Helper()
	r.Dispatch(r.sender, r.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
	prove(r.t, r.Env, r.sender)
	if got := r.One(); got != want {
		r.t.Errorf("in the next evening the payout is %s, want %s", got, want)
	}
	paidOnce(r.t, r.Env, 1)
	r.CheckItems()
	r.CheckEvents()
}

// Promise 1. What had failed for good when the backup was made does not come again by itself, so what people had paid of it since is not found
// by its references. Its payments are free and go into the next payout, under another id: that waits for a person.
func TestWhatWasRetriedInTheLostHoursIsNotPaidAgain(t *testing.T) {
	t.Parallel()
	r := newRegretted(t, refusal, provider.Result{})
	r.send()
	r.backup("failed/refused")
	r.retry()
	r.restore("succeeded")
	r.evening("held/restored")
}

// Likewise what two people had said was not paid, and had paid again; it fails only after the restore.
func TestWhatWasPaidAgainInTheLostHoursIsNotPaidAgain(t *testing.T) {
	t.Parallel()
	r := newRegretted(t, provider.Result{Class: provider.Ambiguous, Code: "timeout"}, provider.Result{})
	r.send()
	r.minutes(12)
	r.backup("manual_review/not_resendable")
	r.decide(true)
	r.restore("succeeded")
	r.denied = true
	r.Clock.Advance(24 * time.Hour)
	r.minutes(1)
	if got := r.One(); got != "failed/refused" {
		t.Fatalf("the payout is %s", got)
	}
	r.evening("held/restored")
}

// What had failed and failed again has paid nobody: its payee waits for nothing.
func TestWhatFailedInTheLostHoursHoldsNobody(t *testing.T) {
	t.Parallel()
	r := newRegretted(t, refusal, refusal, provider.Result{})
	r.send()
	r.backup("failed/refused")
	r.retry()
	r.restore("failed")
	r.evening("succeeded")
}

// Nor does what was in doubt in the lost hours, is found by its reference after the restore, and turns out to have been refused.
func TestWhatIsFoundToHaveFailedHoldsNobody(t *testing.T) {
	t.Parallel()
	r := newRegretted(t, provider.Result{Class: provider.Ambiguous, Code: "timeout"}, provider.Result{})
	r.backup("approved")
	r.send()
	r.restore("unknown")
	r.denied = true
	r.send()
	prove(t, r.Env, r.sender)
	if got := r.One(); got != "failed/refused" {
		t.Fatalf("the payout is %s", got)
	}
	r.denied = false
	r.evening("succeeded")
}

// A person who has it tried again after the restore has the provider asked first, which tells of what was paid.
func TestARetryAfterTheRestoreFindsTheOneBefore(t *testing.T) {
	t.Parallel()
	r := newRegretted(t, refusal, provider.Result{})
	r.send()
	r.backup("failed/refused")
	r.retry()
	r.restore("succeeded")
	r.retry()
	prove(t, r.Env, r.sender)
	if got := r.One(); got != "succeeded" {
		t.Errorf("the payout is %s", got)
	}
	r.evening("succeeded")
}
