package resolve_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// open is what a person does after repairing what stopped the gateway, at a time.
func open(e *recurrencestest.Env, at string) {
	e.Clock.Set(recurrencestest.At(at))
	e.InTx(func(tx pgx.Tx) error {
		if _, err := e.States.ResumeStopped(e.Ctx(), tx, tenant, provider.Reason{Code: "by_person"}); err != nil {
			return err
		}
		return e.Book.Wake(e.Ctx(), tx, tenant)
	})
	e.Work()
}

// What a stop held up over nights is attempted on the day on which it is sent: its retry and the next cycle are on other days.
func TestWhatAStopHeldUpIsOfTheDayOnWhichItGoes(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-23", recurrencestest.WrongKey, func(r *store.Recurrence) {
		r.Terms.Rhythm = recurrence.Rhythm{Period: recurrence.Weekly, Day: 4}
	})
	e.Clock.Set(recurrencestest.At("2025-10-23T11:00:00Z"))
	e.Morning("2025-10-23")
	e.Gateway.Say(recurrencestest.WrongKey, recurrencestest.Soft)
	open(e, "2025-10-30T10:55:00Z") // five to eight
	e.Sweep()
	if c := e.Charge("rec-1", "2025-10-23"); c.LastAttempt != recurrencestest.On("2025-10-30") || c.RetryOn != recurrencestest.On("2025-10-31") {
		t.Errorf("attempted on %s, retry on %s", c.LastAttempt, c.RetryOn)
	}
	before := len(e.Gateway.Sends())
	e.Morning("2025-10-30")
	e.Retry("2025-10-30")
	if n := len(e.Gateway.Sends()) - before; n != 0 {
		t.Errorf("%d more sends on the same day", n)
	}
	e.Morning("2025-10-31")
	if n := len(e.Gateway.Sends()) - before; n != 1 {
		t.Errorf("%d sends on the next day", n)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// A tick that is handled long after its nominal time, after an outage or to show a day again, gives the rows that it would have
// given then: what is late is counted from its own date.
func TestATickOfLongAgoChargesByItsOwnDate(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Clock.Set(recurrencestest.At("2026-11-22T08:00:00Z"))
	e.Morning("2025-10-30")
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.FailedSoft || c.RetryOn != recurrencestest.On("2025-10-31") {
		t.Errorf("charge %s, retry on %s", c.State, c.RetryOn)
	}
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.OK)
	e.Retry("2025-10-31")
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || c.LastAttempt != recurrencestest.On("2025-10-31") {
		t.Errorf("charge %s, attempted on %s", c.State, c.LastAttempt)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// What waited for too long is not sent by itself any more, whatever it waited for. A person may still have it sent.
func TestWhatIsTooLateIsAPersons(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token      string
		goes       string // when nothing hinders it any more
		how        func(t *testing.T, e *recurrencestest.Env, at string)
		charge     charge.State
		recurrence recurrence.State
	}{
		"a stop of a week": {
			recurrencestest.WrongKey, "2025-11-06T14:00:00Z", func(_ *testing.T, e *recurrencestest.Env, at string) { open(e, at) },
			charge.Succeeded, recurrence.Active,
		},
		"a stop of eight days": {
			recurrencestest.WrongKey, "2025-11-07T14:00:00Z", func(_ *testing.T, e *recurrencestest.Env, at string) { open(e, at) },
			charge.Exhausted, recurrence.Active,
		},
		"paused, and resumed late": {
			recurrencestest.WrongKey, "2025-12-30T14:00:00Z", func(t *testing.T, e *recurrencestest.Env, at string) {
				must(t, e, pause)
				open(e, at)
				must(t, e, resume)
			}, charge.Exhausted, recurrence.Active,
		},
		"a retry in time": { // D+7 and a week
			recurrencestest.Soft, "2025-11-13T13:00:00Z", func(_ *testing.T, e *recurrencestest.Env, at string) { e.Retry(at[:10]) },
			charge.Succeeded, recurrence.Active,
		},
		"a retry that is too late": {
			recurrencestest.Soft, "2025-11-14T13:00:00Z", func(_ *testing.T, e *recurrencestest.Env, at string) { e.Retry(at[:10]) },
			charge.Exhausted, recurrence.Hold,
		},
		"a retry that was paused for too long": {
			recurrencestest.Soft, "2025-11-14T13:00:00Z", func(t *testing.T, e *recurrencestest.Env, at string) {
				must(t, e, pause)
				e.Clock.Set(recurrencestest.At(at))
				must(t, e, resume)
				e.Retry(at[:10]) // the tick says that it is too late
			}, charge.Exhausted, recurrence.Hold,
		},
		"a doubt of a month that was declined": {
			recurrencestest.TimeoutSoft, "2025-11-30T13:00:00Z", func(_ *testing.T, e *recurrencestest.Env, at string) {
				e.Clock.Set(recurrencestest.At(at))
				e.LookUp(time.Second)
				e.LookUp(10 * time.Second)
			}, charge.Exhausted, recurrence.Hold,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", c.token)
			e.Morning("2025-10-30")
			if c.token != recurrencestest.TimeoutSoft {
				e.Gateway.Say(c.token, recurrencestest.OK)
			}
			c.how(t, e, c.goes)
			got, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
			if got.State != c.charge || r.State != c.recurrence {
				t.Errorf("charge %s, recurrence %s", got.State, r.State)
			}
			if got.State == charge.Exhausted {
				e.Gateway.Say(c.token, recurrencestest.OK)
				must(t, e, chargeNow)
				if got := e.Charge("rec-1", "2025-10-30"); got.State != charge.Succeeded {
					t.Errorf("a person had it sent: %s", got.State)
				}
			}
			if n := e.Count("SELECT count(*) FROM runs WHERE state = 'running'"); n != 0 {
				t.Errorf("%d runs are open", n)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A missed cycle of a recurrence that is over is still owed. Paid or declined, the recurrence stays as it is.
func TestAMissedLastCycleIsChargedByAPerson(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]charge.State{recurrencestest.OK: charge.Succeeded, recurrencestest.Soft: charge.Exhausted, recurrencestest.TimeoutSoft: charge.Exhausted} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-15", token, func(r *store.Recurrence) { r.Terms.MaxCycles = 1 })
			e.Morning("2025-10-30")
			must(t, e, func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
				_, err := r.ChargeMissed(ctx, tx, tenant, "rec-1", recurrencestest.On("2025-10-15"))
				return err
			})
			e.LookUp(10 * time.Second)
			c, r := e.Charge("rec-1", "2025-10-15"), e.Standing("rec-1")
			if c.State != want || c.RetryOn != 0 || r.State != recurrence.Completed || r.Reason.Code != recurrence.CodeLastCycle {
				t.Errorf("charge %s, retried on %s, recurrence %s (%s)", c.State, c.RetryOn, r.State, r.Reason.Code)
			}
			if want == charge.Exhausted { // no morning retries it, people may
				e.Gateway.Say(token, recurrencestest.OK)
				must(t, e, func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
					return r.ChargeNow(ctx, tx, tenant, c.ID)
				})
				if c := e.Charge("rec-1", "2025-10-15"); c.State != charge.Succeeded {
					t.Errorf("charged again: %s", c.State)
				}
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A recurrence is cancelled while its charge is on its way: what comes back unpaid is cancelled too, and the whole archived.
func TestWhatComesBackToACancelledRecurrenceIsCancelled(t *testing.T) {
	t.Parallel()
	for _, token := range []string{recurrencestest.Down, recurrencestest.WrongKey, recurrencestest.Soft, recurrencestest.Action, recurrencestest.TimeoutSoft} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", token)
			meanwhile(t, e, cancelAll)
			e.WhileTimePasses(func() { e.Morning("2025-10-30") })
			for range 3 {
				e.LookUp(10 * time.Second)
			}
			if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Cancelled {
				t.Errorf("charge %s", c.State)
			}
			e.Run(recurrencestest.Tick(plan.JobCleanup, "2026-06-07T05:00:00Z"))
			if r := e.Standing("rec-1"); r.State != recurrence.Archived {
				t.Errorf("recurrence %s", r.State)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}
