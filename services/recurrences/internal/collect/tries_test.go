package collect_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
)

// notPaid is what two people say of the charge.
func (d denied) notPaid(t *testing.T) {
	t.Helper()
	d.resolve(t, resolve.Resolution{Outcome: resolve.NotPaid, Evidence: "not in the gateway's portal"})
}

// resolve has two people say the same.
func (d denied) resolve(t *testing.T, words resolve.Resolution) {
	t.Helper()
	for _, who := range []string{"ada", "bob"} {
		ctx := d.As(who)
		err := pg.InTx(ctx, d.Pool, func(tx pgx.Tx) error {
			_, err := d.Resolver.ResolveCharge(ctx, tx, recurrencestest.Tenant, d.charge().ID, words)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		d.minute()
	}
}

// A denial counts as a try. What then ends the doubt about the same send counts no other, whoever ends it: a charge is asked for as often
// as was agreed.
func TestOneSendIsOneTry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token string
		ends  func(*testing.T, denied)
	}{
		"the gateway shows a decline": {recurrencestest.TimeoutSoft, func(_ *testing.T, d denied) { d.minute() }},
		"two people say so": {recurrencestest.TimeoutGone, func(t *testing.T, d denied) {
			d.minute()
			if got := d.one(); got != "manual_review/review_after" {
				t.Fatalf("it is %s", got)
			}
			d.notPaid(t)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, c.token)
			d.Retry("2025-10-31")
			if got := d.one(); got != "unknown/denial_lapsed" {
				t.Fatalf("it is %s", got)
			}
			c.ends(t, d)
			got := d.charge()
			if n := len(d.Gateway.Sends()); n != 1 || got.State != charge.FailedSoft || got.Tries != 1 || got.RetryOn.String() != "2025-11-03" {
				t.Errorf("%s: %d sends are %d tries, next retry %s", d.one(), n, got.Tries, got.RetryOn)
			}
			d.Gateway.Say(c.token, recurrencestest.Soft)
			d.Retry("2025-11-01") // a Saturday
			if n := len(d.Gateway.Sends()); n != 1 {
				t.Errorf("the card was asked on %s", d.charge().LastAttempt)
			}
			d.Retry("2025-11-03")
			got = d.charge()
			if got.Attempt != 2 || got.Tries != 2 || got.RetryOn.String() != "2025-11-04" {
				t.Errorf("%s: attempt %d, %d tries, next retry %s", d.one(), got.Attempt, got.Tries, got.RetryOn)
			}
			d.CheckEvents()
			d.CheckBooks()
		})
	}
}

// A denied reference that goes again on somebody's word reaches the card for the first time: that decline is the try which the denial was counted as.
func TestADeniedReferenceThatGoesAgainIsTheSameTry(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutGone)
	d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.Soft)
	d.person(t)
	d.minute()
	got := d.charge()
	if n := len(d.Gateway.Sends()); n != 2 || got.Attempt != 1 || got.Tries != 1 || got.RetryOn.String() != "2025-10-31" {
		t.Errorf("%s: %d sends, attempt %d, %d tries, next retry %s", d.one(), n, got.Attempt, got.Tries, got.RetryOn)
	}
	d.CheckEvents()
	d.CheckBooks()
}

// An attempt that was counted when it was denied, and then asks no card, gives its try back to the one that asks it in its place: the gateway
// refused it for our own sake, or two people have the next attempt go.
func TestAnAttemptThatAskedNoCardIsNoTry(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(*testing.T, denied){
		"the gateway refuses us, twice": func(t *testing.T, d denied) {
			d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.Busy)
			d.person(t)
			for attempt := 1; attempt <= 2; attempt++ {
				if got := d.charge(); got.State != charge.FailedSoft || got.Attempt != attempt || got.Tries != 0 || got.TriedAttempt != 0 {
					t.Fatalf("refused: %s with attempt %d, %d tries, the last of them attempt %d", d.one(), got.Attempt, got.Tries, got.TriedAttempt)
				}
				if attempt == 2 {
					d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.Soft)
				}
				d.Clock.Advance(2 * time.Minute)
				d.WhileTimePasses(d.Sweep)
			}
		},
		"two people have it charged again": func(t *testing.T, d denied) {
			d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.Soft)
			d.Retry("2025-10-31")
			d.minute()
			if got := d.one(); got != "manual_review/review_after" {
				t.Fatalf("it is %s", got)
			}
			d.resolve(t, resolve.Resolution{Outcome: resolve.NotPaid, PayAgain: true, Evidence: "not in the gateway's portal"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, recurrencestest.TimeoutGone)
			ends(t, d)
			got := d.charge()
			if got.Attempt < 2 || got.State != charge.FailedSoft || got.Tries != 1 {
				t.Errorf("%s: a card that was asked once was tried %d times, attempt %d", d.one(), got.Tries, got.Attempt)
			}
			d.CheckEvents()
			d.CheckBooks()
		})
	}
}

// The last retry that was agreed is left after a doubt about the one before it: the recurrence is not put on hold for a send it did not have.
func TestADoubtDoesNotCostTheLastRetry(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutSoft)
	d.SQL("UPDATE charges SET tries = 3") // the next decline but this one is the last
	d.Retry("2025-10-31")
	d.minute()
	if got, r := d.charge(), d.Standing("rec-1"); got.State != charge.FailedSoft || got.Tries != 3 || r.State != recurrence.PastDue {
		t.Errorf("%s: %d tries, recurrence %s", d.one(), got.Tries, r.State)
	}
	d.Gateway.Say(recurrencestest.TimeoutSoft, recurrencestest.Soft)
	d.Retry("2025-11-06")
	if got, r := d.charge(), d.Standing("rec-1"); got.State != charge.Exhausted || got.Tries != 4 || r.State != recurrence.Hold {
		t.Errorf("after the last: %s: %d tries, recurrence %s", d.one(), got.Tries, r.State)
	}
	d.CheckEvents()
	d.CheckBooks()
}
