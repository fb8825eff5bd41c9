package runs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const evening = "2025-01-24T23:59:00Z"

// attempts is a provider's worth of open attempts, asked about page by page.
type attempts struct {
	ids   []string
	asked []string
	fail  error
}

func (a *attempts) page(_ context.Context, _ pgx.Tx, r run.Run) (run.Page, error) {
	if a.fail != nil {
		return run.Page{}, a.fail
	}
	from := 0
	if r.Cursor != "" {
		from = slices.Index(a.ids, r.Cursor) + 1
	}
	to := min(from+100, len(a.ids))
	a.asked = append(a.asked, a.ids[from:to]...)
	return run.Page{Cursor: a.ids[to-1], Last: to == len(a.ids), Done: to - from}, nil
}

// TestCheckPendingAsksAboutAll: a payout still pending after 24 hours was never looked at again. The job has no age limit
// and no other: it pages over everything that is open.
func TestCheckPendingAsksAboutAll(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	var open attempts
	for i := range 250 {
		open.ids = append(open.ids, fmt.Sprintf("%04d", i))
	}
	e.Exec.Jobs[runs.JobCheckPending] = open.page
	id := e.Run(payoutstest.Tick("check-pending", runs.JobCheckPending, "2025-01-25T00:00:00Z"))
	if diff := cmp.Diff(open.ids, open.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed' AND done = 250 AND page = 3", id); n != 1 {
		t.Error("the run is not complete after three pages")
	}
	var told eventsv1.Run
	events := e.Events()
	if err := event.Decode(events[len(events)-1].Body, &told); err != nil {
		t.Fatal(err)
	}
	if told.GetCounts()["asked"] != 250 {
		t.Errorf("counts %v", told.GetCounts())
	}
	e.CheckEvents()
}

func TestAFailedPageOfCheckPendingIsDoneAgain(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	open := attempts{ids: []string{"1", "2"}, fail: errors.New("the provider is away")}
	e.Exec.Jobs[runs.JobCheckPending] = open.page
	if err := e.Fire(payoutstest.Tick("check-pending", runs.JobCheckPending, "2025-01-25T00:00:00Z"), "tick"); err != nil {
		t.Fatal(err)
	}
	m := e.Messages(stream.Commands)[0]
	if err := e.Hand(m); err == nil {
		t.Fatal("a page that was not asked was taken for done")
	}
	open.fail = nil
	e.Work()
	if len(open.asked) != 2 || e.Count("SELECT count(*) FROM runs WHERE state = 'completed'") != 1 {
		t.Errorf("asked %v", open.asked)
	}
}

func TestResetBreaksByPages(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.SQL(`INSERT INTO breaks (tenant, payee_id, local_date, total_seconds)
		SELECT 'lebenis', 'drv-' || to_char(n, 'FM0000'), '2025-01-24', 60 FROM generate_series(1, 2500) n`)
	tick := payoutstest.Tick("reset-breaks", runs.JobResetBreaks, "2025-01-25T00:00:00Z")
	id := e.Run(tick)
	if n := e.Count("SELECT count(*) FROM breaks WHERE total_seconds = 0 AND local_date = '2025-01-25' AND last_reset_date = '2025-01-25'"); n != 2500 {
		t.Errorf("%d breaks reset", n)
	}
	if n := e.Count("SELECT done FROM runs WHERE run_id = $1", id); n != 2500 {
		t.Errorf("the run counts %d", n)
	}
	if n := len(e.EventTypes("break")); n != 2500 {
		t.Errorf("%d events", n)
	}
	again := payoutstest.Tick("reset-breaks", runs.JobResetBreaks, "2025-01-25T00:00:00Z")
	again.TickId = "lebenis/payouts/reset-breaks!0194"
	e.Run(again)
	if n := len(e.EventTypes("break")); n != 2500 {
		t.Errorf("%d events after the same date once more", n)
	}
	e.CheckEvents()
}

func TestATickThatCannotBeIsADeadLetter(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	for name, change := range map[string]func(*eventsv1.Tick){
		"unknown tenant":  func(t *eventsv1.Tick) { t.Tenant = "nobody" },
		"another service": func(t *eventsv1.Tick) { t.Service = "recurrences" },
		"no id":           func(t *eventsv1.Tick) { t.TickId = "" },
		"no nominal time": func(t *eventsv1.Tick) { t.NominalTime = nil },
		"no local date":   func(t *eventsv1.Tick) { t.LocalDate = "tomorrow" },
	} {
		tick := payoutstest.Daily(evening)
		change(tick)
		if err := e.Fire(tick, name); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := e.Ticks.Handle(e.Ctx(), stream.Message{ID: "x", Data: []byte("{")}); err == nil {
		t.Error("taken though it is no JSON")
	}
	if n := e.Count("SELECT count(*) FROM runs"); n != 0 {
		t.Errorf("%d runs", n)
	}
}

func TestARunThatCannotBePlannedFailsAndLetsTheNextOne(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 1000, "2025-01-24T10:00:00Z"))
	unknown := payoutstest.Tick("daily", "payouts/dance", evening)
	if err := e.Fire(unknown, "1"); err != nil {
		t.Fatal(err)
	}
	rules := e.Tenants.Tenants[0].Payouts
	e.Tenants.Tenants[0].Payouts = nil // gone from the file
	second := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	e.Tenants.Tenants[0].Payouts = rules
	e.Run(payoutstest.Daily("2025-01-26T23:59:00Z"))
	want := []string{"run.failed", "run.started", "run.failed", "run.started"}
	if diff := cmp.Diff(want, e.EventTypes("run")); diff != "" {
		t.Errorf("run events (-want +got):\n%s", diff)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND reason = 'not_configured'", second); n != 1 {
		t.Error("the run does not say why it failed")
	}
	if n := e.Count("SELECT count(*) FROM payouts"); n != 1 {
		t.Errorf("%d payouts, want the third evening's", n)
	}
	e.CheckEvents()
}

func TestCommandsThatCannotBe(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	plan := run.Command{Verb: run.VerbPlan, Place: run.Place{Run: uuid.New()}}.Message(t.Context(), store.Service, 0, "")
	for name, m := range map[string]stream.Message{
		"unknown run":  {Subject: plan.Subject, Data: plan.Payload},
		"no JSON":      {Subject: plan.Subject, Data: []byte("x")},
		"unknown verb": {Subject: strings.Replace(plan.Subject, "plan", "dance", 1), Data: plan.Payload},
		"no command":   {Subject: "agogo.tick.lebenis.payouts.daily", Data: plan.Payload},
	} {
		if err := e.Exec.Handle(e.Ctx(), m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestEverythingARunEmitsStemsFromItsTick(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	e.Run(payoutstest.Daily(evening))
	for _, ev := range e.Events() {
		if ev.CorrelationID != "test" || ev.Actor != store.Actor {
			t.Errorf("%s: correlation %q, actor %q", ev.Type, ev.CorrelationID, ev.Actor)
		}
	}
}

// TestAlreadyRunIsRemembered: "already run" lived in the task's memory, so a redelivery after a restart began anew. Here
// every part is built anew between two deliveries, as after a crash at each of these points.
func TestAlreadyRunIsRemembered(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Planner.PageSize = 1
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z") + payoutstest.Pay("b", "drv-2", 10_000, "2025-01-24T10:00:00Z"))
	restarted := func() *run.Exec {
		x, planner := *e.Exec, *e.Planner
		x.Jobs = runs.Jobs(&planner, e.Breaks, nil, nil)
		return &x
	}
	for range 3 {
		ticks := *e.Ticks
		e.Ticks = &ticks
		if err := e.Fire(payoutstest.Daily(evening), "tick"); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			for _, m := range e.Messages(stream.Commands) {
				e.Exec = restarted()
				if err := e.Hand(m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := e.Count("SELECT count(*) FROM payouts"); n != 2 {
		t.Errorf("%d payouts of two payees", n)
	}
	if n := e.Count("SELECT page FROM runs"); n != 3 {
		t.Errorf("%d pages planned, want 3: two with a payee, one that found none", n)
	}
	e.CheckItems()
	e.CheckEvents()
}
