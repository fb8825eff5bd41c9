package collect_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

const fresh = "tok_ok_fresh"

// card gives the recurrence another one, which has what is open sent at once.
func (d denied) card(t *testing.T, token string) {
	t.Helper()
	err := d.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return d.Resolver.SetCard(ctx, tx, recurrencestest.Tenant, "rec-1", token, "visa")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A gateway denies what it was slow with, and the customer gives another card. Under the same reference it answers with what the old card said:
// that is no word about the new one, which is tried under the next reference, and nobody is told that it was declined.
func TestWhatTheOldCardSaidIsNotBlamedOnTheNewOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old   string // what became of the first send
		said  string // what the gateway does when the reference goes again; "" repeats what it said
		state charge.State
		sends int
	}{
		"declined with the old card":                  {recurrencestest.TimeoutSoft, "", charge.Succeeded, 3},
		"nobody knows with which, the answer is lost": {recurrencestest.TimeoutGone, recurrencestest.TimeoutSoft, charge.Succeeded, 3},
		"lost, with whichever":                        {recurrencestest.TimeoutGone, recurrencestest.Lost, charge.Succeeded, 3},
		"action needed, with whichever":               {recurrencestest.TimeoutGone, recurrencestest.Action, charge.Succeeded, 3},
		"charged with the old card":                   {recurrencestest.TimeoutPaid, "", charge.Succeeded, 2},
		"the request is wrong":                        {recurrencestest.TimeoutGone, recurrencestest.Unfit, charge.FailedHard, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, c.old)
			before := d.charge()
			if c.said != "" {
				d.Gateway.Say(fresh, c.said)
				d.Gateway.Before = func(context.Context, provider.Transfer) {
					if len(d.Gateway.Sends()) > 1 {
						d.Gateway.Say(fresh, recurrencestest.OK)
					}
				}
			}
			d.card(t, fresh)
			d.minute()
			got, r, k := d.charge(), d.Standing("rec-1"), d.Card(fresh)
			if got.State != c.state || len(d.Gateway.Sends()) != c.sends || got.Send.Wanted() {
				t.Errorf("%s after %d sends, to be sent %t", d.one(), len(d.Gateway.Sends()), got.Send.Wanted())
			}
			if got.State == charge.Succeeded && (r.State != recurrence.Active || got.Tries != before.Tries) {
				t.Errorf("recurrence %s (%s) after %d tries, %d before", r.State, r.Reason.Code, got.Tries, before.Tries)
			}
			if k.Failures != 0 || k.State != "valid" || d.Count("SELECT count(*) FROM card_attempts WHERE declined") != 0 {
				t.Errorf("the new card is %s with %d failures", k.State, k.Failures)
			}
			d.CheckEvents()
			d.CheckBooks()
		})
	}
}

// The new card's own word counts: it is tried once under a reference of its own, and holds the recurrence when it is declined.
func TestTheNewCardIsTriedOnceUnderItsOwnReference(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutSoft)
	d.Gateway.Say(fresh, recurrencestest.Soft)
	d.card(t, fresh)
	d.minute()
	got, r, k := d.charge(), d.Standing("rec-1"), d.Card(fresh)
	if got.State != charge.FailedSoft || got.Attempt != 2 || len(d.Gateway.Sends()) != 3 || got.Tries != 2 {
		t.Errorf("%s with attempt %d and %d tries after %d sends", d.one(), got.Attempt, got.Tries, len(d.Gateway.Sends()))
	}
	if r.State != recurrence.Hold || k.Failures != 1 {
		t.Errorf("recurrence %s, the card has failed %d times", r.State, k.Failures)
	}
	d.CheckEvents()
	d.CheckBooks()
}

// The same card again is the same card: its decline counts as ever.
func TestADeclineOfTheSameCardCounts(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutSoft)
	d.person(t)
	d.minute()
	if k := d.Card(recurrencestest.TimeoutSoft); k.Failures != 1 {
		t.Errorf("the card has failed %d times: %s", k.Failures, d.one())
	}
	d.CheckBooks()
}
