package collect_test

import (
	"slices"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// declined is a charge whose card said no on its first morning and on these days after it, at a gateway that does not deduplicate.
func declined(t *testing.T, days ...string) denied {
	t.Helper()
	d := denied{recurrencestest.New(t)}
	d.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	d.Morning("2025-10-30")
	for _, day := range days {
		d.Retry(day)
	}
	return d
}

// lost has what was sent last be in review because it never arrived.
func (d denied) lost(t *testing.T) {
	t.Helper()
	d.minute()
	if got := d.one(); got != "manual_review/not_resendable" {
		t.Fatalf("it is %s", got)
	}
}

// codes are the reasons of the events of a name about charges, in order.
func (d denied) codes(t *testing.T, name string) []string {
	t.Helper()
	var all []string
	for _, ev := range d.Events() {
		var m eventsv1.Charge
		if ev.Type != event.Type("charge."+name) {
			continue
		}
		if err := event.Decode(ev.Body, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m.GetReason().GetCode())
	}
	return all
}

// Retries that end because two people say that nothing was charged are told with that reason, by which the customer hears nothing, unless the
// card that the charge has said no before.
func TestRetriesThatEndUnaskedDoNotSayThatACardWasAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doubt func(*testing.T) denied
		want  string
	}{
		"the only send, too late for another": {func(t *testing.T) denied {
			d := denied{recurrencestest.New(t)}
			d.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutGone)
			d.Morning("2025-10-30")
			return d
		}, "resolved_not_paid"},
		"a new card's, after the old one said no": {func(t *testing.T) denied {
			d := declined(t)
			d.card(t, recurrencestest.TimeoutGone)
			return d
		}, "resolved_not_paid"},
		"the last retry, after three declines": {func(t *testing.T) denied {
			d := declined(t, "2025-10-31", "2025-11-03")
			d.Gateway.Say(recurrencestest.Soft, recurrencestest.TimeoutGone)
			d.Retry("2025-11-06")
			return d
		}, recurrence.CodeRetriesOver},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.doubt(t)
			d.lost(t)
			d.Clock.Advance(20 * 24 * time.Hour)
			d.minute()
			d.notPaid(t)
			if got := d.one(); got != "exhausted/"+c.want {
				t.Errorf("it is %s", got)
			}
			if got := d.codes(t, "exhausted"); !slices.Equal(got, []string{c.want}) {
				t.Errorf("told as %v", got)
			}
			if r := d.Standing("rec-1"); r.State != recurrence.Hold || r.Reason.Code != recurrence.CodeRetriesOver {
				t.Errorf("recurrence %s/%s", r.State, r.Reason.Code)
			}
			d.CheckEvents()
			d.CheckBooks()
		})
	}
}

// The one attempt that a new card gets ends in a hold when the card says no. One that never arrived asked it nothing: the charge is retried with it.
func TestANewCardThatWasNotAskedIsRetried(t *testing.T) {
	t.Parallel()
	d := declined(t)
	d.card(t, recurrencestest.TimeoutGone)
	d.lost(t)
	d.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.OK)
	d.notPaid(t)
	c, r := d.charge(), d.Standing("rec-1")
	if c.State != charge.FailedSoft || c.RetryOn == 0 || r.State != recurrence.PastDue {
		t.Fatalf("%s, next retry %s, recurrence %s/%s", d.one(), c.RetryOn, r.State, r.Reason.Code)
	}
	d.Retry(c.RetryOn.String())
	if c, r = d.charge(), d.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("%s, recurrence %s/%s", d.one(), r.State, r.Reason.Code)
	}
	if n := len(d.Gateway.Sends()); n != 3 {
		t.Errorf("%d sends", n)
	}
	d.CheckEvents()
	d.CheckBooks()

	d = declined(t)
	d.card(t, recurrencestest.TimeoutSoft)
	d.minute()
	if r := d.Standing("rec-1"); r.State != recurrence.Hold || r.Reason.Code != recurrence.CodeRetriesOver {
		t.Errorf("a new card said no: %s, recurrence %s/%s", d.one(), r.State, r.Reason.Code)
	}
}
