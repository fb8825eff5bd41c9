package plan_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

const sunday = "2025-11-02T05:00:00Z"

func TestWhatTheCleanUpEndsAndArchives(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	in := func(id, next string, s recurrence.State) store.Recurrence {
		r := e.rec(id, next, "tok_ok_"+id)
		r.State = s
		return r
	}
	ended := func(id string, s recurrence.State, at string, code string) store.Recurrence {
		r := in(id, "2025-10-30", s)
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		r.At, r.EndedAt, r.Reason.Code = recurrence.Position{}, &when, code
		return r
	}
	e.insert(
		in("rec-active", "2025-05-05", recurrence.Active), // 181 days
		in("rec-active-180", "2025-05-06", recurrence.Active),
		in("rec-past-due", "2025-05-05", recurrence.PastDue),
		in("rec-hold", "2025-05-05", recurrence.Hold),
		in("rec-paused", "2025-05-05", recurrence.Paused),
		in("rec-paused-180", "2025-05-06", recurrence.Paused),
		ended("rec-cancelled", recurrence.Cancelled, "2025-05-06T04:59:59Z", recurrence.CodeByPerson),
		ended("rec-completed", recurrence.Completed, "2025-05-06T04:59:59Z", recurrence.CodeLastCycle),
		ended("rec-completed-180", recurrence.Completed, "2025-05-06T05:00:00Z", recurrence.CodeLastCycle),
	)
	e.planner.PageSize = 2
	if done := e.run(plan.JobCleanup, sunday); done != 6 {
		t.Errorf("%d done", done)
	}
	want := []string{
		"rec-active completed expired next", "rec-active-180 active next 2025-05-06", "rec-cancelled archived by_person next",
		"rec-completed archived last_cycle next", "rec-completed-180 completed last_cycle next", "rec-hold completed expired next",
		"rec-past-due completed expired next", "rec-paused completed expired next", "rec-paused-180 paused next 2025-05-06",
	}
	same(t, "recurrences", want, e.states())
	before := e.dump()
	e.run(plan.JobCleanup, sunday)
	same(t, "again", before, e.dump())
	e.CheckEvents()
}

// TestWhatIsUnresolvedIsLeft: also where the recurrence was forgotten long ago, or ended.
func TestWhatIsUnresolvedIsLeft(t *testing.T) {
	t.Parallel()
	for _, s := range charge.Unresolved() {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.insert(e.rec("rec-1", "2025-01-30", "tok_ok_1"), e.rec("rec-2", "2025-01-30", "tok_ok_2"))
			e.morning("2025-01-30")
			e.SQL("UPDATE charges SET state = $1", s)
			e.SQL("UPDATE recurrences SET state = 'cancelled', next_cycle = NULL, next_charge_date = NULL, ended_at = '2025-01-31' WHERE recurrence_id = 'rec-2'")
			before := e.dump()
			e.run(plan.JobCleanup, sunday)
			same(t, "rows", before, e.dump())
			e.SQL("UPDATE charges SET state = 'failed_hard'")
			e.run(plan.JobCleanup, sunday)
			same(t, "recurrences", []string{"rec-1 completed expired next", "rec-2 archived next"}, e.states())
		})
	}
}

// TestAChargeThatIsToBeSentIsUnresolved: a person wants it, whatever its state.
func TestAChargeThatIsToBeSentIsUnresolved(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-01-30", "tok_hard_1"))
	e.morning("2025-01-30")
	r := e.tick("recurrences/by-hand", "2025-11-01T10:00:00Z")
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.store.WantSent(e.Ctx(), tx, store.Send{Run: r.ID, Date: on("2025-11-01"), Cause: store.ByPerson}, charge.ID(tenant, "rec-1", "2025-01-30"))
		return err
	})
	before := e.dump()
	e.run(plan.JobCleanup, sunday)
	same(t, "rows", before, e.dump())
}

// TestWhatHasNoNextCycleIsForgottenByItsLastCharge: a hold after the last cycle would stay in every digest for ever.
func TestWhatHasNoNextCycleIsForgottenByItsLastCharge(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	once := func(id, next string) store.Recurrence {
		r := e.rec(id, next, "tok_hard_"+id)
		r.Terms.MaxCycles = 1
		return r
	}
	e.insert(once("rec-1", "2025-05-05"), once("rec-2", "2025-05-06"))
	e.morning("2025-05-05")
	e.morning("2025-05-06")
	same(t, "on hold", []string{"rec-1 hold hard_decline next", "rec-2 hold hard_decline next"}, e.states())
	e.run(plan.JobCleanup, sunday)
	same(t, "recurrences", []string{"rec-1 completed expired next", "rec-2 hold hard_decline next"}, e.states())
}

// TestWhatIsFinishedIsCompleted: its last charge was cancelled, say, and nothing came after it.
func TestWhatIsFinishedIsCompleted(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := e.rec("rec-1", "2025-10-30", "tok_soft_1")
	r.Terms.MaxCycles = 1
	e.insert(r)
	e.morning("2025-10-30")
	e.run(plan.JobCleanup, sunday)
	same(t, "with its charge unpaid", []string{"rec-1 past_due next"}, e.states())
	e.SQL("UPDATE charges SET state = 'cancelled'")
	if done := e.run(plan.JobCleanup, sunday); done != 1 {
		t.Errorf("%d done", done)
	}
	same(t, "with its charge cancelled", []string{"rec-1 completed last_cycle next"}, e.states())
}

// TestWhatExpiresEndsWithItsCharges: nothing would ever retry them.
func TestWhatExpiresEndsWithItsCharges(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-01-30", "tok_soft_1"), e.rec("rec-2", "2025-01-30", "tok_action_2"), e.rec("rec-3", "2025-01-30", "tok_soft_3"))
	e.morning("2025-01-30")
	e.SQL("UPDATE charges SET contradicted = true WHERE recurrence_id = 'rec-3'") // the gateway may have taken it
	e.run(plan.JobCleanup, sunday)
	same(t, "recurrences", []string{"rec-1 completed expired next", "rec-2 completed expired next", "rec-3 completed expired next"}, e.states())
	same(t, "charges", []string{"rec-1 2025-01-30 cancelled", "rec-2 2025-01-30 cancelled", "rec-3 2025-01-30 failed_soft retry 2025-01-31"}, e.charges())
	e.CheckEvents()
}
