package plan_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// whileItWaits does a page of a job while somebody else's transaction holds what the page has found: first locks it, and
// once the page waits for the lock, then changes it and commits.
func (e *env) whileItWaits(job, nominal string, first, then func(tx pgx.Tx) error) {
	e.t.Helper()
	r := e.tick(job, nominal)
	tx, err := e.pool.Begin(e.Ctx())
	if err != nil {
		e.t.Fatal(err)
	}
	defer tx.Rollback(e.Ctx()) // committed below
	if err := first(tx); err != nil {
		e.t.Fatal(err)
	}
	paged := make(chan error, 1)
	go func() {
		_, err := e.page(r)
		paged <- err
	}()
	e.waitForLock()
	if err := then(tx); err != nil {
		e.t.Fatal(err)
	}
	if err := tx.Commit(e.Ctx()); err != nil {
		e.t.Fatal(err)
	}
	if err := <-paged; err != nil {
		e.t.Fatal(err)
	}
}

// waitForLock returns once a statement of this schema waits for a lock.
func (e *env) waitForLock() {
	e.t.Helper()
	for {
		if err := e.t.Context().Err(); err != nil {
			e.t.Fatal(err)
		}
		if e.Count(`SELECT count(*) FROM pg_locks l WHERE NOT l.granted AND l.pid IN (
			SELECT h.pid FROM pg_locks h WHERE h.granted AND h.relation IN ('charges'::regclass, 'recurrences'::regclass))`) > 0 {
			return
		}
	}
}

func (e *env) lock(id string) func(tx pgx.Tx) error {
	return func(tx pgx.Tx) error {
		_, err := e.store.LockRecurrences(e.Ctx(), tx, store.Key{Tenant: tenant, ID: id})
		return err
	}
}

func (e *env) move(id string, from, to recurrence.State) func(tx pgx.Tx) error {
	return func(tx pgx.Tx) error {
		change := store.RecurrenceChange{Key: store.Key{Tenant: tenant, ID: id}, From: []recurrence.State{from}, To: to}
		_, err := e.store.ApplyRecurrences(e.Ctx(), tx, []store.RecurrenceChange{change})
		return err
	}
}

// TestARecurrencePausedMeanwhileIsNotCharged: the page found it active.
func TestARecurrencePausedMeanwhileIsNotCharged(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_ok_1"), e.rec("rec-2", "2025-10-30", "tok_ok_2"))
	e.whileItWaits(plan.JobChargeDue, "2025-10-30T11:00:00Z", e.lock("rec-1"), e.move("rec-1", recurrence.Active, recurrence.Paused))
	same(t, "charges", []string{"rec-2 2025-10-30 due"}, e.charges())
	same(t, "recurrences", []string{"rec-1 paused next 2025-10-30", "rec-2 active next 2025-12-01"}, e.states())
}

// TestARetryThatAPersonHadSentMeanwhileIsNotSentAgain: it was declined once more before the page could lock it, so that only
// the day of its last attempt tells.
func TestARetryThatAPersonHadSentMeanwhileIsNotSentAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"))
	e.morning("2025-10-30")
	id, person := charge.ID(tenant, "rec-1", "2025-10-30"), e.tick("recurrences/by-hand", "2025-10-31T12:59:00Z")
	e.whileItWaits(plan.JobRetryFailed, "2025-10-31T13:00:00Z", func(tx pgx.Tx) error {
		_, err := e.store.WantSent(e.Ctx(), tx, store.Send{Run: person.ID, Date: on("2025-10-31"), Cause: store.ByPerson}, id)
		return err
	}, func(tx pgx.Tx) error {
		_, err := e.store.ApplyCharges(e.Ctx(), tx, []store.ChargeChange{
			{ID: id, From: []charge.State{charge.FailedSoft}, To: charge.Submitting, Attempt: 2, Reference: charge.Reference(id, 2)},
			{ID: id, From: []charge.State{charge.Submitting}, To: charge.FailedSoft, Tried: 1, RetryOn: on("2025-10-31")},
		})
		return err
	})
	if n := len(e.wanted()); n != 0 {
		t.Error("it is to be sent once more")
	}
}

// TestWhatAPersonHasChargedMeanwhileIsNotCleanedUp: the page found it forgotten.
func TestWhatAPersonHasChargedMeanwhileIsNotCleanedUp(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-01-30", "tok_soft_1"), e.rec("rec-2", "2025-01-30", "tok_soft_2"))
	e.morning("2025-01-30")
	person := e.tick("recurrences/by-hand", "2025-11-02T04:59:00Z")
	e.whileItWaits(plan.JobCleanup, sunday, func(tx pgx.Tx) error { // charges before recurrences, as everybody
		_, err := e.store.LockCharges(e.Ctx(), tx, charge.ID(tenant, "rec-1", "2025-01-30"))
		return err
	}, func(tx pgx.Tx) error {
		send := store.Send{Run: person.ID, Date: on("2025-11-02"), Cause: store.ByPerson}
		_, err := e.store.WantSent(e.Ctx(), tx, send, charge.ID(tenant, "rec-1", "2025-01-30"))
		return err
	})
	same(t, "recurrences", []string{"rec-1 past_due next 2025-02-28", "rec-2 completed expired next"}, e.states())
}

// TestEveryPageWakesItsSends: a charge that nobody is told of would wait for the sweeper.
func TestEveryPageWakesItsSends(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize = 1
	dispatches := func() int64 {
		return e.Count("SELECT count(*) FROM outbox WHERE subject LIKE 'agogo.cmd.recurrences.dispatch.%'")
	}
	e.insert(e.rec("rec-1", "2025-10-30", "tok_soft_1"), e.rec("rec-2", "2025-10-30", "tok_soft_2"), e.rec("rec-3", "2025-10-01", "tok_ok_3"))
	e.morning("2025-10-30")
	if n := dispatches(); n != 2 {
		t.Errorf("%d commands for two pages with a charge and one without", n)
	}
	e.retry("2025-10-31")
	if n := dispatches(); n != 2+2 {
		t.Errorf("%d commands for two retries", n-2)
	}
}

// TestAMorningAndAPersonDoNotWaitForEachOther: a person's decision begins with the charges and goes on to the recurrence. So
// does the page, or each of them would wait for what the other one has.
func TestAMorningAndAPersonDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(e.rec("rec-1", "2025-10-28", "tok_ok_1"))
	e.run(plan.JobChargeDue, "2025-10-28T11:00:00Z")
	id := charge.ID(tenant, "rec-1", "2025-10-28")
	e.InTx(func(tx pgx.Tx) error { return e.store.UnwantSent(e.Ctx(), tx, id) }) // stranded
	r := e.tick(plan.JobChargeDue, "2025-10-30T11:00:00Z")
	person, err := e.pool.Begin(e.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	defer person.Rollback(e.Ctx()) // committed below
	if _, err := e.store.LockCharges(e.Ctx(), person, id); err != nil {
		t.Fatal(err)
	}
	paged := make(chan error, 1)
	go func() { // in one transaction, which nobody begins again
		tx, err := e.pool.Begin(e.Ctx())
		if err == nil {
			if _, err = e.planner.ChargeDue(e.Ctx(), tx, r); err == nil {
				err = tx.Commit(e.Ctx())
			} else {
				_ = tx.Rollback(e.Ctx())
			}
		}
		paged <- err
	}()
	e.waitForLock()
	if err := e.lock("rec-1")(person); err != nil {
		t.Fatal(err)
	}
	if err := person.Commit(e.Ctx()); err != nil {
		t.Fatal(err)
	}
	if err := <-paged; err != nil {
		t.Fatal(err)
	}
	same(t, "to be sent", 1, len(e.wanted()))
}
