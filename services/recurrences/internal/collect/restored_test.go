package collect_test

import (
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// restored marks a restore, now; careful is the last day that is asked about.
func restored(e *recurrencestest.Env, careful string) {
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, $2::date, 'test', 'user:test')", e.Clock.Now(), careful)
}

// prove asks the gateway until what it was never sent is proven absent.
func prove(t *testing.T, e *recurrencestest.Env) {
	t.Helper()
	for range 3 {
		e.Clock.Advance(10 * time.Second)
		if err := e.Prechecks.Pass(e.Ctx()); err != nil {
			t.Fatal(err)
		}
		e.Work()
		e.LookUp(0)
	}
}

// Promise 6, a restore: the tables go back to before a morning. Who was charged is not charged again, whose card was declined is not
// asked twice for the same, and who was not reached is charged.
func TestARestoredMorningChargesNobodyTwice(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-paid", "2025-10-30", recurrencestest.OK)
	e.Agree("rec-soft", "2025-10-30", recurrencestest.Soft)
	restore := pgtest.Backup(t, e.Pool)
	e.Morning("2025-10-30")
	if n := len(e.Gateway.Sends()); n != 2 {
		t.Fatalf("%d sends before the restore", n)
	}
	restore()
	restored(e, "2025-11-01")
	e.Agree("rec-new", "2025-10-30", recurrencestest.OK+"_2") // imported since: the morning meets it for the first time
	run := e.Morning("2025-10-30")
	if n := len(e.Gateway.Sends()); n != 2 {
		t.Fatalf("%d were sent before the gateway was asked", n-2)
	}
	prove(t, e)
	for id, want := range map[string]charge.State{"rec-paid": charge.Succeeded, "rec-soft": charge.FailedSoft, "rec-new": charge.Succeeded} {
		if c := e.Charge(id, "2025-10-30"); c.State != want || c.Attempt != 1 {
			t.Errorf("%s: %s with attempt %d, want %s with the first", id, c.State, c.Attempt, want)
		}
	}
	if n := len(e.Gateway.Sends()); n != 3 {
		t.Errorf("%d sends, want one for each", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run is not complete")
	}
	e.CheckEvents()
	e.CheckBooks()
}

// A cycle may be charged some days ahead of its date, and one of a far later date was not before the restore.
func TestWhichChargesAreAskedAboutAfterARestore(t *testing.T) {
	t.Parallel()
	for careful, asks := range map[string]bool{"2025-10-30": true, "2025-10-16": true, "2025-10-15": false} {
		t.Run(careful, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			restored(e, careful)
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			e.Morning("2025-10-30")
			if sent := len(e.Gateway.Sends()) == 1; sent == asks {
				t.Errorf("sent at once: %t", sent)
			}
			prove(t, e)
			if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded {
				t.Errorf("in the end %s", c.State)
			}
		})
	}
}

// A gateway does not tell whom it charged, and is believed without; when it does not tell how much either, it is for people.
func TestAChargeFromBeforeARestoreWithoutItsAmountIsForPeople(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	restore := pgtest.Backup(t, e.Pool)
	e.Morning("2025-10-30")
	restore()
	restored(e, "2025-11-01")
	e.Gateway.HideAmounts(true)
	e.Morning("2025-10-30")
	prove(t, e)
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.ManualReview {
		t.Errorf("without its amount: %s", c.State)
	}
	e.Gateway.HideAmounts(false)
	e.Clock.Advance(48 * time.Hour)
	e.LookUp(0)
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || len(e.Gateway.Sends()) != 1 {
		t.Errorf("with it: %s after %d sends", c.State, len(e.Gateway.Sends()))
	}
	e.CheckEvents()
	e.CheckBooks()
}
