package collect_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// A doubt that ends as a decline after the run of its retry day is retried on a business day to come, and nobody is promised a day that is over.
func TestARetryIsNotPromisedForADayThatIsOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doubt func(*testing.T) denied
		want  string
	}{
		"after that day's run, on a Friday": {func(t *testing.T) denied {
			d := newDenied(t, recurrencestest.TimeoutSoft)
			d.Retry("2025-10-31")
			d.minute()
			return d
		}, "2025-11-03"},
		"by two people, on the Tuesday after": {func(t *testing.T) denied { // a gateway that does not deduplicate
			d := denied{recurrencestest.New(t)}
			d.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutGone)
			d.Morning("2025-10-30")
			d.minute()
			if got := d.one(); got != "manual_review/not_resendable" {
				t.Fatalf("it is %s", got)
			}
			d.Clock.Advance(5 * 24 * time.Hour)
			d.minute()
			d.notPaid(t)
			return d
		}, "2025-11-05"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.doubt(t)
			if got := d.charge(); got.State != charge.FailedSoft || got.RetryOn.String() != c.want {
				t.Fatalf("%s, next retry %s, want %s", d.one(), got.RetryOn, c.want)
			}
			for day := d.Store.Today(recurrencestest.Tenant); day.String() != c.want; day++ {
				d.Retry(day.String())
				if n := len(d.Gateway.Sends()); n != 1 {
					t.Fatalf("the card was asked on %s", day)
				}
			}
			d.Retry(c.want)
			if n := len(d.Gateway.Sends()); n != 2 {
				t.Errorf("%d sends by %s", n, c.want)
			}
			d.CheckEvents()
			d.CheckBooks()
		})
	}
}

// What a person wants charged now is charged, also when the doubt that comes first ends as a decline of hours ago, and never twice. It is left
// when that decline is for good, or when somebody has paused the recurrence meanwhile.
func TestAPersonsWordIsKeptOverADoubt(t *testing.T) {
	t.Parallel()
	pause := func(t *testing.T, d denied) {
		err := d.Decide(func(ctx context.Context, tx pgx.Tx) error {
			return d.Resolver.Pause(ctx, tx, recurrencestest.Tenant, "rec-1", "")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		token string
		tries int
		then  func(*testing.T, denied)
		want  charge.State
		sends int
	}{
		"declined":                   {recurrencestest.TimeoutSoft, 1, nil, charge.Succeeded, 2},
		"declined, no retry is left": {recurrencestest.TimeoutSoft, 4, nil, charge.Succeeded, 2},
		"declined for good":          {recurrencestest.TimeoutHard, 1, nil, charge.FailedHard, 1},
		"charged":                    {recurrencestest.TimeoutPaid, 1, nil, charge.Succeeded, 1},
		"declined, but paused":       {recurrencestest.TimeoutSoft, 1, pause, charge.FailedSoft, 1},
		"never arrived, but paused":  {recurrencestest.TimeoutGone, 1, pause, charge.FailedSoft, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, c.token)
			d.SQL("UPDATE charges SET tries = $1", c.tries)
			d.Clock.Advance(3 * time.Hour)
			d.Gateway.Say(c.token, recurrencestest.OK) // there is money on the card now
			d.person(t)
			if got := d.one(); got != "unknown/denial_lapsed" {
				t.Fatalf("it is %s", got)
			}
			if c.then != nil {
				c.then(t, d)
			}
			d.minute()
			d.Sweep()
			got := d.charge()
			if n := len(d.Gateway.Sends()); got.State != c.want || n != c.sends || got.Send.Wanted() {
				t.Errorf("%s after %d sends, to be sent %t", d.one(), n, got.Send.Wanted())
			}
			if n := len(d.Gateway.Paid()); c.want == charge.Succeeded && n != 1 {
				t.Errorf("charged %d times", n)
			}
			if n := d.Count("SELECT count(*) FROM runs WHERE state <> 'completed'"); n != 0 {
				t.Errorf("%d runs wait", n)
			}
			d.CheckEvents()
			d.CheckBooks()
		})
	}
}
