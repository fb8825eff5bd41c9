package resolve_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const tenant = recurrencestest.Tenant

// inReview makes a charge of which the gateway knows nothing.
func inReview(t *testing.T) (*recurrencestest.Env, uuid.UUID) {
	t.Helper()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutGone)
	e.Morning("2025-10-30")
	for range 4 {
		e.LookUp(10 * time.Second)
	}
	c := e.Charge("rec-1", "2025-10-30")
	if c.State != charge.ManualReview {
		t.Fatalf("charge %s", c.State)
	}
	return e, c.ID
}

// say is what a person says of a charge.
func say(e *recurrencestest.Env, who string, id uuid.UUID, res resolve.Resolution) (applied bool, err error) {
	ctx := e.As(who)
	err = pg.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		said, err := e.Resolver.ResolveCharge(ctx, tx, tenant, id, res)
		applied = said.Agreed
		return err
	})
	return applied, err
}

func mustSay(t *testing.T, e *recurrencestest.Env, who string, id uuid.UUID, res resolve.Resolution, want bool) {
	t.Helper()
	applied, err := say(e, who, id, res)
	if err != nil || applied != want {
		t.Fatalf("%s says %+v: applied %t, %v", who, res, applied, err)
	}
}

func refused(t *testing.T, err error) {
	t.Helper()
	if c := status.Code(err); c != codes.FailedPrecondition && c != codes.InvalidArgument {
		t.Errorf("not refused: %v", err)
	}
}

func TestTwoPeopleResolveAReview(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		say        resolve.Resolution
		state      charge.State
		recurrence recurrence.State
		books      map[string]int64
		sends      int
	}{
		"paid": {
			resolve.Resolution{Outcome: resolve.Paid, Evidence: "statement 17"},
			charge.Succeeded, recurrence.Active,
			map[string]int64{"gateway_receivable:cielo": 4990, "seller_payable:seller-1": -4990},
			1,
		},
		"not paid": {
			resolve.Resolution{Outcome: resolve.NotPaid, Evidence: "statement 17"}, charge.FailedSoft, recurrence.PastDue, map[string]int64{}, 1,
		},
		"not paid, again": {
			resolve.Resolution{Outcome: resolve.NotPaid, PayAgain: true, Evidence: "statement 17"},
			charge.Succeeded, recurrence.Active,
			map[string]int64{"gateway_receivable:cielo": 4990, "seller_payable:seller-1": -4990},
			2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, id := inReview(t)
			e.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.OK)
			mustSay(t, e, "ada", id, c.say, false)
			mustSay(t, e, "ada", id, c.say, false) // the same person does not make two
			if c.say.Outcome == resolve.NotPaid {
				_, err := say(e, "bob", id, c.say)
				refused(t, err) // no lookup since
			}
			e.LookUp(10 * time.Second)
			mustSay(t, e, "bob", id, c.say, true)
			e.Work()
			got, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
			if got.State != c.state || r.State != c.recurrence || len(e.Gateway.Sends()) != c.sends {
				t.Errorf("charge %s, recurrence %s, %d sends", got.State, r.State, len(e.Gateway.Sends()))
			}
			if k := e.Card(recurrencestest.TimeoutGone); k.Failures != 0 {
				t.Errorf("the card has %d failures, and never said no", k.Failures)
			}
			if diff := cmp.Diff(c.books, e.Balances()); diff != "" {
				t.Errorf("books (-want +got):\n%s", diff)
			}
			if n := e.Count("SELECT count(*) FROM proposals"); n != 0 {
				t.Error("what was said of this review is left for the next one")
			}
			if c.say.Outcome == resolve.NotPaid && !c.say.PayAgain && got.RetryOn.String() != "2025-10-31" {
				t.Errorf("retry on %s", got.RetryOn)
			}
			e.CheckEvents()
		})
	}
}

func TestNotPaidIsRefusedWhenTheGatewaySaysOtherwise(t *testing.T) {
	t.Parallel()
	e, id := inReview(t)
	words := resolve.Resolution{Outcome: resolve.NotPaid, PayAgain: true, Evidence: "I am sure"}
	mustSay(t, e, "ada", id, words, false)
	e.Gateway.Finish(e.Charge("rec-1", "2025-10-30").Reference, provider.Result{Class: provider.Accepted, Code: "pending"})
	e.LookUp(10 * time.Second)
	_, err := say(e, "bob", id, words)
	refused(t, err)
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends", n)
	}
	_, err = say(e, "bob", id, resolve.Resolution{Outcome: resolve.Paid, PayAgain: true, Evidence: "x"})
	refused(t, err)
}

// do is one thing that a person does to rec-1 and its charge of 30 October.
type do func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, id uuid.UUID) error

var (
	chargeNow do = func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
		return r.ChargeNow(ctx, tx, tenant, id)
	}
	cancelOne do = func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
		return r.CancelCharge(ctx, tx, tenant, id, "asked")
	}
	pause do = func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
		return r.Pause(ctx, tx, tenant, "rec-1", "asked")
	}
	resume do = func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
		return r.Resume(ctx, tx, tenant, "rec-1", "asked")
	}
	cancelAll do = func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
		return r.Cancel(ctx, tx, tenant, "rec-1", "asked")
	}
	reactivate do = func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
		return r.Reactivate(ctx, tx, tenant, "rec-1", "asked")
	}
)

func setCard(token string) do {
	return func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
		return r.SetCard(ctx, tx, tenant, "rec-1", token, "visa")
	}
}

func TestWhatPeopleDoAboutARecurrenceAndItsCharge(t *testing.T) {
	t.Parallel()
	type step struct {
		do      do
		refused bool
	}
	for name, c := range map[string]struct {
		token      string // of the first attempt
		then       string // what the card does afterwards
		steps      []step
		charge     charge.State
		recurrence recurrence.State
		sends      int
	}{
		"charge now what was declined for good":     {recurrencestest.Hard, recurrencestest.OK, []step{{do: chargeNow}}, charge.Succeeded, recurrence.Active, 2},
		"charge now what needs its customer":        {recurrencestest.Action, recurrencestest.OK, []step{{do: chargeNow}}, charge.Succeeded, recurrence.Active, 2},
		"charge now, declined again":                {recurrencestest.Soft, recurrencestest.Soft, []step{{do: chargeNow}}, charge.FailedSoft, recurrence.PastDue, 2},
		"charge now what is paid":                   {recurrencestest.OK, recurrencestest.OK, []step{{chargeNow, true}}, charge.Succeeded, recurrence.Active, 1},
		"charge now what is unknown":                {recurrencestest.TimeoutPaid, recurrencestest.OK, []step{{chargeNow, true}}, charge.Unknown, recurrence.Active, 1},
		"charge now to a card that is invalid":      {recurrencestest.Lost, recurrencestest.OK, []step{{chargeNow, true}}, charge.FailedHard, recurrence.Hold, 1},
		"cancel a charge that waits for its retry":  {recurrencestest.Soft, recurrencestest.OK, []step{{do: cancelOne}, {chargeNow, true}}, charge.Cancelled, recurrence.PastDue, 1},
		"cancel a charge that is unknown":           {recurrencestest.TimeoutPaid, recurrencestest.OK, []step{{cancelOne, true}}, charge.Unknown, recurrence.Active, 1},
		"pause and resume":                          {recurrencestest.Soft, recurrencestest.OK, []step{{do: pause}, {pause, true}, {do: resume}, {resume, true}}, charge.FailedSoft, recurrence.PastDue, 1},
		"cancel the recurrence":                     {recurrencestest.Soft, recurrencestest.OK, []step{{do: cancelAll}, {cancelAll, true}, {chargeNow, true}, {resume, true}}, charge.Cancelled, recurrence.Cancelled, 1},
		"cancel it while a charge is unknown":       {recurrencestest.TimeoutPaid, recurrencestest.OK, []step{{do: cancelAll}}, charge.Unknown, recurrence.Cancelled, 1},
		"reactivate after a decline for good":       {recurrencestest.Hard, recurrencestest.OK, []step{{do: reactivate}, {reactivate, true}}, charge.FailedHard, recurrence.Active, 1},
		"reactivate with a card that is invalid":    {recurrencestest.Lost, recurrencestest.OK, []step{{reactivate, true}}, charge.FailedHard, recurrence.Hold, 1},
		"a new card that works":                     {recurrencestest.Lost, "", []step{{do: setCard("tok_ok_new")}}, charge.Succeeded, recurrence.Active, 2},
		"a new card that does not work":             {recurrencestest.Soft, "", []step{{do: setCard("tok_soft_new")}}, charge.FailedSoft, recurrence.Hold, 2},
		"a new card that is as lost as the old one": {recurrencestest.Lost, "", []step{{setCard(recurrencestest.Lost), true}}, charge.FailedHard, recurrence.Hold, 1},
		"a new card while a charge is unknown":      {recurrencestest.TimeoutPaid, recurrencestest.OK, []step{{do: setCard("tok_ok_new")}}, charge.Unknown, recurrence.Active, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", c.token)
			e.Morning("2025-10-30")
			if c.then != "" {
				e.Gateway.Say(c.token, c.then)
			}
			id := e.Charge("rec-1", "2025-10-30").ID
			for i, s := range c.steps {
				err := e.Decide(func(ctx context.Context, tx pgx.Tx) error { return s.do(e.Resolver, ctx, tx, id) })
				switch {
				case s.refused:
					refused(t, err)
				case err != nil:
					t.Fatalf("step %d: %v", i+1, err)
				}
				e.Clock.Advance(time.Second)
			}
			got, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
			if got.State != c.charge || r.State != c.recurrence || len(e.Gateway.Sends()) != c.sends {
				t.Errorf("charge %s, recurrence %s, %d sends", got.State, r.State, len(e.Gateway.Sends()))
			}
			if r.State == recurrence.Hold && len(c.steps) > 0 && got.Attempt == 2 && r.HeldBy != nil {
				t.Errorf("held by the tick of %v, and a person did it", r.HeldBy)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// Everything on a lost card is on hold; each is over the hold with a card of its own, also one that owes nothing.
func TestANewCardEndsAHoldThatOnlyWaitedForIt(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-0", "2025-10-30", recurrencestest.Lost)
	e.Agree("rec-1", "2025-11-20", recurrencestest.Lost)
	e.Morning("2025-10-30")
	if r := e.Standing("rec-1"); r.State != recurrence.Hold {
		t.Fatalf("recurrence %s", r.State)
	}
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return setCard("tok_ok_new")(e.Resolver, ctx, tx, uuid.Nil)
	}); err != nil {
		t.Fatal(err)
	}
	if r := e.Standing("rec-1"); r.State != recurrence.Active || r.CardID != store.CardID(tenant, "tok_ok_new") {
		t.Errorf("recurrence %s", r.State)
	}
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends, and nothing was open", n)
	}
	e.CheckEvents()
}

func TestAPausedRecurrencesDueChargeGoesWhenItIsResumed(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	send := e.Exec.Dispatch
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	run := e.Morning("2025-10-30")
	e.Exec.Dispatch = send
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error { return pause(e.Resolver, ctx, tx, uuid.Nil) }); err != nil {
		t.Fatal(err)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run waits for what was paused")
	}
	e.Sweep()
	if n := len(e.Gateway.Sends()); n != 0 {
		t.Fatalf("%d sends of a paused recurrence", n)
	}
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error { return resume(e.Resolver, ctx, tx, uuid.Nil) }); err != nil {
		t.Fatal(err)
	}
	if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("charge %s, recurrence %s", c.State, r.State)
	}
	e.CheckEvents()
	e.CheckBooks()
}

func TestAMissedCycleIsChargedByAPersonOnce(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-15", recurrencestest.OK)
	e.Morning("2025-10-30") // fifteen days late
	if n := e.Count("SELECT count(*) FROM missed_cycles"); n != 1 || len(e.Gateway.Sends()) != 0 {
		t.Fatalf("%d missed, %d sends", n, len(e.Gateway.Sends()))
	}
	now := func() error {
		return e.Decide(func(ctx context.Context, tx pgx.Tx) error {
			_, err := e.Resolver.ChargeMissed(ctx, tx, tenant, "rec-1", recurrencestest.On("2025-10-15"))
			return err
		})
	}
	if err := now(); err != nil {
		t.Fatal(err)
	}
	if c := e.Charge("rec-1", "2025-10-15"); c.State != charge.Succeeded || c.FirstAttempt.String() != "2025-10-30" {
		t.Errorf("charge %s, attempted on %s", c.State, c.FirstAttempt)
	}
	if err := now(); status.Code(err) != codes.NotFound {
		t.Errorf("charged a second time: %v", err)
	}
	e.CheckEvents()
	e.CheckBooks()
}
