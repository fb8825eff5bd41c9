package outcome_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Each history of the property has a database of its own: a few by default, more by -rapid.checks.
func TestMain(m *testing.M) {
	checks := flag.Lookup("rapid.checks")
	if err := checks.Value.Set("15"); err != nil { // a flag of the command line comes after this
		panic(err)
	}
	pgtest.Main(m)
}

// After a first attempt on Thursday 30 October 2025.
func TestAnAnswerMovesChargeRecurrenceCardAndBooksTogether(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]struct {
		charge     charge.State
		tries      int
		retryOn    string
		recurrence recurrence.State
		code       string
		card       string
		failures   int
		told       []string // of the recurrence
		books      map[string]int64
	}{
		recurrencestest.OK: {
			charge.Succeeded, 0, "", recurrence.Active, "", store.CardValid, 0,
			[]string{"activated"},
			map[string]int64{"gateway_receivable:cielo": 4990, "seller_payable:seller-1": -4990},
		},
		recurrencestest.Soft: {
			charge.FailedSoft, 1, "2025-10-31", recurrence.PastDue, "", store.CardValid, 1, []string{"activated", "past_due"}, map[string]int64{},
		},
		recurrencestest.Hard: {
			charge.FailedHard, 1, "", recurrence.Hold, recurrence.CodeHardDecline, store.CardValid, 1, []string{"activated", "held"}, map[string]int64{},
		},
		recurrencestest.Lost: {
			charge.FailedHard, 1, "", recurrence.Hold, recurrence.CodeCardInvalid, store.CardInvalid, 1, []string{"activated", "held"}, map[string]int64{},
		},
		recurrencestest.Action: {
			charge.RequiresAction, 1, "", recurrence.Hold, recurrence.CodeRequiresAction, store.CardValid, 1, []string{"activated", "held"}, map[string]int64{},
		},
		recurrencestest.TimeoutPaid: {charge.Unknown, 0, "", recurrence.Active, "", store.CardValid, 0, []string{"activated"}, map[string]int64{}},
		recurrencestest.Pending:     {charge.Processing, 0, "", recurrence.Active, "", store.CardValid, 0, []string{"activated"}, map[string]int64{}},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", token)
			run := e.Morning("2025-10-30")

			c, r, k := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"), e.Card(token)
			if c.State != want.charge || c.Tries != want.tries || c.RetryOn.String() != want.retryOn || c.Attempt != 1 {
				t.Errorf("charge: %s, tries %d, retry on %q, attempt %d", c.State, c.Tries, c.RetryOn, c.Attempt)
			}
			if c.FirstAttempt != recurrencestest.On("2025-10-30") || c.LastAttempt != c.FirstAttempt || c.Send.Wanted() {
				t.Errorf("charge: first attempt %s, last %s, still to be sent: %t", c.FirstAttempt, c.LastAttempt, c.Send.Wanted())
			}
			if r.State != want.recurrence || r.Reason.Code != want.code || r.At.Next.Date.String() != "2025-11-30" || r.At.Next.ChargeOn.String() != "2025-12-01" {
				t.Errorf("recurrence: %s for %q, next %v", r.State, r.Reason.Code, r.At.Next)
			}
			if held := r.State == recurrence.Hold; held != (r.HeldBy != nil) || held && !r.HeldBy.Equal(recurrencestest.At("2025-10-30T11:00:00Z")) {
				t.Errorf("recurrence %s is held by %v", r.State, r.HeldBy)
			}
			if k.State != want.card || k.Failures != want.failures {
				t.Errorf("card: %s with %d failures", k.State, k.Failures)
			}
			if diff := cmp.Diff(want.told, e.Told("recurrence", "rec-1")); diff != "" {
				t.Errorf("events of the recurrence (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.books, e.Balances()); diff != "" {
				t.Errorf("books (-want +got):\n%s", diff)
			}
			if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
				t.Error("the run is not complete")
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

func TestRetriesFollowTheFirstAttemptAndEndInHold(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	for _, step := range []struct {
		date  string
		tries int
		next  string
	}{
		{"2025-10-30", 1, "2025-10-31"}, // never twice a day
		{"2025-10-31", 2, "2025-11-03"}, // D+3 is a Sunday
		{"2025-11-01", 2, "2025-11-03"},
		{"2025-11-03", 3, "2025-11-06"}, // D+7, counted from D
		{"2025-11-06", 4, ""},
		{"2025-11-07", 4, ""},
	} {
		e.Retry(step.date)
		if c := e.Charge("rec-1", "2025-10-30"); c.Tries != step.tries || c.RetryOn.String() != step.next {
			t.Fatalf("after %s: %d tries, next on %q", step.date, c.Tries, c.RetryOn)
		}
	}
	c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
	if c.State != charge.Exhausted || r.State != recurrence.Hold || r.Reason.Code != recurrence.CodeRetriesOver {
		t.Errorf("charge %s, recurrence %s for %q", c.State, r.State, r.Reason.Code)
	}
	if want := recurrencestest.At("2025-11-06T13:00:00Z"); r.HeldBy == nil || !r.HeldBy.Equal(want) {
		t.Errorf("held by %v, want %v", r.HeldBy, want)
	}
	told := e.Told("charge", c.ID.String())
	if diff := cmp.Diff([]string{"failed", "exhausted"}, told[len(told)-2:]); diff != "" {
		t.Errorf("the last failure is told before the end of the retries (-want +got):\n%s", diff)
	}
	if n := len(e.Gateway.Sends()); n != 4 {
		t.Errorf("%d sends", n)
	}
	e.CheckEvents()
	e.CheckBooks()
}

func TestASuccessEndsPastDueAndTheCardsFailures(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.OK)
	e.Retry("2025-10-31")
	if r, k := e.Standing("rec-1"), e.Card(recurrencestest.Soft); r.State != recurrence.Active || k.Failures != 0 {
		t.Errorf("recurrence %s, card with %d failures", r.State, k.Failures)
	}
	if diff := cmp.Diff([]string{"activated", "past_due", "resumed"}, e.Told("recurrence", "rec-1")); diff != "" {
		t.Error(diff)
	}
	e.CheckEvents()
	e.CheckBooks()
}

func TestALostCardHoldsEverythingThatItPays(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Lost)
	for id, state := range map[string]recurrence.State{"rec-2": recurrence.Active, "rec-3": recurrence.PastDue, "rec-4": recurrence.Paused} {
		e.Agree(id, "2025-11-20", recurrencestest.Lost, func(r *store.Recurrence) { r.State = state })
	}
	e.Agree("rec-5", "2025-11-20", recurrencestest.OK)
	e.Morning("2025-10-30")
	for id, want := range map[string]recurrence.State{
		"rec-1": recurrence.Hold, "rec-2": recurrence.Hold, "rec-3": recurrence.Hold, "rec-4": recurrence.Paused, "rec-5": recurrence.Active,
	} {
		if r := e.Standing(id); r.State != want || want == recurrence.Hold && r.Reason.Code != recurrence.CodeCardInvalid {
			t.Errorf("%s is %s for %q", id, r.State, r.Reason.Code)
		}
	}
	if diff := cmp.Diff([]string{"invalidated"}, e.Told("card", e.Card(recurrencestest.Lost).ID.String())); diff != "" {
		t.Error(diff)
	}
	e.CheckEvents()
}

func TestTooManyDeclinesInARowOverAllRecurrencesInvalidateACard(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Agree("rec-2", "2025-10-30", recurrencestest.Soft)
	e.Agree("rec-3", "2025-11-20", recurrencestest.Soft)
	e.Morning("2025-10-30") // 2
	e.Retry("2025-10-31")   // 4
	if k := e.Card(recurrencestest.Soft); k.Failures != 4 || k.State != store.CardValid {
		t.Fatalf("card %s with %d failures", k.State, k.Failures)
	}
	e.Retry("2025-11-03") // 5, and the sixth may have been on its way
	k := e.Card(recurrencestest.Soft)
	if k.State != store.CardInvalid || k.Failures < 5 {
		t.Fatalf("card %s with %d failures", k.State, k.Failures)
	}
	for _, id := range []string{"rec-1", "rec-2", "rec-3"} {
		if r := e.Standing(id); r.State != recurrence.Hold || r.Reason.Code != recurrence.CodeCardInvalid {
			t.Errorf("%s is %s for %q", id, r.State, r.Reason.Code)
		}
	}
	sends := len(e.Gateway.Sends())
	e.Retry("2025-11-06")
	if n := len(e.Gateway.Sends()); n != sends {
		t.Errorf("%d sends to a card that is invalid", n-sends)
	}
	e.CheckEvents()
}

// Promise 6.
func TestALostAnswerIsFoundAndNeverChargedAgain(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutPaid)
	e.Morning("2025-10-30")
	e.Retry("2025-10-31")
	e.Morning("2025-12-01") // the next cycle is due, and waits
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Fatalf("%d sends while the first is unknown", n)
	}
	e.LookUp(time.Second)
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded {
		t.Fatalf("charge %s", c.State)
	}
	e.Gateway.Say(recurrencestest.TimeoutPaid, recurrencestest.OK)
	e.Morning("2025-12-02")
	if c := e.Charge("rec-1", "2025-11-30"); c.State != charge.Succeeded {
		t.Errorf("the next cycle is %s", c.State)
	}
	e.CheckEvents()
	e.CheckBooks()
}

func TestAnUnknownThatFailedReentersTheRetries(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutSoft)
	e.Morning("2025-10-30")
	e.LookUp(2 * time.Second)
	c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
	if c.State != charge.FailedSoft || c.RetryOn.String() != "2025-10-31" || r.State != recurrence.PastDue {
		t.Fatalf("charge %s, retry on %s, recurrence %s", c.State, c.RetryOn, r.State)
	}
	e.Gateway.Say(recurrencestest.TimeoutSoft, recurrencestest.OK)
	e.Retry("2025-10-31")
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || c.Attempt != 2 {
		t.Errorf("charge %s, attempt %d", c.State, c.Attempt)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// Cielo does not deduplicate: what is proven absent is for people.
func TestWhatIsProvenAbsentIsForPeople(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutGone)
	e.Morning("2025-10-30")
	for range 4 {
		e.LookUp(10 * time.Second)
	}
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.ManualReview {
		t.Fatalf("charge %s", c.State)
	}
	e.Retry("2025-10-31")
	e.Sweep()
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends", n)
	}
	e.CheckEvents()
}

func TestAContradictionIsFoundOnceAndNeverSentAgain(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	c := e.Charge("rec-1", "2025-10-30")
	e.Gateway.Finish(c.Reference, provider.Result{Class: provider.Succeeded})
	for range 2 {
		e.Webhook(c.Reference)
		e.LookUp(time.Second)
	}
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.FailedSoft || !c.Contradicted {
		t.Errorf("charge %s, contradicted %t", c.State, c.Contradicted)
	}
	found := 0
	for _, ev := range e.Events() {
		if ev.Type == "recon.mismatch_found" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d findings", found)
	}
	if diff := cmp.Diff(map[string]int64{"gateway_receivable:cielo": 4990, "suspense": -4990}, e.Balances()); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.OK)
	e.Retry("2025-10-31")
	e.Sweep()
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends of a charge that the gateway says was paid", n)
	}
	e.Morning("2025-12-01") // the next cycle is paid, and nothing is behind
	if r := e.Standing("rec-1"); r.State != recurrence.Active {
		t.Errorf("recurrence %s", r.State)
	}
	e.CheckEvents()
}

func TestTheLastCycleCompletesTheRecurrence(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]recurrence.State{
		recurrencestest.OK: recurrence.Completed, recurrencestest.Soft: recurrence.PastDue, recurrencestest.TimeoutPaid: recurrence.Active,
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", token, func(r *store.Recurrence) { r.Terms.MaxCycles = 1 })
			e.Morning("2025-10-30")
			if r := e.Standing("rec-1"); r.State != want || r.At.Next != (recurrence.Cycle{}) {
				t.Fatalf("recurrence %s, next %v", r.State, r.At.Next)
			}
			e.Gateway.Say(token, recurrencestest.OK)
			e.LookUp(2 * time.Second)
			e.Retry("2025-10-31")
			r := e.Standing("rec-1")
			if r.State != recurrence.Completed || r.Reason.Code != recurrence.CodeLastCycle || r.EndedAt == nil {
				t.Errorf("recurrence %s for %q, ended at %v", r.State, r.Reason.Code, r.EndedAt)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A webhook about a decline may be the news that it was none after all: it is read before the next try, not after.
func TestNewsOfADeclineIsReadBeforeTheRetry(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	e.Webhook(e.Charge("rec-1", "2025-10-30").Reference)
	e.Retry("2025-10-31")
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Fatalf("%d sends", n)
	}
	e.LookUp(time.Second) // it is the decline that we know
	e.Sweep()
	if n := len(e.Gateway.Sends()); n != 2 {
		t.Errorf("%d sends after the lookup", n)
	}
	e.CheckEvents()
}

func TestANewCardMustPayEverythingThatIsOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []string // to the two charges
		want    recurrence.State
	}{
		"both paid":   {[]string{recurrencestest.OK, recurrencestest.OK}, recurrence.Active},
		"first paid":  {[]string{recurrencestest.OK, recurrencestest.Soft}, recurrence.Hold},
		"second paid": {[]string{recurrencestest.Soft, recurrencestest.OK}, recurrence.Hold},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.Soft, func(r *store.Recurrence) {
				r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Days, Interval: 7}
			})
			e.Morning("2025-10-30")
			e.Gateway.Say(recurrencestest.Soft, recurrencestest.Hard)
			e.Morning("2025-11-06")
			if r := e.Standing("rec-1"); r.State != recurrence.Hold || len(e.Charges("rec-1")) != 2 {
				t.Fatalf("recurrence %s with %d charges", r.State, len(e.Charges("rec-1")))
			}
			calls := 0
			e.Gateway.Before = func(context.Context, provider.Transfer) {
				e.Gateway.Say("tok_ok_new", c.answers[min(calls, 1)])
				calls++
			}
			err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
				return e.Resolver.SetCard(ctx, tx, recurrencestest.Tenant, "rec-1", "tok_ok_new", "visa")
			})
			if err != nil {
				t.Fatal(err)
			}
			e.Sweep()
			if r := e.Standing("rec-1"); r.State != c.want || calls != 2 {
				t.Errorf("recurrence %s after %d tries", r.State, calls)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}
