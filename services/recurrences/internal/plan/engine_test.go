package plan_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// TestTheTaskRanTwice is the worst defect of the systems being replaced. Each tick is delivered three times, once under
// another id, and every command that follows three times too, before and after those behind it. The day of the sample comes
// out once.
func TestTheTaskRanTwice(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize = 4
	e.sample()
	e.day(t, "2025-10-30", plan.JobChargeDue, plan.JobRetryFailed, plan.JobNotifyHolds)
	e.day(t, "2025-10-31", plan.JobChargeDue, plan.JobRetryFailed, plan.JobNotifyHolds)
	e.day(t, "2025-11-02", plan.JobCleanup)

	sent := 0
	for cycle, n := range e.sent() {
		if sent++; n > 2 || n == 2 && cycle[:7] < "rec-024" {
			t.Errorf("%s was sent %d times", cycle, n)
		}
	}
	if sent != 23+4+2+2 {
		t.Errorf("%d cycles were sent", sent)
	}
	same(t, "charges by state", []string{"failed_hard 2", "failed_soft 4", "succeeded 23", "unknown 2"},
		list[string](e, "SELECT state || ' ' || count(*) FROM charges GROUP BY state ORDER BY 1"))
	same(t, "runs", []string{"completed 7"}, list[string](e, "SELECT state || ' ' || count(*) FROM runs GROUP BY state"))
	same(t, "digests", int64(2), e.Count("SELECT count(*) FROM hold_digests"))
	e.CheckEvents()
}

// day fires a local date's ticks one after the other and does what follows.
func (e *env) day(t *testing.T, date string, jobs ...string) {
	t.Helper()
	hours := map[string]string{plan.JobCleanup: "05", plan.JobChargeDue: "11", plan.JobRetryFailed: "13", plan.JobNotifyHolds: "21"}
	for _, job := range jobs {
		tick := e.message(job, date+"T"+hours[job]+":00:00Z")
		other := tick
		other.ID += "#e1" // as after a restore
		for _, m := range []stream.Message{tick, tick, other} {
			if err := e.Ticks.Handle(e.Ctx(), m); err != nil {
				t.Fatal(err)
			}
		}
		e.deliver()
	}
}

// deliver hands over the commands that are there, three times in turn, until none follows.
func (e *env) deliver() {
	e.t.Helper()
	for handed := -1; ; {
		all := e.commands()
		if len(all) == handed {
			return
		}
		handed = len(all)
		backwards := slices.Clone(all)
		slices.Reverse(backwards)
		for _, m := range slices.Concat(all, backwards, all) {
			if err := e.Exec.Handle(e.Ctx(), m); err != nil {
				e.t.Fatalf("%s: %v", m.ID, err)
			}
		}
	}
}

// commands are those that were ever queued, in order.
func (e *env) commands() []stream.Message {
	e.t.Helper()
	rows, err := e.pool.Query(e.t.Context(), "SELECT msg_id, subject, payload FROM outbox WHERE stream = $1 ORDER BY seq", stream.Commands)
	if err != nil {
		e.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m stream.Message, err error) {
		m.Stream, m.Header = stream.Commands, func(string) string { return "" }
		return m, r.Scan(&m.ID, &m.Subject, &m.Data)
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// message is a tick's.
func (e *env) message(job, nominal string) stream.Message {
	e.t.Helper()
	at, err := time.Parse(time.RFC3339, nominal)
	if err != nil {
		e.t.Fatal(err)
	}
	e.Clock.Set(at.Add(5 * time.Second))
	t, _ := e.store.Tenants.Tenant(tenant)
	schedule := job[len("recurrences/"):]
	body, err := event.Encode(&eventsv1.Tick{
		TickId: fmt.Sprintf("%s/%s/%s@%s", tenant, store.Service, schedule, nominal), Tenant: tenant, Service: store.Service, Schedule: schedule,
		Job: job, NominalTime: timestamppb.New(at), LocalDate: at.In(t.Location).Format(time.DateOnly), WindowStart: timestamppb.New(at.AddDate(0, 0, -1)),
		WindowEnd: timestamppb.New(at), Timezone: t.Timezone, Trigger: "cron", State: "fired",
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return stream.Message{
		Stream: stream.Ticks, Subject: stream.TickSubject(tenant, store.Service, schedule), ID: schedule + nominal,
		Header: func(string) string { return "" }, Data: body,
	}
}

// TestARunGoesOnWhereItWasKilled: a page that is not committed is done anew, by whoever gets its command next; one that is
// committed is not.
func TestARunGoesOnWhereItWasKilled(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize = 3
	e.insert(e.crowd(20, 20, "tok_ok")...)
	killed := map[string]bool{}
	job := e.planner.ChargeDue
	e.Exec.Jobs = run.Jobs{plan.JobChargeDue: func(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
		out, err := job(ctx, tx, r)
		if place := fmt.Sprint(r.Page); err == nil && !killed[place] {
			killed[place] = true
			return out, context.Canceled // after its last statement, before its commit
		}
		return out, err
	}}
	if err := e.Ticks.Handle(e.Ctx(), e.message(plan.JobChargeDue, "2025-10-30T11:00:00Z")); err != nil {
		t.Fatal(err)
	}
	for round := 0; round < 40 && e.Count("SELECT count(*) FROM runs WHERE state = 'completed'") == 0; round++ {
		for _, m := range e.commands() {
			_ = e.Exec.Handle(e.Ctx(), m) // an error has it delivered again
		}
	}
	if len(killed) != 20/3+1 {
		t.Errorf("%d pages were killed", len(killed))
	}
	same(t, "charges", []string{"18"}, list[string](e, "SELECT count(*)::text FROM charges WHERE state = $1", charge.Succeeded))
	same(t, "missed", int64(2), e.Count("SELECT done FROM runs"))
	same(t, "runs", []string{"completed"}, list[string](e, "SELECT state FROM runs"))
	for cycle, n := range e.sent() {
		if n != 1 {
			t.Errorf("%s was sent %d times", cycle, n)
		}
	}
	e.CheckEvents()
}
