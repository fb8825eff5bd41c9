package collect_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// memory is how long the gateway of these tests charges a repeated reference once.
const memory = 24 * time.Hour

// denied is a morning of one charge whose answer was lost, and that a gateway denied while its reading side was blind. It charges a
// repeated reference once for a day, and has forgotten it then.
type denied struct{ *recurrencestest.Env }

func newDenied(t *testing.T, token string) denied {
	t.Helper()
	return newDeniedAfter(t, token, 0)
}

// newDeniedAfter is one whose gateway was not reached by lookups for a while.
func newDeniedAfter(t *testing.T, token string, silent time.Duration) denied {
	t.Helper()
	d := denied{recurrencestest.New(t)}
	d.Connector.Policy.Deduplicates = true
	d.Gateway.Remembers, d.Gateway.Now, d.Gateway.Blind = memory, d.Clock.Now, true
	d.Agree("rec-1", "2025-10-30", token)
	d.Morning("2025-10-30")
	d.Clock.Advance(silent)
	d.minute()
	if n := d.Count("SELECT count(*) FROM attempts WHERE state = 'not_sent' AND code = 'proven_never_created'"); n != 1 {
		t.Fatalf("not denied: %s", d.one())
	}
	d.Gateway.Blind = false
	return d
}

// minute goes by, with lookups.
func (d denied) minute() {
	for range 6 {
		d.LookUp(10 * time.Second)
	}
}

// one is the charge's state with the code of its reason.
func (d denied) one() string {
	c := d.charge()
	return string(c.State) + "/" + c.Reason.Code
}

func (d denied) charge() store.Charge { return d.Charge("rec-1", "2025-10-30") }

// person has the charge sent.
func (d denied) person(t *testing.T) {
	t.Helper()
	err := d.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return d.Resolver.ChargeNow(ctx, tx, recurrencestest.Tenant, d.charge().ID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stop has the gateway stopped for a while, and opened again.
func (d denied) stop(t *testing.T, meanwhile func()) {
	t.Helper()
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.States.Stop(d.Ctx(), tx, d.Connector.Connector, provider.Reason{Code: "by_person"})
		return err
	})
	meanwhile()
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.States.Resume(d.Ctx(), tx, d.Connector.Connector, provider.Reason{Code: "repaired"})
		return err
	})
	d.Sweep()
}

// Trap 6. What a gateway denied while it was blind is not sent days later on the word of that, whatever kept it or has it sent: the gateway
// is asked anew, which has it, and the card was charged once.
func TestADenialOfAChargeIsNotBelievedForDays(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]func(*testing.T, denied){
		"its retry": func(_ *testing.T, d denied) { d.Retry("2025-10-31") },
		"a person":  func(t *testing.T, d denied) { d.Clock.Advance(72 * time.Hour); d.person(t) },
		"a stopped gateway": func(t *testing.T, d denied) {
			d.stop(t, func() { d.Retry("2025-10-31"); d.Clock.Advance(48 * time.Hour) })
		},
		"a person who was let down by a stop": func(t *testing.T, d denied) {
			d.stop(t, func() { d.person(t); d.Clock.Advance(26 * time.Hour) })
		},
		"a paused recurrence": func(t *testing.T, d denied) {
			pause := func(ctx context.Context, tx pgx.Tx) error {
				return d.Resolver.Pause(ctx, tx, recurrencestest.Tenant, "rec-1", "")
			}
			resume := func(ctx context.Context, tx pgx.Tx) error {
				return d.Resolver.Resume(ctx, tx, recurrencestest.Tenant, "rec-1", "")
			}
			if err := d.Decide(pause); err != nil {
				t.Fatal(err)
			}
			d.Clock.Advance(72 * time.Hour)
			if err := d.Decide(resume); err != nil {
				t.Fatal(err)
			}
			d.Retry("2025-11-03")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, recurrencestest.TimeoutPaid)
			later(t, d)
			d.minute()
			if got := d.charge(); got.State != charge.Succeeded || len(d.Gateway.Sends()) != 1 || got.Send.Wanted() {
				t.Errorf("%s after %d sends, to be sent %t", d.one(), len(d.Gateway.Sends()), got.Send.Wanted())
			}
			if n := len(d.Gateway.Paid()); n != 1 {
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

// The hour of a denial does not reach beyond what a gateway remembers: what was denied shortly before that, and is sent shortly after, would go
// under a key that it has forgotten.
func TestADenialOfAChargeDoesNotReachBeyondReviewAfter(t *testing.T) {
	t.Parallel()
	d := newDeniedAfter(t, recurrencestest.TimeoutPaid, memory-10*time.Minute)
	d.Clock.Advance(20 * time.Minute)
	d.person(t)
	if got := d.one(); got != "unknown/denial_lapsed" {
		t.Errorf("it is %s", got)
	}
	d.minute()
	if got := d.charge(); got.State != charge.Succeeded || len(d.Gateway.Sends()) != 1 {
		t.Errorf("%s after %d sends", d.one(), len(d.Gateway.Sends()))
	}
	d.CheckEvents()
	d.CheckBooks()
}

// It never arrived. Within the hour it goes again as it is; later only when the gateway has denied it once more, as the send that somebody
// wants already and no try more; and when the gateway may have forgotten, people decide, and the next attempt has a reference of its own.
func TestADeniedChargeGoesAgainWhenItIsDeniedAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits   time.Duration
		retries int
		then    string // as soon as it would go
		want    string
		sends   int
	}{
		"within the hour":                      {attempt.ResendWithin - 5*time.Minute, 3, "succeeded/", "succeeded/", 2},
		"later":                                {attempt.ResendWithin + time.Minute, 3, "unknown/denial_lapsed", "succeeded/", 2},
		"later, though its retries are over":   {attempt.ResendWithin + time.Minute, 0, "unknown/denial_lapsed", "succeeded/", 2},
		"when the gateway may have forgotten":  {memory, 3, "unknown/denial_lapsed", "manual_review/review_after", 1},
		"the same though its retries are over": {memory, 0, "unknown/denial_lapsed", "manual_review/review_after", 1},
		"when it forgets while it is asked":    {memory - 65*time.Second, 3, "unknown/denial_lapsed", "manual_review/review_after", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, recurrencestest.TimeoutGone)
			d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.OK)
			if c.retries == 0 {
				d.SQL("UPDATE charges SET state = 'exhausted', retry_on = NULL")
			}
			d.Clock.Advance(c.waits)
			tries := d.charge().Tries
			d.person(t)
			if got := d.one(); got != c.then {
				t.Errorf("when it would go it is %s, want %s", got, c.then)
			}
			d.minute()
			if got := d.one(); got != c.want || len(d.Gateway.Sends()) != c.sends {
				t.Errorf("%s after %d sends, want %s after %d", got, len(d.Gateway.Sends()), c.want, c.sends)
			}
			if got := d.charge(); got.Attempt != 1 || got.Tries != tries || got.Send.Wanted() {
				t.Errorf("attempt %d, %d tries, to be sent %t", got.Attempt, got.Tries, got.Send.Wanted())
			}
			d.CheckBooks()
		})
	}
}

// The events of a doubt that comes back, and of the send that follows it.
func TestWhatALapsedDenialTells(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutGone)
	d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.OK)
	d.Clock.Advance(3 * time.Hour)
	d.person(t)
	if r := d.Count("SELECT count(*) FROM runs WHERE state <> 'completed'"); r != 0 {
		t.Errorf("%d runs wait for a doubt", r)
	}
	d.Clock.Advance(time.Hour) // and nothing sends it meanwhile
	d.Sweep()
	if n := len(d.Gateway.Sends()); n != 1 {
		t.Fatalf("%d sends of what is in doubt", n)
	}
	d.minute()
	want := []string{"due", "submitting", "outcome_unknown", "failed", "outcome_unknown", "failed", "submitting", "succeeded"}
	if diff := cmp.Diff(want, d.Told("charge", d.charge().ID.String())); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d.CheckEvents()
	d.CheckBooks()
}

// The gateway does not answer when it is asked anew. It is asked again by the schedule of the new doubt, and not a day later.
func TestADoubtThatCameBackIsAskedAboutAgainSoon(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutPaid)
	d.Clock.Advance(3 * time.Hour)
	d.Gateway.Silent = true
	d.person(t)
	d.LookUp(0)
	if got := d.one(); got != "unknown/denial_lapsed" {
		t.Fatalf("it is %s", got)
	}
	d.Gateway.Silent = false
	d.minute()
	if got := d.charge(); got.State != charge.Succeeded || len(d.Gateway.Sends()) != 1 {
		t.Errorf("%s after %d sends", d.one(), len(d.Gateway.Sends()))
	}
	d.CheckEvents()
	d.CheckBooks()
}

// All that has lapsed of a page is taken at once, however few slots there are: nothing is sent for it.
func TestWhatHasLapsedTakesNoSlots(t *testing.T) {
	t.Parallel()
	const members = 4
	d := denied{recurrencestest.New(t)}
	d.Connector.Policy.Deduplicates = true
	d.Gateway.Remembers, d.Gateway.Now = memory, d.Clock.Now
	for i := range members {
		d.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", recurrencestest.TimeoutGone)
	}
	d.Agree("rec-ok", "2025-10-31", recurrencestest.OK)
	page := d.Morning("2025-10-30")
	d.minute()
	d.Clock.Advance(2 * time.Hour)
	d.SQL("UPDATE charges SET send_run = $1, send_page = 0, send_date = '2025-10-31', send_cause = 'person', send_wanted_at = $2", page, d.Clock.Now())
	if n := d.Count("SELECT count(*) FROM attempts WHERE state = 'not_sent'"); n != members {
		t.Fatalf("%d were denied", n)
	}
	d.InTx(func(tx pgx.Tx) error {
		r, err := d.Runs.Get(d.Ctx(), tx, page)
		if err != nil {
			return err
		}
		c, err := d.Book.Claim(d.Ctx(), tx, dispatch.Lane{Run: r, Provider: "cielo", Connector: d.Connector}, 2, []uuid.UUID{})
		if err != nil {
			return err
		}
		lapsed := 0
		for _, s := range c.Starts {
			if s.Lapsed {
				lapsed++
			}
		}
		if lapsed != members || len(c.Starts) != members {
			t.Errorf("with two slots %d of %d that have lapsed were taken, and %d others", lapsed, members, len(c.Starts)-lapsed)
		}
		return nil
	})
}

// What has lapsed of a recurrence that has ended meanwhile is asked about before it is given up.
func TestALapsedChargeOfAnEndedRecurrenceIsAskedAbout(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]charge.State{recurrencestest.TimeoutPaid: charge.Succeeded, recurrencestest.TimeoutGone: charge.Cancelled} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, token)
			d.stop(t, func() {
				d.person(t)
				d.Clock.Advance(3 * time.Hour)
				d.SQL("UPDATE recurrences SET state = 'completed', reason_code = 'expired', ended_at = $1, next_cycle = NULL, next_charge_date = NULL", d.Clock.Now())
			})
			d.minute()
			if got := d.charge(); got.State != want || len(d.Gateway.Sends()) != 1 || got.Send.Wanted() {
				t.Errorf("%s after %d sends, to be sent %t; want %s", d.one(), len(d.Gateway.Sends()), got.Send.Wanted(), want)
			}
			if n := d.Count("SELECT count(*) FROM runs WHERE state <> 'completed'"); n != 0 {
				t.Errorf("%d runs wait", n)
			}
			d.CheckBooks()
		})
	}
}

// Its recurrence goes on hold while the gateway is asked anew, and the customer gives another card: that is what has it sent then.
func TestACardGivenWhileADenialIsAskedAboutIsTried(t *testing.T) {
	t.Parallel()
	d := denied{recurrencestest.New(t)}
	d.Connector.Policy.Deduplicates = true
	d.Gateway.Remembers, d.Gateway.Now = memory, d.Clock.Now
	d.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutGone)
	run := plan(t, d.Env, "2025-10-30")
	d.Clock.Advance(8 * time.Hour) // so that its retry is within the day
	if err := d.Dispatch(d.Ctx(), run, 0); err != nil {
		t.Fatal(err)
	}
	d.minute()
	d.Retry("2025-10-31")
	if got := d.one(); got != "unknown/denial_lapsed" {
		t.Fatalf("it is %s", got)
	}
	d.SQL("UPDATE cards SET state = 'invalid'")
	d.SQL("UPDATE recurrences SET state = 'hold', reason_code = 'card_invalid'")
	err := d.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return d.Resolver.SetCard(ctx, tx, recurrencestest.Tenant, "rec-1", recurrencestest.OK, "visa")
	})
	if err != nil {
		t.Fatal(err)
	}
	d.minute()
	if got, r := d.charge(), d.Standing("rec-1"); got.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("%s, to be sent %t, recurrence %s", d.one(), got.Send.Wanted(), r.State)
	}
	d.CheckBooks()
}

// A recurrence that is charged again by a person's word while its gateway is asked about a denial is past due, as before: denied anew, the charge is retried. It
// waited for a retry, which is of what is past due alone.
func TestWhatIsAskedAboutWhenItsRecurrenceGoesOnIsRetried(t *testing.T) {
	t.Parallel()
	for name, goesOn := range map[string]func(t *testing.T, d denied){
		"resumed": func(t *testing.T, d denied) {
			t.Helper()
			d.must(t, d.Resolver.Pause)
			d.must(t, d.Resolver.Resume)
		},
		"reactivated": func(t *testing.T, d denied) {
			t.Helper()
			d.SQL("UPDATE recurrences SET state = 'hold', reason_code = 'by_person'")
			d.SQL("UPDATE charges SET send_run = NULL, send_page = NULL, send_date = NULL, send_wanted_at = NULL")
			d.must(t, d.Resolver.Reactivate)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDenied(t, recurrencestest.TimeoutGone)
			d.Clock.Advance(3 * time.Hour)
			d.person(t)
			if got := d.one(); got != "unknown/denial_lapsed" {
				t.Fatalf("it is %s", got)
			}
			goesOn(t, d)
			d.minute()
			if got, r := d.charge(), d.Standing("rec-1"); got.State != charge.FailedSoft || got.RetryOn == 0 || got.Send.Wanted() || r.State != recurrence.PastDue {
				t.Fatalf("%s, retry on %s, to be sent %t, recurrence %s", d.one(), got.RetryOn, got.Send.Wanted(), r.State)
			}
			d.Retry(d.charge().RetryOn.String())
			if got := d.charge(); !got.Send.Wanted() {
				t.Errorf("%s: its retry does not want it sent", d.one())
			}
			d.CheckBooks()
		})
	}
}

// must has a person decide about the recurrence.
func (d denied) must(t *testing.T, do func(ctx context.Context, tx pgx.Tx, tenant, id, reason string) error) {
	t.Helper()
	if err := d.Decide(func(ctx context.Context, tx pgx.Tx) error { return do(ctx, tx, recurrencestest.Tenant, "rec-1", "") }); err != nil {
		t.Fatal(err)
	}
}

// What may have been forgotten is for two people, and what they have charged again has a reference of its own.
func TestAForgottenReferenceNeverGoesAgain(t *testing.T) {
	t.Parallel()
	d := newDenied(t, recurrencestest.TimeoutGone)
	d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.OK)
	d.Retry("2025-10-31")
	d.minute()
	if got := d.one(); got != "manual_review/review_after" {
		t.Fatalf("it is %s", got)
	}
	words := resolve.Resolution{Outcome: resolve.NotPaid, PayAgain: true, Evidence: "not in the gateway's portal"}
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
	sends := d.Gateway.Sends()
	if got := d.charge(); got.State != charge.Succeeded || got.Attempt != 2 || len(sends) != 2 || sends[0].Reference == sends[1].Reference {
		t.Errorf("%s with attempt %d after %d sends", d.one(), got.Attempt, len(sends))
	}
	d.CheckEvents()
	d.CheckBooks()
}
