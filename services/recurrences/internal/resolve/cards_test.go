package resolve_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// must does what a person does to rec-1.
func must(t *testing.T, e *recurrencestest.Env, d do) {
	t.Helper()
	id := charge.ID(tenant, "rec-1", "2025-10-30")
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error { return d(e.Resolver, ctx, tx, id) }); err != nil {
		t.Fatal(err)
	}
}

// meanwhile does what a person does to rec-1 while the gateway is being asked for the first time.
func meanwhile(t *testing.T, e *recurrencestest.Env, d do) {
	asked := false
	e.Gateway.Before = func(context.Context, provider.Transfer) {
		if asked {
			return
		}
		asked = true
		ctx := e.Ctx()
		err := pg.InTx(ctx, e.Pool, func(tx pgx.Tx) error { return d(e.Resolver, ctx, tx, charge.ID(tenant, "rec-1", "2025-10-30")) })
		if err != nil {
			t.Error(err)
		}
	}
}

// Whatever the old card says at last, the card that was given meanwhile is tried at once, and holds the recurrence or not.
func TestACardGivenWhileTheOldOneIsAskedIsTried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old, fresh string
		charge     charge.State
		recurrence recurrence.State
		attempts   int
	}{
		"declined for good, paid":     {recurrencestest.Hard, "tok_ok_new", charge.Succeeded, recurrence.Active, 2},
		"declined, paid":              {recurrencestest.Soft, "tok_ok_new", charge.Succeeded, recurrence.Active, 2},
		"lost, paid":                  {recurrencestest.Lost, "tok_ok_new", charge.Succeeded, recurrence.Active, 2},
		"action needed, paid":         {recurrencestest.Action, "tok_ok_new", charge.Succeeded, recurrence.Active, 2},
		"declined, declined":          {recurrencestest.Soft, "tok_soft_new", charge.FailedSoft, recurrence.Hold, 2},
		"declined for good, lost too": {recurrencestest.Hard, "tok_lost_new", charge.FailedHard, recurrence.Hold, 2},
		"declined, not known":         {recurrencestest.Soft, "tok_no_card_new", charge.FailedHard, recurrence.Hold, 2},
		"declined, request wrong":     {recurrencestest.Soft, "tok_unfit_new", charge.FailedHard, recurrence.Hold, 2},
		"not known, paid":             {recurrencestest.NoCard, "tok_ok_new", charge.Succeeded, recurrence.Active, 2},
		"in doubt, declined, paid":    {recurrencestest.TimeoutSoft, "tok_ok_new", charge.Succeeded, recurrence.Active, 2},
		"in doubt, paid after all":    {recurrencestest.TimeoutPaid, "tok_ok_new", charge.Succeeded, recurrence.Active, 1},
		"paid with the old one":       {recurrencestest.OK, "tok_ok_new", charge.Succeeded, recurrence.Active, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", c.old)
			meanwhile(t, e, setCard(c.fresh))
			e.Morning("2025-10-30")
			for range 3 {
				e.LookUp(10 * time.Second)
			}
			got, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
			if got.State != c.charge || r.State != c.recurrence || got.Attempt != c.attempts {
				t.Errorf("charge %s, recurrence %s (%s), %d attempts", got.State, r.State, r.Reason.Code, got.Attempt)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A card is given to a recurrence that is on hold for want of one, while its charge is in doubt: what the doubt becomes ends
// the hold, by itself or through the new card.
func TestACardGivenInADoubtEndsTheHold(t *testing.T) {
	t.Parallel()
	for name, became := range map[string]string{"paid": recurrencestest.TimeoutPaid, "declined": recurrencestest.TimeoutSoft} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			token := became + "_x"
			e.Agree("rec-1", "2025-10-30", token)
			e.Morning("2025-10-30")
			e.Gateway.Say(token, recurrencestest.Lost)
			e.Agree("rec-2", "2025-10-31", token)
			e.Morning("2025-10-31")
			if r := e.Standing("rec-1"); r.State != recurrence.Hold {
				t.Fatalf("recurrence %s", r.State)
			}
			must(t, e, setCard("tok_ok_new"))
			for range 3 {
				e.LookUp(10 * time.Second)
			}
			if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
				t.Errorf("charge %s, recurrence %s (%s)", c.State, r.State, r.Reason.Code)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

func TestANewCardEndsAnImportedHold(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft, func(r *store.Recurrence) {
		r.State, r.Reason = recurrence.Hold, store.Reason{Code: recurrence.CodeImported}
	})
	must(t, e, setCard("tok_ok_new"))
	e.Morning("2025-10-30")
	if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("charge %s, recurrence %s (%s)", c.State, r.State, r.Reason.Code)
	}
	e.CheckEvents()
}

// A retry that never left is retried another day, also when a pause or a hold came between.
func TestARetryThatNeverLeftIsNotLost(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.Down)
	e.WhileTimePasses(func() { e.Retry("2025-10-31") })
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.FailedSoft || c.RetryOn != recurrencestest.On("2025-10-31") {
		t.Fatalf("charge %s, retry on %s", c.State, c.RetryOn)
	}
	must(t, e, pause)
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.OK)
	must(t, e, resume)
	e.Retry("2025-11-03")
	if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("charge %s, recurrence %s", c.State, r.State)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// What has no day for its next retry gets one from whoever has its recurrence go on, or is given up when none is left.
func TestGoingOnGivesEveryDeclineItsNextRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from       string // of the recurrence
		tries      int
		goOn       do
		charge     charge.State
		recurrence recurrence.State
	}{
		"resumed":                   {"paused", 1, resume, charge.FailedSoft, recurrence.PastDue},
		"reactivated":               {"hold", 1, reactivate, charge.FailedSoft, recurrence.PastDue},
		"resumed, none is left":     {"paused", 4, resume, charge.Exhausted, recurrence.Active},
		"reactivated, none is left": {"hold", 4, reactivate, charge.Exhausted, recurrence.Active},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
			e.Morning("2025-10-30")
			e.SQL("UPDATE charges SET retry_on = NULL, tries = $1", c.tries)
			e.SQL("UPDATE recurrences SET state = $1", c.from)
			must(t, e, c.goOn)
			got, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
			if got.State != c.charge || r.State != c.recurrence {
				t.Errorf("charge %s, recurrence %s", got.State, r.State)
			}
			if want := recurrencestest.On("2025-10-31"); got.State == charge.FailedSoft && got.RetryOn != want {
				t.Errorf("retry on %s", got.RetryOn)
			}
		})
	}
}

// The gateway knows no such card: nothing is held against it, nobody asks again by himself, and another one pays.
func TestACardThatTheGatewayDoesNotKnowWaitsForAnother(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Rules().CardFailureLimit = 1
	e.Agree("rec-1", "2025-10-30", recurrencestest.NoCard)
	e.Morning("2025-10-30")
	c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
	if c.State != charge.FailedHard || r.State != recurrence.Hold || r.Reason.Code != recurrence.CodeHardDecline {
		t.Errorf("charge %s, recurrence %s (%s)", c.State, r.State, r.Reason.Code)
	}
	if card := e.Card(recurrencestest.NoCard); card.Failures != 0 || card.State != store.CardValid {
		t.Errorf("the card is %s after %d failures", card.State, card.Failures)
	}
	e.Clock.Advance(25 * time.Hour)
	e.Sweep()
	e.Retry("2025-10-31")
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	must(t, e, setCard("tok_ok_new"))
	if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("with another card: charge %s, recurrence %s", c.State, r.State)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// Somebody took the money back at the gateway while the answer was in doubt. Whatever card there is now, nothing is charged
// in its place by itself.
func TestWhatWasTakenBackIsNotChargedOnANewCard(t *testing.T) {
	t.Parallel()
	for _, code := range []string{charge.CodeVoided, charge.CodeRefunded} {
		e := recurrencestest.New(t)
		e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutPaid)
		e.Morning("2025-10-30")
		must(t, e, setCard("tok_ok_new"))
		e.Gateway.Finish(e.Charge("rec-1", "2025-10-30").Reference, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: code})
		for range 3 {
			e.LookUp(10 * time.Second)
		}
		c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
		if c.State != charge.FailedHard || c.Attempt != 1 || r.State != recurrence.Hold {
			t.Errorf("%s: charge %s after %d attempts, recurrence %s", code, c.State, c.Attempt, r.State)
		}
		e.CheckEvents()
		e.CheckBooks()
	}
}

// The same when the card is given after the doubt has ended.
func TestWhatWasTakenBackIsNotChargedOnACardGivenLater(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutPaid)
	e.Morning("2025-10-30")
	e.Gateway.TakeBack(e.Charge("rec-1", "2025-10-30").Reference, 4990)
	e.LookUp(10 * time.Second)
	must(t, e, setCard("tok_ok_new"))
	if c, n := e.Charge("rec-1", "2025-10-30"), len(e.Gateway.Sends()); c.State != charge.FailedHard || n != 1 {
		t.Errorf("charge %s after %d sends", c.State, n)
	}
	must(t, e, func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
		return r.ChargeNow(ctx, tx, tenant, id)
	})
	if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("charged by a person: %s, recurrence %s", c.State, r.State)
	}
	e.CheckEvents()
}

// forgetful is a gateway that has forgotten its orders.
type forgetful struct {
	*recurrencestest.Gateway
	now *bool
}

func (f forgetful) Lookup(ctx context.Context, tr provider.Transfer) (provider.Found, error) {
	if *f.now {
		return provider.Found{}, fmt.Errorf("lookup: %w", provider.ErrForgotten)
	}
	return f.Gateway.Lookup(ctx, tr)
}

// An old charge is asked about, and the gateway has forgotten it: nothing waits for the answer, and people are told once.
func TestAForgottenOrderKeepsNothingWaiting(t *testing.T) {
	t.Parallel()
	for how, ask := range map[string]func(t *testing.T, e *recurrencestest.Env, reference string){
		"a person": func(t *testing.T, e *recurrencestest.Env, _ string) {
			must(t, e, func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				return r.Refresh(ctx, tx, tenant, id)
			})
		},
		"a webhook": func(_ *testing.T, e *recurrencestest.Env, reference string) { e.Webhook(reference) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			e, forgotten := recurrencestest.New(t), false
			e.Connector.Lookuper = forgetful{e.Gateway, &forgotten}
			e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
			for _, do := range []func(){
				func() { e.Morning("2025-10-30") }, func() { e.Retry("2025-10-31") }, func() { e.Retry("2025-11-03") }, func() { e.Retry("2025-11-06") },
			} {
				do()
			}
			e.LookUp(90 * 24 * time.Hour)
			forgotten = true
			ask(t, e, e.Charge("rec-1", "2025-10-30").Reference)
			e.LookUp(time.Second)
			if n := e.Count("SELECT count(*) FROM attempts WHERE next_lookup_at IS NOT NULL"); n != 0 {
				t.Errorf("%d questions without an answer stay open", n)
			}
			must(t, e, setCard("tok_ok_new"))
			if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
				t.Errorf("with a new card: charge %s, recurrence %s", c.State, r.State)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}
