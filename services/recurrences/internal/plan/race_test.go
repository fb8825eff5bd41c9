package plan_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// planners does all pages of several runs at once, each by two planners that know nothing of each other.
func (e *env) planners(job, nominal string, schedules int) {
	e.t.Helper()
	var all sync.WaitGroup
	for n := range schedules {
		r := e.tick(job, nominal)
		if n > 0 { // schedules of their own that fire in the same moment
			first := r.ID
			r.ID = uuid.New()
			e.SQL("INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('run_id', $2::uuid, 'tick_id', $2::text))).* FROM runs r WHERE run_id = $1", first, r.ID)
		}
		for range 2 {
			all.Go(func() { e.allPages(r) })
		}
	}
	all.Wait()
}

// allPages is pages for goroutines: it tells an error without ending the test.
func (e *env) allPages(r run.Run) {
	for {
		out, err := e.page(r)
		if err != nil {
			e.t.Errorf("page %d of %s: %v", r.Page, r.Job, err)
			return
		}
		if out.Last {
			return
		}
		r.Cursor, r.Page = out.Cursor, r.Page+1
	}
}

// crowd is recurrences of a few customers' cards, some of them late.
func (e *env) crowd(n, cards int, token string) []store.Recurrence {
	all := make([]store.Recurrence, n)
	for i := range all {
		next := "2025-10-30"
		if i%10 == 0 {
			next = "2025-10-15"
		}
		all[i] = e.rec(fmt.Sprintf("rec-%04d", i), next, fmt.Sprintf("%s_%02d", token, i%cards))
		all[i].SellerID, all[i].Amount.Minor = fmt.Sprintf("seller-%02d", i%7), int64(1000+i) // networks count by amount
	}
	return all
}

// TestTwoPlannersRace: several schedules plan the same recurrences in the same moment, and each page is done twice at once.
func TestTwoPlannersRace(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize, e.rules.CardFailureLimit = 7, 0
	e.insert(e.crowd(200, 20, "tok_soft")...)

	e.planners(plan.JobChargeDue, "2025-10-30T11:00:00Z", 3)
	if n := e.Count("SELECT count(*) FROM charges WHERE cycle = '2025-10-30' AND state = 'due' AND send_run IS NOT NULL"); n != 180 {
		t.Errorf("%d charges of 180", n)
	}
	if n := e.Count("SELECT count(*) FROM charges"); n != 180 {
		t.Errorf("%d charges in all", n)
	}
	if n := e.Count("SELECT count(*) FROM missed_cycles"); n != 20 {
		t.Errorf("%d cycles missed", n)
	}
	same(t, "where they stand", []string{"1 2025-11-17 20", "1 2025-12-01 180"}, list[string](e,
		"SELECT cycles || ' ' || next_charge_date || ' ' || count(*) FROM recurrences GROUP BY cycles, next_charge_date ORDER BY 1"))
	e.answer()

	e.planners(plan.JobRetryFailed, "2025-10-31T13:00:00Z", 3)
	if n := e.Count("SELECT count(*) FROM charges WHERE send_date = '2025-10-31'"); n != 180 {
		t.Errorf("%d retries of 180", n)
	}
	e.answer()
	for cycle, n := range e.sent() {
		if n != 2 {
			t.Errorf("%s was sent %d times", cycle, n)
		}
	}
	e.SQL("UPDATE recurrences SET state = 'hold', version = version") // the events do not know; the digests do
	e.planners(plan.JobNotifyHolds, "2025-10-31T21:00:00Z", 3)
	if n := e.Count("SELECT count(*) FROM outbox WHERE subject LIKE '%.hold\\_digest.created.%'"); n != 7 {
		t.Errorf("%d digests of 7 sellers", n)
	}
	e.Clock.Set(time.Date(2026, 11, 1, 5, 0, 5, 0, time.UTC))
	e.planners(plan.JobCleanup, "2026-11-01T05:00:00Z", 3)
	if n := e.Count("SELECT count(*) FROM outbox WHERE subject LIKE '%.recurrence.completed.%'"); n != 200 {
		t.Errorf("%d were completed", n)
	}
	if n := e.Count("SELECT count(*) FROM recurrences WHERE state = 'completed' AND reason_code = 'expired'"); n != 200 {
		t.Errorf("%d are completed", n)
	}
}

// TestAnswersAndPlansDoNotWaitForEachOtherInACircle: answers lock charges, cards and recurrences; pages lock recurrences and
// insert charges of the same cards. A deadlock would be an error of one of them.
func TestAnswersAndPlansDoNotWaitForEachOtherInACircle(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize, e.rules.CardFailureLimit = 25, 0
	everyDay := e.crowd(150, 3, recurrencestest.OK)
	declined := e.crowd(150, 150, recurrencestest.Soft)
	for i := range everyDay {
		if i%3 == 0 {
			everyDay[i] = declined[i]
		}
		everyDay[i].Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Days, Interval: 1}
		everyDay[i].At.Next = e.policy().Cycle(on("2025-10-28"))
	}
	e.insert(everyDay...)
	for d := on("2025-10-28"); d < on("2025-11-01"); d++ {
		e.run(plan.JobChargeDue, d.String()+"T11:00:00Z")
		tomorrow := (d + 1).String()
		runs := []run.Run{
			e.tick(plan.JobChargeDue, tomorrow+"T11:00:00Z"), e.tick(plan.JobRetryFailed, tomorrow+"T13:00:00Z"),
			e.tick(plan.JobNotifyHolds, tomorrow+"T21:00:00Z"), e.tick(plan.JobCleanup, tomorrow+"T05:00:00Z"),
		}
		var all sync.WaitGroup
		for at := range e.places() {
			all.Go(func() {
				if err := e.Dispatch(e.Ctx(), at.Run, at.Page); err != nil {
					t.Errorf("answers: %v", err)
				}
			})
		}
		for _, r := range runs {
			all.Go(func() { e.allPages(r) })
		}
		all.Wait()
		e.answer()
	}
	e.CheckEvents()
	e.CheckBooks()
	if n := e.Count("SELECT count(*) FROM (SELECT 1 FROM charges GROUP BY recurrence_id, first_attempt_date HAVING count(*) > 1) twice"); n != 0 {
		t.Errorf("%d recurrences were charged for two cycles on one day", n)
	}
}
