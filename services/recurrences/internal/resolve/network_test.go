package resolve_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// declinedBy has a charge of the 27th declined with an answer of the network's, by a lookup after a lost answer.
func declinedBy(t *testing.T, brand string, said provider.Result) *recurrencestest.Env {
	t.Helper()
	e := recurrencestest.New(t)
	e.Brand = brand
	e.Clock.Set(recurrencestest.At("2025-10-27T11:00:00Z"))
	e.Agree("rec-1", "2025-10-27", recurrencestest.TimeoutSoft)
	e.Morning("2025-10-27")
	said.Scope, said.ProviderCode = provider.ScopePayment, "51"
	e.Gateway.Finish(e.Charge("rec-1", "2025-10-27").Reference, said)
	for range 3 {
		e.LookUp(10 * time.Second)
	}
	return e
}

// A retry on the next day would be fined: Mastercard's advice 02, 26 to 30. Nor may anything else be charged to the card before.
func TestANetworksWaitIsKept(t *testing.T) {
	t.Parallel()
	e := declinedBy(t, "mastercard", provider.Result{Class: provider.RejectedRetryable, Code: "insufficient_funds", RetryAfter: 72 * time.Hour})
	if c := e.Charge("rec-1", "2025-10-27"); c.State != charge.FailedSoft || c.RetryOn != recurrencestest.On("2025-10-30") {
		t.Errorf("%s, retried on %s", c.State, c.RetryOn)
	}
	e.Agree("rec-2", "2025-10-28", recurrencestest.TimeoutSoft)
	e.Gateway.Say(recurrencestest.TimeoutSoft, recurrencestest.OK)
	e.Morning("2025-10-28")
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return e.Resolver.ChargeNow(ctx, tx, tenant, e.Charge("rec-1", "2025-10-27").ID)
	}); err != nil {
		t.Fatal(err)
	}
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends within the 72 hours", n)
	}
	e.Clock.Set(recurrencestest.At("2025-10-30T11:05:00Z"))
	e.Sweep()
	for id, cycle := range map[string]string{"rec-1": "2025-10-27", "rec-2": "2025-10-28"} {
		if c := e.Charge(id, cycle); c.State != charge.Succeeded {
			t.Errorf("%s after the wait: %s", id, c.State)
		}
	}
	e.CheckEvents()
	e.CheckBooks()
}

// The day that a network allows may be a Saturday: the business-day rule moves it, but never to a day before it.
func TestANetworksWaitEndsOnABusinessDay(t *testing.T) {
	t.Parallel()
	for hours, want := range map[time.Duration]string{96: "2025-10-31", 120: "2025-11-03", 144: "2025-11-03", 192: "2025-11-04"} {
		e := declinedBy(t, "mastercard", provider.Result{Class: provider.RejectedRetryable, Code: "insufficient_funds", RetryAfter: hours * time.Hour})
		if c := e.Charge("rec-1", "2025-10-27"); c.State != charge.FailedSoft || c.RetryOn != recurrencestest.On(want) {
			t.Errorf("after %d hours: %s, retried on %s, want %s", hours, c.State, c.RetryOn, want)
		}
	}
}

// Visa's R2 and every brand's NR are in no table of codes here: what the gateway's adapter says counts, until there is another card.
func TestACardThatItsNetworkForbidsIsNeverTriedAgain(t *testing.T) {
	t.Parallel()
	for _, brand := range []string{"visa", "mastercard", "elo"} {
		t.Run(brand, func(t *testing.T) {
			t.Parallel()
			e := declinedBy(t, brand, provider.Result{Class: provider.RejectedFinal, Code: "declined", Forbidden: true})
			e.Gateway.Say(recurrencestest.TimeoutSoft, recurrencestest.OK)
			id := e.Charge("rec-1", "2025-10-27").ID
			for name, do := range map[string]func(ctx context.Context, tx pgx.Tx) error{
				"charge":     func(ctx context.Context, tx pgx.Tx) error { return e.Resolver.ChargeNow(ctx, tx, tenant, id) },
				"reactivate": func(ctx context.Context, tx pgx.Tx) error { return e.Resolver.Reactivate(ctx, tx, tenant, "rec-1", "") },
				"the old card": func(ctx context.Context, tx pgx.Tx) error {
					return e.Resolver.SetCard(ctx, tx, tenant, "rec-1", recurrencestest.TimeoutSoft, brand)
				},
			} {
				t.Log(name)
				refused(t, e.Decide(do))
			}
			e.Agree("rec-2", "2025-10-28", recurrencestest.TimeoutSoft) // the same card
			e.Morning("2025-10-28")
			if r := e.Standing("rec-2"); r.State != recurrence.Hold || r.Reason.Code != recurrence.CodeCardInvalid {
				t.Errorf("another recurrence of the card: %s %s", r.State, r.Reason.Code)
			}
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends to a card that its network forbids", n)
			}
			for _, rec := range []string{"rec-1", "rec-2"} {
				if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
					return e.Resolver.SetCard(ctx, tx, tenant, rec, "tok_ok_new", brand)
				}); err != nil {
					t.Fatal(err)
				}
			}
			if c := e.Charge("rec-1", "2025-10-27"); c.State != charge.Succeeded {
				t.Errorf("with another card: %s", c.State)
			}
			if c := e.Charge("rec-2", "2025-10-28"); c.State != charge.Succeeded {
				t.Errorf("with another card: %s", c.State)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A network's wait that ends when a charge is too late for going by itself is no reason to keep its recurrence waiting.
func TestAWaitPastTheBoundIsAPersonsAtOnce(t *testing.T) {
	t.Parallel()
	e := declinedBy(t, "mastercard", provider.Result{Class: provider.RejectedRetryable, Code: "insufficient_funds", RetryAfter: 20 * 24 * time.Hour})
	e.Agree("rec-2", "2025-10-28", recurrencestest.TimeoutSoft)
	e.Morning("2025-10-28")
	for id, cycle := range map[string]string{"rec-1": "2025-10-27", "rec-2": "2025-10-28"} {
		if c := e.Charge(id, cycle); c.State != charge.Exhausted || c.Send.Wanted() {
			t.Errorf("%s: %s, to be sent: %t", id, c.State, c.Send.Wanted())
		}
	}
	if r := e.Standing("rec-2"); r.State != recurrence.Active {
		t.Errorf("recurrence whose card was not asked: %s", r.State)
	}
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends", n)
	}
	e.CheckEvents()
	e.CheckBooks()
}
