package runs_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/runs"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
	"github.com/agogopay/agogo/services/scheduler/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const tick = "lebenis/payouts/daily@2025-01-24T23:59:00Z"

// counting counts the reports that reach the tables.
type counting struct {
	*store.Store
	reports int
	fail    error
}

func (c *counting) Report(ctx context.Context, tx pgx.Tx, e event.Envelope, run *eventsv1.Run) error {
	c.reports++
	return errors.Join(c.Store.Report(ctx, tx, e, run), c.fail)
}

func setup(t *testing.T) (*runs.Consumer, *counting) {
	t.Helper()
	pool := pgtest.Pool(t, inbox.Migrations, migrations.Set)
	c := &counting{Store: &store.Store{Pool: pool}}
	return &runs.Consumer{DB: pool, Recorder: c, Watchers: runs.NewWatchers()}, c
}

// permanent says whether the loop would give the message up at once.
func permanent(err error) bool {
	return reflect.TypeOf(err) == reflect.TypeOf(stream.Permanent(errors.New("")))
}

// message is a run event as the payouts service publishes it; edit may spoil it.
func message(t *testing.T, state string, version int64, edit func(*event.Envelope, *eventsv1.Run)) stream.Message {
	t.Helper()
	at := time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	run := &eventsv1.Run{
		RunId: "run-1", TickId: tick, Tenant: "lebenis", Service: "payouts", Schedule: "daily", Job: "payouts/daily", State: state,
		NominalTime: timestamppb.New(at), LocalDate: "2025-01-24",
	}
	e := event.New(t.Context(), "payouts", "lebenis", "run.started", "run-1", version, 0, at)
	if edit != nil {
		edit(&e, run)
	}
	body, err := event.Encode(run)
	if err != nil {
		t.Fatal(err)
	}
	headers := e.Headers()
	return stream.Message{ID: e.ID, Header: func(k string) string { return headers[k] }, Data: body}
}

func TestAReportAppliesOnceAndWakesItsWatchers(t *testing.T) {
	t.Parallel()
	c, recorded := setup(t)
	changed, stop := c.Watchers.Watch(tick)
	defer stop()
	other, stopOther := c.Watchers.Watch("lebenis/payouts/daily@2025-01-25T23:59:00Z")
	defer stopOther()
	for range 3 {
		if err := c.Handle(t.Context(), message(t, "running", 1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if recorded.reports != 1 {
		t.Errorf("applied %d times", recorded.reports)
	}
	r, err := recorded.Run(t.Context(), tick)
	if err != nil || r.State != "running" {
		t.Errorf("run %+v, %v", r, err)
	}
	if len(changed) != 1 || len(other) != 0 {
		t.Errorf("%d wakes of the watcher, %d of another's", len(changed), len(other))
	}
}

func TestAReportThatFailsComesAgain(t *testing.T) {
	t.Parallel()
	c, recorded := setup(t)
	recorded.fail = errors.New("disk full")
	err := c.Handle(t.Context(), message(t, "running", 1, nil))
	if !errors.Is(err, recorded.fail) || permanent(err) {
		t.Fatalf("Handle = %v", err)
	}
	recorded.fail = nil
	if err := c.Handle(t.Context(), message(t, "running", 1, nil)); err != nil {
		t.Fatal(err)
	}
	if r, err := recorded.Run(t.Context(), tick); err != nil || r.State != "running" {
		t.Errorf("run %+v, %v", r, err)
	}
}

func TestWhatNoRepetitionCanCureIsPermanent(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	spoilt := map[string]stream.Message{
		"no tick":        message(t, "running", 1, func(_ *event.Envelope, r *eventsv1.Run) { r.TickId = "" }),
		"foreign tenant": message(t, "running", 1, func(_ *event.Envelope, r *eventsv1.Run) { r.TickId = "wallclub/payouts/daily@2025-01-24T23:59:00Z" }),
		"no run":         message(t, "running", 1, func(_ *event.Envelope, r *eventsv1.Run) { r.RunId = "" }),
		"no state":       message(t, "", 1, nil),
		"no time":        message(t, "running", 1, func(_ *event.Envelope, r *eventsv1.Run) { r.NominalTime = nil }),
		"another event":  message(t, "running", 1, func(e *event.Envelope, _ *eventsv1.Run) { e.Type = "payout.created" }),
		"no headers":     {Header: func(string) string { return "" }},
	}
	broken := message(t, "running", 1, nil)
	broken.Data = []byte("{")
	spoilt["no JSON"] = broken
	for name, m := range spoilt {
		if err := c.Handle(t.Context(), m); err == nil || !permanent(err) {
			t.Errorf("%s: %v, want a permanent error", name, err)
		}
	}
}

func TestWatchersAreForgotten(t *testing.T) {
	t.Parallel()
	w := runs.NewWatchers()
	changed, stop := w.Watch(tick)
	w.Changed(tick)
	w.Changed(tick) // nobody took the first: it must not wait
	<-changed
	stop()
	stop()
	w.Changed(tick)
	if len(changed) != 0 {
		t.Error("a watcher that left was woken")
	}
}
