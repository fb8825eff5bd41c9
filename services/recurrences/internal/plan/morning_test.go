package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// through does the mornings of consecutive local dates.
func (e *env) through(from string, days int) {
	e.t.Helper()
	for n := range days {
		e.morning((on(from) + recurrence.Date(n)).String())
	}
}

// charged tells each charge by its cycle and the date on which it was attempted first.
func (e *env) chargedOn() string {
	e.t.Helper()
	return strings.Join(list[string](e, "SELECT cycle || ' on ' || first_attempt_date FROM charges ORDER BY recurrence_id, cycle"), ", ")
}

// TestCyclesThroughTheJob: what the pure rules say comes out of the mornings, day by day.
func TestCyclesThroughTheJob(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, next string
		rhythm     recurrence.Rhythm
		days       int
		want       string
	}{
		{
			"monthly on 31", "2025-01-31",
			recurrence.Rhythm{Period: recurrence.Monthly, Day: 31},
			91,
			"2025-01-31 on 2025-01-31, 2025-02-28 on 2025-02-28, 2025-03-31 on 2025-03-31, 2025-04-30 on 2025-04-30",
		},
		{
			"monthly on 29 in a leap year", "2024-01-29",
			recurrence.Rhythm{Period: recurrence.Monthly, Day: 29},
			62,
			"2024-01-29 on 2024-01-29, 2024-02-29 on 2024-02-29, 2024-03-29 on 2024-03-29",
		},
		{
			"monthly on 30, weekends", "2025-11-30",
			recurrence.Rhythm{Period: recurrence.Monthly, Day: 30},
			95,
			"2025-11-30 on 2025-12-01, 2025-12-30 on 2025-12-30, 2026-01-30 on 2026-01-30, 2026-02-28 on 2026-03-02",
		},
		{
			"yearly on 29 February", "2024-02-29",
			recurrence.Rhythm{Period: recurrence.Yearly, Day: 29, Month: 2},
			370,
			"2024-02-29 on 2024-02-29, 2025-02-28 on 2025-02-28",
		},
		{
			"weekly on Sundays", "2025-11-02",
			recurrence.Rhythm{Period: recurrence.Weekly, Day: 7},
			16,
			"2025-11-02 on 2025-11-03, 2025-11-09 on 2025-11-10, 2025-11-16 on 2025-11-17",
		},
		{
			"every 10 days", "2025-10-30",
			recurrence.Rhythm{Period: recurrence.Days, Interval: 10},
			25,
			"2025-10-30 on 2025-10-30, 2025-11-09 on 2025-11-10, 2025-11-19 on 2025-11-19",
		},
		{
			"every day, one a day through a weekend", "2025-10-31",
			recurrence.Rhythm{Period: recurrence.Days, Interval: 1},
			6,
			"2025-10-31 on 2025-10-31, 2025-11-01 on 2025-11-03, 2025-11-02 on 2025-11-04, 2025-11-03 on 2025-11-05",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			r := e.rec("rec-1", tt.next, "tok_ok_1")
			r.Terms.Rhythm = tt.rhythm
			e.insert(r)
			e.through(tt.next, tt.days)
			same(t, "charged", tt.want, e.chargedOn())
			e.CheckEvents()
		})
	}
}

// TestADayOfOutageLostCharges is what the system being replaced did: it took only what was due today.
func TestADayOfOutageLostCharges(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-29", "tok_ok_1"), e.rec("rec-2", "2025-10-30", "tok_ok_2"), e.rec("rec-3", "2025-10-23", "tok_ok_3"))
	e.morning("2025-10-30")
	same(t, "charges", []string{"rec-1 2025-10-29 succeeded", "rec-2 2025-10-30 succeeded", "rec-3 2025-10-23 succeeded"}, e.charges())
	same(t, "recurrences", []string{"rec-1 active next 2025-12-01", "rec-2 active next 2025-12-01", "rec-3 active next 2025-11-24"}, e.states())
}

func TestEightDaysOfOutage(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	weekly := e.rec("rec-2", "2025-10-22", "tok_ok_2")
	weekly.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Weekly, Day: 3}
	today := e.rec("rec-3", "2025-10-16", "tok_ok_3")
	today.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Weekly, Day: 4}
	e.insert(e.rec("rec-1", "2025-10-22", "tok_ok_1"), weekly, today)
	if missed := e.morning("2025-10-30"); missed != 5 {
		t.Errorf("%d cycles missed", missed)
	}
	same(t, "missed", []string{"rec-1 2025-10-22", "rec-2 2025-10-22", "rec-2 2025-10-29", "rec-3 2025-10-16", "rec-3 2025-10-23"},
		list[string](e, "SELECT recurrence_id || ' ' || cycle FROM missed_cycles ORDER BY 1"))
	same(t, "charges", []string{"rec-3 2025-10-30 succeeded"}, e.charges())
	same(t, "recurrences", []string{"rec-1 active next 2025-11-24", "rec-2 active next 2025-11-05", "rec-3 active next 2025-11-06"}, e.states())
	e.CheckEvents()
	// What a cycle_missed tells: its cycle, and where the recurrence goes on.
	same(t, "told", []string{"2025-10-16 then 2025-10-23", "2025-10-23 then 2025-10-30"}, list[string](e, `
		SELECT convert_from(payload, 'UTF8')::jsonb->>'cycle' || ' then ' || (convert_from(payload, 'UTF8')::jsonb->>'next_cycle')
		FROM outbox WHERE subject LIKE '%.cycle\_missed.%' AND convert_from(payload, 'UTF8')::jsonb->>'recurrence_id' = 'rec-3' ORDER BY seq`))
	same(t, "counted", int64(2+1), e.Count("SELECT cycles FROM recurrences WHERE recurrence_id = 'rec-3'"))
}

func TestTwoHundredDaysAreLeftForTheCleanUp(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-04-13", "tok_ok_1"), e.rec("rec-2", "2025-05-05", "tok_ok_2"))
	before := e.states()[0]
	if missed := e.morning("2025-10-30"); missed != 6 { // rec-2: May to October
		t.Errorf("%d cycles missed", missed)
	}
	same(t, "forgotten", before, e.states()[0])
	same(t, "178 days", "rec-2 active next 2025-11-05", e.states()[1])
	if n := e.Count("SELECT count(*) FROM charges"); n != 0 {
		t.Errorf("%d charges", n)
	}
}

// TestOneChargePerRecurrenceAndDayOldestFirst: several overdue cycles are taken on successive days.
func TestOneChargePerRecurrenceAndDayOldestFirst(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.rules.BusinessDay = recurrence.NoMove
	r := e.rec("rec-1", "2025-10-24", "tok_ok_1")
	r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Days, Interval: 3}
	e.insert(r)
	for _, date := range []string{"2025-10-30", "2025-10-30", "2025-10-31", "2025-11-01", "2025-11-02"} {
		e.run(plan.JobChargeDue, date+"T11:00:00Z")
		e.run(plan.JobChargeDue, date+"T11:30:00Z") // another schedule of the same day
		e.answer()
		e.run(plan.JobChargeDue, date+"T12:00:00Z") // and when it is paid
		e.answer()
	}
	same(t, "charged", "2025-10-24 on 2025-10-30, 2025-10-27 on 2025-10-31, 2025-10-30 on 2025-11-01, 2025-11-02 on 2025-11-02", e.chargedOn())
}

// TestALateTickOfYesterdayChargesNobodyAgain: ticks come late and in any order.
func TestALateTickOfYesterdayChargesNobodyAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.rules.BusinessDay = recurrence.NoMove
	r := e.rec("rec-1", "2025-10-27", "tok_ok_1")
	r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Days, Interval: 1}
	e.insert(r)
	e.morning("2025-10-30")
	e.morning("2025-10-29") // the cycle of the 28th would be due on it
	e.morning("2025-10-30")
	same(t, "charged", "2025-10-27 on 2025-10-30", e.chargedOn())
}

func TestOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	var all []store.Recurrence
	for _, s := range []recurrence.State{recurrence.Paused, recurrence.Hold, recurrence.Cancelled, recurrence.Completed} {
		r := e.rec("rec-"+string(s), "2025-10-30", "tok_ok")
		r.State = s
		if recurrence.Ended(s) {
			at := time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)
			r.At, r.EndedAt = recurrence.Position{}, &at
		}
		all = append(all, r)
	}
	e.insert(append(all, e.rec("rec-tomorrow", "2025-10-31", "tok_ok"), e.rec("rec-missing-no-more", "2025-11-30", "tok_ok"))...)
	before := e.dump()
	e.morning("2025-10-30")
	e.retry("2025-10-30")
	e.run(plan.JobCleanup, "2025-11-02T05:00:00Z")
	same(t, "rows", before, e.dump())
}

// TestNeverWhileAChargeIsUnknown: whatever a charge may still do, its recurrence waits (promise 6); once it is over, the next
// cycle is charged.
func TestNeverWhileAChargeIsUnknown(t *testing.T) {
	t.Parallel()
	for _, s := range []charge.State{charge.Due, charge.Submitting, charge.Processing, charge.Unknown, charge.ManualReview} {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			r := e.rec("rec-1", "2025-10-27", "tok_ok_1")
			r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Days, Interval: 2}
			e.insert(r)
			e.run(plan.JobChargeDue, "2025-10-27T11:00:00Z")
			if s != charge.Due {
				e.SQL("UPDATE charges SET state = $1, send_run = CASE WHEN $1 = 'submitting' THEN send_run END, last_attempt_date = '2025-10-27'", s)
			}
			before := e.dump()
			for _, date := range []string{"2025-10-28", "2025-10-29", "2025-10-30"} {
				e.run(plan.JobChargeDue, date+"T11:00:00Z")
				e.run(plan.JobRetryFailed, date+"T13:00:00Z")
			}
			same(t, "rows", before, e.dump())
			e.SQL("UPDATE charges SET state = 'succeeded', send_run = NULL, send_date = NULL, send_page = NULL, version = version + 1")
			e.run(plan.JobChargeDue, "2025-10-30T11:00:00Z")
			same(t, "charges", []string{"rec-1 2025-10-27 succeeded", "rec-1 2025-10-29 due"}, e.charges())
		})
	}
}

// TestARetryThatWaitsForItsGatewayIsTheDaysCharge: what is to be sent as soon as the gateway is there again counts.
func TestARetryThatWaitsForItsGatewayIsTheDaysCharge(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := e.rec("rec-1", "2025-10-29", "tok_soft_1")
	r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Weekly, Day: 3}
	e.insert(r)
	e.morning("2025-10-29")
	e.run(plan.JobRetryFailed, "2025-10-30T13:00:00Z") // nothing is sent
	e.run(plan.JobChargeDue, "2025-11-05T11:00:00Z")
	e.run(plan.JobRetryFailed, "2025-11-05T13:00:00Z")
	same(t, "charges", []string{"rec-1 2025-10-29 failed_soft retry 2025-10-30"}, e.charges())
	same(t, "the send is the first one's", "2025-10-30", list[string](e, "SELECT send_date::text FROM charges")[0])
}

// TestAChargeThatNothingSendsIsSentAgain: its recurrence was paused before it went. Resumed, the cycle is charged, unless it
// is too late by then; that one is a person's, and keeps the next cycle from nothing.
func TestAChargeThatNothingSendsIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, resumed, want string }{
		{"in time", "2025-11-06", "rec-1 2025-10-30 succeeded"},
		{"too late", "2025-11-07", "rec-1 2025-10-30 exhausted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.insert(e.rec("rec-1", "2025-10-30", "tok_ok_1"))
			e.run(plan.JobChargeDue, "2025-10-30T11:00:00Z")
			e.InTx(func(tx pgx.Tx) error { return e.store.UnwantSent(e.Ctx(), tx, e.wanted()[0].ID) })
			e.morning(tt.resumed)
			same(t, "charges", []string{tt.want}, e.charges())
			e.morning("2025-12-01")
			same(t, "with the next cycle", []string{tt.want, "rec-1 2025-11-30 succeeded"}, e.charges())
		})
	}
}

// TestACardThatDoesNotWorkHoldsWhatCameWithIt: an import may bring a recurrence for a card that is invalid already.
func TestACardThatDoesNotWorkHoldsWhatCameWithIt(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_bad"), e.rec("rec-2", "2025-10-30", "tok_ok"))
	e.SQL("UPDATE cards SET state = 'invalid' WHERE token = 'tok_bad'")
	e.morning("2025-10-30")
	same(t, "charges", []string{"rec-2 2025-10-30 succeeded"}, e.charges())
	same(t, "recurrences", []string{"rec-1 hold card_invalid next 2025-10-30", "rec-2 active next 2025-12-01"}, e.states())
	if held := e.Count("SELECT count(*) FROM recurrences WHERE held_by = '2025-10-30T11:00:00Z'"); held != 1 {
		t.Errorf("%d were put on hold by the tick", held)
	}
	e.CheckEvents()
}

func TestTheLastCycle(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	limited := func(id, token string, most int) store.Recurrence {
		r := e.rec(id, "2025-10-30", token)
		r.Terms.MaxCycles = most
		return r
	}
	ends := e.rec("rec-4", "2025-10-16", "tok_ok_4")
	ends.Terms.EndDate = on("2025-11-15")
	e.insert(limited("rec-1", "tok_ok_1", 1), limited("rec-2", "tok_soft_2", 1), limited("rec-3", "tok_ok_3", 2), ends)
	e.morning("2025-10-30")
	same(t, "after a cycle", []string{
		"rec-1 completed last_cycle next", "rec-2 past_due next", "rec-3 active next 2025-12-01", "rec-4 completed last_cycle next",
	}, e.states())
	for _, date := range []string{"2025-10-31", "2025-11-03", "2025-11-06"} {
		e.retry(date)
	}
	e.morning("2025-12-01")
	same(t, "at the end", []string{
		"rec-1 completed last_cycle next", "rec-2 hold retries_over next", "rec-3 completed last_cycle next", "rec-4 completed last_cycle next",
	}, e.states())
	e.CheckEvents()
}

// TestATenantWithoutRulesFailsItsRun: the tenants file may have lost them.
func TestATenantWithoutRulesFailsItsRun(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.store.Tenants.Tenants[0].Recurrences = nil
	for _, job := range []string{plan.JobChargeDue, plan.JobRetryFailed, plan.JobNotifyHolds, plan.JobCleanup} {
		if _, err := e.page(e.tick(job, "2025-10-30T11:00:00Z")); err == nil || !strings.Contains(err.Error(), plan.ErrNotConfigured.Error()) {
			t.Errorf("%s: %v", job, err)
		}
	}
}

// TestPagesGoOnByTheirCursor: whatever a page does to its rows, the next one neither repeats nor skips any.
func TestPagesGoOnByTheirCursor(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize = 3
	var all []store.Recurrence
	for n := range 10 {
		next := "2025-10-30"
		if n%4 == 0 {
			next = "2025-10-10" // missed
		}
		all = append(all, e.rec(fmt.Sprintf("rec-%02d", n), next, fmt.Sprintf("tok_ok_%d", n)))
	}
	e.insert(all...)
	r := e.tick(plan.JobChargeDue, "2025-10-30T11:00:00Z")
	missed, pages := e.pages(r)
	if missed != 3 || pages != 4 {
		t.Errorf("%d missed on %d pages", missed, pages)
	}
	same(t, "charges by page", []string{"0 2", "1 2", "2 2", "3 1"}, list[string](e, "SELECT send_page || ' ' || count(*) FROM charges GROUP BY send_page ORDER BY send_page"))
}
