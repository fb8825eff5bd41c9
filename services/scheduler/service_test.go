package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

const (
	evening     = "lebenis/payouts/daily@2025-01-24T23:59:00Z"
	eveningTime = "2025-01-24T23:59:00Z"
)

func TestATickReachesTheStreams(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-24T23:58:30Z")
	in.start()
	orders, facts := in.Follow("TICKS", "agogo.tick.>"), in.Follow("EVENTS", "agogo.evt.*.scheduler.tick.>")
	in.clock.Set(instant(t, "2025-01-24T23:59:00Z")) // the machine's clock says something else: the sweep finds it
	order, fact := in.Next(orders), in.Next(facts)
	if got := order.Headers().Get("Nats-Msg-Id"); got != evening || order.Subject() != "agogo.tick.lebenis.payouts.daily" {
		t.Errorf("order %s on %s", got, order.Subject())
	}
	e, err := event.ParseHeaders(order.Headers().Get)
	if err != nil {
		t.Fatal(err)
	}
	var tick eventsv1.Tick
	if err := event.Decode(order.Data(), &tick); err != nil {
		t.Fatal(err)
	}
	if e.Type != "tick.fired" || e.Subject != evening || tick.GetTickId() != evening || tick.GetTrigger() != "cron" {
		t.Errorf("order %+v, %v", e, &tick)
	}
	if fact.Headers().Get("Nats-Msg-Id") != e.ID || string(fact.Data()) != string(order.Data()) {
		t.Errorf("the event is not the order's: %v", fact.Headers())
	}
}

func TestListGetAndNextTimes(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-24T12:00:00Z")
	r := in.start()
	names := func(token string, req *schedulerv1.ListSchedulesRequest) []string {
		var got []string
		for c := r.as(token); ; {
			resp, err := c.ListSchedules(in.Ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range resp.GetItems() {
				got = append(got, s.GetName())
			}
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				return got
			}
		}
	}
	lebenis := []string{"lebenis/payouts/check-pending", "lebenis/payouts/daily", "lebenis/payouts/reset-breaks"}
	for _, size := range []int32{0, 1, 2, 3} {
		if diff := cmp.Diff(append(slices.Clone(lebenis), "wallclub/payouts/daily"), names("admin", &schedulerv1.ListSchedulesRequest{PageSize: size})); diff != "" {
			t.Errorf("admin, pages of %d:\n%s", size, diff)
		}
		if diff := cmp.Diff(lebenis, names("viewer", &schedulerv1.ListSchedulesRequest{Tenant: "lebenis", PageSize: size})); diff != "" {
			t.Errorf("viewer, pages of %d:\n%s", size, diff)
		}
	}
	if diff := cmp.Diff(lebenis, names("viewer", &schedulerv1.ListSchedulesRequest{})); diff != "" {
		t.Errorf("without a tenant, a caller sees its own:\n%s", diff)
	}

	got, err := r.as("viewer").GetSchedule(in.Ctx, &schedulerv1.GetScheduleRequest{Name: "lebenis/payouts/daily"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"payouts/daily", "59 23 * * *", "Africa/Abidjan", "active", "all", "2025-01-24T12:00:00Z", "2025-01-24T23:59:00Z", ""}
	if diff := cmp.Diff(want, []string{
		got.GetJob(), got.GetCron(), got.GetTimezone(), got.GetState(), got.GetCatchUp(), rfc3339(got.GetCursor()), rfc3339(got.GetNextTime()), got.GetLastTickId(),
	}); diff != "" {
		t.Error(diff)
	}

	next, err := r.as("admin").NextTimes(in.Ctx, &schedulerv1.NextTimesRequest{
		Name: "wallclub/payouts/daily", After: timestamppb.New(instant(t, "2018-11-02T12:00:00Z")), Count: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	var times []string
	for _, at := range next.GetItems() {
		times = append(times, rfc3339(at))
	}
	if diff := cmp.Diff([]string{"2018-11-03T11:00:00Z", "2018-11-04T10:00:00Z", "2018-11-05T10:00:00Z"}, times); diff != "" {
		t.Errorf("08:00 in São Paulo around the beginning of summer time:\n%s", diff)
	}
	if next, err := r.as("viewer").NextTimes(in.Ctx, &schedulerv1.NextTimesRequest{Name: "lebenis/payouts/daily"}); err != nil || len(next.GetItems()) != 5 || rfc3339(next.GetItems()[0]) != eveningTime {
		t.Errorf("by default: %v, %v", next, err)
	}
}

func rfc3339(at *timestamppb.Timestamp) string { return at.AsTime().Format(time.RFC3339) }

func TestRolesAndTenants(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	r := in.start()
	in.trigger(r.as("operator"), "lebenis/payouts/daily", eveningTime)
	in.trigger(r.as("admin"), "wallclub/payouts/daily", "2025-01-24T11:00:00Z")
	calls := map[string]func(c schedulerv1.SchedulerServiceClient, tenant string) error{
		"ListSchedules": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.ListSchedules(in.Ctx, &schedulerv1.ListSchedulesRequest{Tenant: tenant})
			return err
		},
		"GetSchedule": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.GetSchedule(in.Ctx, &schedulerv1.GetScheduleRequest{Name: tenant + "/payouts/daily"})
			return err
		},
		"NextTimes": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.NextTimes(in.Ctx, &schedulerv1.NextTimesRequest{Name: tenant + "/payouts/daily"})
			return err
		},
		"ListRuns": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.ListRuns(in.Ctx, &schedulerv1.ListRunsRequest{Tenant: tenant})
			return err
		},
		"ListRuns of a schedule": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.ListRuns(in.Ctx, &schedulerv1.ListRunsRequest{Schedule: tenant + "/payouts/daily"})
			return err
		},
		"GetRun": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.GetRun(in.Ctx, &schedulerv1.GetRunRequest{Id: tickOf(tenant)})
			return err
		},
		"WatchRun": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			ctx, cancel := context.WithCancel(in.Ctx)
			defer cancel()
			runs, err := c.WatchRun(ctx, &schedulerv1.WatchRunRequest{TickId: tickOf(tenant)})
			if err == nil {
				_, err = runs.Recv()
			}
			return err
		},
		"TriggerSchedule": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.TriggerSchedule(in.Ctx, &schedulerv1.TriggerScheduleRequest{Name: tenant + "/payouts/daily"})
			return err
		},
		"PauseSchedule": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.PauseSchedule(in.Ctx, &schedulerv1.PauseScheduleRequest{Name: tenant + "/payouts/daily", Reason: "test"})
			return err
		},
		"ResumeSchedule": func(c schedulerv1.SchedulerServiceClient, tenant string) error {
			_, err := c.ResumeSchedule(in.Ctx, &schedulerv1.ResumeScheduleRequest{Name: tenant + "/payouts/daily"})
			return err
		},
	}
	mutations := []string{"TriggerSchedule", "PauseSchedule", "ResumeSchedule"}
	for method, call := range calls {
		for _, who := range []string{"", "nobody", "viewer", "approver", "operator", "admin"} {
			for _, tenant := range []string{"lebenis", "wallclub"} {
				want := codes.OK
				switch {
				case who == "" || who == "nobody":
					want = codes.Unauthenticated
				case who == "admin":
				case tenant != "lebenis", slices.Contains(mutations, method) && who != "operator":
					want = codes.PermissionDenied
				}
				if got := status.Code(call(r.as(who), tenant)); got != want {
					t.Errorf("%s of %s by %q: %s, want %s", method, tenant, who, got, want)
				}
			}
		}
	}
}

func tickOf(tenant string) string {
	if tenant == "wallclub" {
		return "wallclub/payouts/daily@2025-01-24T11:00:00Z"
	}
	return evening
}

func TestTriggerByHand(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-02-01T12:00:00Z")
	r := in.start()
	c := r.as("operator")
	if _, err := c.PauseSchedule(in.Ctx, &schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/daily", Reason: "demo"}); err != nil {
		t.Fatal(err)
	}
	orders := in.Follow("TICKS", "agogo.tick.>")
	first := in.trigger(c, "lebenis/payouts/daily", eveningTime)
	again := in.trigger(c, "lebenis/payouts/daily", eveningTime)
	if first.GetTickId() != evening || first.GetAlreadyFired() || again.GetTickId() != evening || !again.GetAlreadyFired() {
		t.Errorf("first %v, again %v", first, again)
	}
	if got := in.Next(orders).Headers().Get("Nats-Msg-Id"); got != evening {
		t.Errorf("order %s", got)
	}

	extra := &schedulerv1.TriggerScheduleRequest{Name: "lebenis/payouts/daily", RequestId: "r-1"}
	one, err := c.TriggerSchedule(in.Ctx, extra)
	if err != nil || !strings.HasPrefix(one.GetTickId(), "lebenis/payouts/daily!") {
		t.Fatalf("%v, %v", one, err)
	}
	two, err := c.TriggerSchedule(in.Ctx, extra)
	if err != nil || two.GetTickId() != one.GetTickId() || two.GetAlreadyFired() {
		t.Errorf("repeated request: %v, %v, want %v", two, err, one)
	}
	if got := in.Next(orders).Headers().Get("Nats-Msg-Id"); got != one.GetTickId() {
		t.Errorf("order %s, want %s", got, one.GetTickId())
	}
	extra.NominalTime = timestamppb.New(instant(t, eveningTime))
	if _, err := c.TriggerSchedule(in.Ctx, extra); status.Code(err) != codes.InvalidArgument {
		t.Errorf("request id used for something else: %v", err)
	}

	for name, want := range map[string]codes.Code{"lebenis/payouts/daily": codes.FailedPrecondition, "lebenis/payouts/nightly": codes.NotFound, "lebenis": codes.InvalidArgument} {
		_, err := r.as("admin").TriggerSchedule(in.Ctx, &schedulerv1.TriggerScheduleRequest{Name: name, NominalTime: timestamppb.New(instant(t, "2025-02-01T23:59:00Z"))})
		if status.Code(err) != want {
			t.Errorf("%s in the future: %v, want %s", name, err, want)
		}
	}
	if got := in.stored("TICKS"); got != 2 {
		t.Errorf("%d orders in TICKS, want 2", got)
	}
	shown, err := c.GetSchedule(in.Ctx, &schedulerv1.GetScheduleRequest{Name: "lebenis/payouts/daily"})
	if err != nil || rfc3339(shown.GetCursor()) != "2025-02-01T12:00:00Z" || shown.GetLastTickId() != one.GetTickId() {
		t.Errorf("after the triggers: %v, %v", shown, err)
	}
	var trail []string
	rows, err := in.Pool().Query(in.Ctx, `SELECT actor || ' ' || action || ' ' || target FROM audit_entries ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		trail = append(trail, line)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	want := []string{"user:operator PauseSchedule lebenis/payouts/daily"}
	for range 3 {
		want = append(want, "user:operator TriggerSchedule lebenis/payouts/daily")
	}
	if diff := cmp.Diff(want, trail); diff != "" {
		t.Errorf("audit trail:\n%s", diff)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-24T12:30:00Z")
	c := in.start().as("operator")
	facts := in.Follow("EVENTS", "agogo.evt.lebenis.scheduler.>")
	const name = "lebenis/payouts/check-pending"
	paused, err := c.PauseSchedule(in.Ctx, &schedulerv1.PauseScheduleRequest{Name: name, Reason: "bank holiday"})
	if err != nil || paused.GetState() != "paused" || paused.GetPauseReason() != "bank holiday" {
		t.Fatalf("%v, %v", paused, err)
	}
	in.clock.Set(instant(t, "2025-01-24T14:10:00Z"))
	resumed, err := c.ResumeSchedule(in.Ctx, &schedulerv1.ResumeScheduleRequest{Name: name})
	if err != nil || resumed.GetState() != "active" || resumed.GetPauseReason() != "" || rfc3339(resumed.GetNextTime()) != "2025-01-24T15:00:00Z" {
		t.Fatalf("%v, %v", resumed, err)
	}
	var got []string
	for len(got) < 4 {
		m := in.Next(facts)
		e, err := event.ParseHeaders(m.Headers().Get)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Subject, name) && e.Type != "schedule.created" {
			got = append(got, fmt.Sprintf("%s %s by %s", e.Type, strings.TrimPrefix(e.Subject, name), e.Actor))
		}
	}
	want := []string{
		"schedule.paused  by user:operator", "tick.skipped @2025-01-24T13:00:00Z by service:scheduler",
		"tick.skipped @2025-01-24T14:00:00Z by service:scheduler", "schedule.resumed  by user:operator",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []*schedulerv1.PauseScheduleRequest{{Name: name}, {Name: "lebenis", Reason: "y"}} {
		if _, err := c.PauseSchedule(in.Ctx, bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestWatchRunFollowsItToItsEnd(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	near, far := in.start(), in.start() // one of the two handles the reports, the other one only has its polls
	in.trigger(near.as("operator"), "lebenis/payouts/daily", eveningTime)
	var streams []interface {
		Recv() (*schedulerv1.Run, error)
	}
	for _, r := range []*replica{near, far} {
		w, err := r.as("viewer").WatchRun(in.Ctx, &schedulerv1.WatchRunRequest{TickId: evening})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, w)
	}
	expect := func(state string, succeeded int64) {
		t.Helper()
		for i, w := range streams {
			run, err := w.Recv()
			if err != nil || run.GetState() != state || run.GetCounts()["succeeded"] != succeeded {
				t.Fatalf("watcher %d: %v, %v, want %s", i, run, err, state)
			}
		}
	}
	expect("fired", 0)
	in.report(evening, "queued", "running", 1, nil)
	expect("running", 0)
	in.report(evening, "running", "completed", 2, map[string]int64{"succeeded": 15})
	expect("completed", 15)
	for i, w := range streams {
		if _, err := w.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("watcher %d after the end: %v", i, err)
		}
	}
	w, err := far.as("viewer").WatchRun(in.Ctx, &schedulerv1.WatchRunRequest{TickId: evening})
	if err != nil {
		t.Fatal(err)
	}
	if run, err := w.Recv(); err != nil || run.GetState() != "completed" {
		t.Errorf("watched after its end: %v, %v", run, err)
	}

	got, err := near.as("viewer").GetRun(in.Ctx, &schedulerv1.GetRunRequest{Id: "run-of-" + evening})
	if err != nil || got.GetTickId() != evening || rfc3339(got.GetFiredAt()) != "2025-01-25T12:00:00Z" {
		t.Errorf("by run id: %v, %v", got, err)
	}
	listed, err := near.as("viewer").ListRuns(in.Ctx, &schedulerv1.ListRunsRequest{Tenant: "lebenis", Schedule: "daily", State: "completed"})
	if err != nil || len(listed.GetItems()) != 1 {
		t.Errorf("listed: %v, %v", listed, err)
	}
	for id, want := range map[string]codes.Code{"lebenis/payouts/daily@2030-01-01T00:00:00Z": codes.NotFound, "nonsense": codes.InvalidArgument} {
		w, err := near.as("viewer").WatchRun(in.Ctx, &schedulerv1.WatchRunRequest{TickId: id})
		if err == nil {
			_, err = w.Recv()
		}
		if status.Code(err) != want {
			t.Errorf("watch %s: %v, want %s", id, err, want)
		}
	}
}

func TestListRunsPages(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	r := in.start()
	for day := range 5 {
		in.trigger(r.as("operator"), "lebenis/payouts/daily", fmt.Sprintf("2025-01-%02dT23:59:00Z", 20+day))
	}
	in.trigger(r.as("admin"), "wallclub/payouts/daily", "2025-01-24T11:00:00Z")
	for token, want := range map[string]int{"viewer": 5, "admin": 6} {
		var got []string
		for req := (&schedulerv1.ListRunsRequest{PageSize: 2}); ; {
			page, err := r.as(token).ListRuns(in.Ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, run := range page.GetItems() {
				got = append(got, rfc3339(run.GetNominalTime()))
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		newestFirst := slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) })
		if len(got) != want || !newestFirst {
			t.Errorf("%s sees %v, want %d, newest first", token, got, want)
		}
	}
	if _, err := r.as("viewer").ListRuns(in.Ctx, &schedulerv1.ListRunsRequest{PageToken: "nonsense"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("made-up page token: %v", err)
	}
}

// Promise 7: a run event that nobody can read is in the dead-letter stream, and there is an event about it.
func TestAnUnreadableReportIsADeadLetter(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	in.start()
	facts, letters := in.Follow("EVENTS", "agogo.evt.*.scheduler.event.>"), in.Follow("DLQ", "agogo.dlq.>")
	in.publish(event.New(in.Ctx, "payouts", "lebenis", "run.started", "run-1", 1, 0, in.clock.Now()), []byte("{"))
	if got := in.Next(letters).Subject(); got != "agogo.dlq.scheduler.EVENTS.scheduler-runs" {
		t.Errorf("dead letter on %s", got)
	}
	m := in.Next(facts)
	var letter eventsv1.DeadLetter
	if err := event.Decode(m.Data(), &letter); err != nil {
		t.Fatal(err)
	}
	if letter.GetTenant() != "lebenis" || letter.GetService() != "scheduler" || letter.GetConsumer() != "scheduler-runs" || letter.GetState() != "dead_lettered" || letter.GetError() == "" {
		t.Errorf("event %v", &letter)
	}
}

// Promise 4, leader change: the leader stops, another replica fires the next tick, once.
func TestALeaderChangeLosesNoTick(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-24T23:58:00Z")
	first, second := in.start(), in.start()
	for !first.leads(t) && !second.leads(t) { // the first attempt follows readiness
		<-time.After(20 * time.Millisecond)
	}
	if first.leads(t) && second.leads(t) {
		t.Fatal("two lead")
	}
	if second.leads(t) {
		first = second
	}
	orders := in.Follow("TICKS", "agogo.tick.>")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	in.clock.Set(instant(t, "2025-01-25T00:00:30Z"))
	want := []string{
		evening, "lebenis/payouts/check-pending@2025-01-25T00:00:00Z", "lebenis/payouts/reset-breaks@2025-01-25T00:00:00Z",
	}
	var got []string
	for range want {
		got = append(got, in.Next(orders).Headers().Get("Nats-Msg-Id"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := in.stored("TICKS"); n != 3 {
		t.Errorf("%d orders, want 3", n)
	}
}

// leads reads the gauge.
func (r *replica) leads(t *testing.T) bool {
	t.Helper()
	return strings.Contains(r.metrics(), "\nagogo_scheduler_leader 1\n")
}

func (r *replica) metrics() string {
	r.In.T.Helper()
	_, text := r.Get("/metrics")
	return text
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	r := in.start()
	in.trigger(r.as("operator"), "lebenis/payouts/daily", eveningTime)
	if _, got := r.Get("/readyz"); got != "ready\n" {
		t.Errorf("readyz: %s", got)
	}
	for _, want := range []string{
		`agogo_scheduler_ticks_total{schedule="daily",service="payouts",state="fired",tenant="lebenis",trigger="manual"} 1`,
		"agogo_scheduler_overdue_seconds 0",
	} {
		if got := r.metrics(); !strings.Contains(got, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestStoppingEndsStreamsAndReturnsSoon(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	r := in.start()
	in.trigger(r.as("operator"), "lebenis/payouts/daily", eveningTime)
	w, err := r.as("viewer").WatchRun(in.Ctx, &schedulerv1.WatchRunRequest{TickId: evening})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, err := w.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v, want UNAVAILABLE", err)
	}
}
