package plan_test

import (
	"testing"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// TestRetriesFollowTheirDays: D+1, D+3 moved off the weekend, D+7, then hold. Every 10:00 between asks for nothing.
func TestRetriesFollowTheirDays(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"))
	e.morning("2025-10-30")
	var attempted []string
	for d := on("2025-10-30"); d <= on("2025-11-20"); d++ {
		before := e.sentSoFar()
		e.retry(d.String())
		e.retry(d.String()) // again, by hand
		if n := e.sentSoFar() - before; n == 1 {
			attempted = append(attempted, d.String())
		} else if n != 0 {
			t.Errorf("%d attempts on %s", n, d)
		}
	}
	same(t, "retries", []string{"2025-10-31", "2025-11-03", "2025-11-06"}, attempted)
	same(t, "charges", []string{"rec-1 2025-10-30 exhausted"}, e.charges())
	same(t, "recurrences", []string{"rec-1 hold retries_over next 2025-12-01"}, e.states())
	e.CheckEvents()
}

// TestRetriesAfterAnOutageGoOneADay: days that passed are not made up for at once.
func TestRetriesAfterAnOutageGoOneADay(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"))
	e.morning("2025-10-30")
	var after []string
	for _, date := range []string{"2025-11-10", "2025-11-10", "2025-11-11", "2025-11-12"} {
		e.retry(date)
		after = append(after, e.charges()...)
	}
	same(t, "charges", []string{
		"rec-1 2025-10-30 failed_soft retry 2025-11-11", "rec-1 2025-10-30 failed_soft retry 2025-11-11",
		"rec-1 2025-10-30 failed_soft retry 2025-11-12", "rec-1 2025-10-30 exhausted",
	}, after)
}

func TestAPaidRetryEndsTheArrears(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"))
	e.morning("2025-10-30")
	same(t, "declined", []string{"rec-1 past_due next 2025-12-01"}, e.states())
	e.Gateway.Say("tok_soft_1", recurrencestest.OK)
	e.retry("2025-10-31")
	same(t, "paid", []string{"rec-1 active next 2025-12-01"}, e.states())
	if n := e.Count("SELECT failures FROM cards"); n != 0 {
		t.Errorf("the card has %d failures", n)
	}
}

// TestOfTwoDeclinedChargesTheOldestIsRetriedAndOnlyOneADay: a recurrence with a short rhythm may have several.
func TestOfTwoDeclinedChargesTheOldestIsRetriedAndOnlyOneADay(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.rules.CardFailureLimit = 100
	r := e.rec("rec-1", "2025-11-03", "tok_soft_1")
	r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Days, Interval: 1}
	e.insert(r)
	e.morning("2025-11-03")
	e.morning("2025-11-04") // the second cycle, declined too
	e.retry("2025-11-04")   // the first one's D+1
	same(t, "sent", map[string]int{"rec-1 2025-11-03": 2, "rec-1 2025-11-04": 1}, e.sent())
	e.retry("2025-11-05") // the second one's D+1; the first one's D+3 has not come
	same(t, "sent", map[string]int{"rec-1 2025-11-03": 2, "rec-1 2025-11-04": 2}, e.sent())
	e.retry("2025-11-07") // D+3 of both has come: the oldest, once, however often it is asked
	e.retry("2025-11-07")
	same(t, "sent", map[string]int{"rec-1 2025-11-03": 3, "rec-1 2025-11-04": 2}, e.sent())
	e.retry("2025-11-08")
	same(t, "sent", map[string]int{"rec-1 2025-11-03": 3, "rec-1 2025-11-04": 3}, e.sent())
}

func TestWhatIsNotRetried(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, sql string
	}{
		{"active: a person resumed it", "UPDATE recurrences SET state = 'active'"},
		{"paused", "UPDATE recurrences SET state = 'paused'"},
		{"on hold", "UPDATE recurrences SET state = 'hold'"},
		{"cancelled", "UPDATE recurrences SET state = 'cancelled', next_cycle = NULL, next_charge_date = NULL, ended_at = now()"},
		{"invalid card", "UPDATE cards SET state = 'invalid'"},
		{"contradicted", "UPDATE charges SET contradicted = true"},
		{"no day", "UPDATE charges SET retry_on = NULL"},
		{"tomorrow", "UPDATE charges SET retry_on = '2025-11-01'"},
		{"attempted today", "UPDATE charges SET last_attempt_date = '2025-10-31'"},
		{"attempted tomorrow", "UPDATE charges SET last_attempt_date = '2025-11-01'"},
		{"unknown", "UPDATE charges SET state = 'unknown'"},
		{"hard", "UPDATE charges SET state = 'failed_hard'"},
		{"cancelled charge", "UPDATE charges SET state = 'cancelled'"},
		{
			"another one in doubt", `INSERT INTO charges SELECT (jsonb_populate_record(c, '{"charge_id": "00000000-0000-4000-8000-000000000001",
				"cycle": "2025-09-30", "state": "unknown", "last_attempt_date": "2025-09-30"}')).* FROM charges c`,
		},
		{
			"another one is to be sent", `INSERT INTO charges SELECT (jsonb_populate_record(c, jsonb_build_object('charge_id', '00000000-0000-4000-8000-000000000001',
				'cycle', '2025-09-30', 'state', 'exhausted', 'send_run', c.run_id))).* FROM charges c`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"))
			e.morning("2025-10-30")
			e.SQL(tt.sql)
			before := e.dump()
			e.run(plan.JobRetryFailed, "2025-10-31T13:00:00Z")
			same(t, "rows", before, e.dump())
		})
	}
}

// TestARetryThatNeverLeftGoesAgainWithItsReference: a connection that is refused is no attempt.
func TestARetryThatNeverLeftGoesAgainWithItsReference(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"))
	e.morning("2025-10-30")
	e.Gateway.Say("tok_soft_1", recurrencestest.Down)
	e.WhileTimePasses(func() { e.retry("2025-10-31") })
	e.run(plan.JobRetryFailed, "2025-10-31T13:30:00Z")
	e.run(plan.JobChargeDue, "2025-11-03T11:00:00Z")
	all, err := e.store.Charges(e.Ctx(), e.pool, charge.ID(tenant, "rec-1", "2025-10-30"))
	if err != nil {
		t.Fatal(err)
	}
	c := all[0]
	if c.State != charge.FailedSoft || c.Tries != 1 || c.LastAttempt != on("2025-10-30") || !c.Send.Wanted() || c.Send.Date != on("2025-10-31") {
		t.Errorf("it is %+v", c)
	}
}
