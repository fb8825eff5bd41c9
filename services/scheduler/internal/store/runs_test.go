package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

const evening = "lebenis/payouts/daily@2025-01-24T23:59:00Z"

func (b *bench) report(state string, version int64, epoch int, counts map[string]int64) {
	b.t.Helper()
	run := &eventsv1.Run{
		RunId: "run-1", TickId: evening, Tenant: "lebenis", Service: "payouts", Schedule: "daily", Job: "payouts/daily", State: state,
		NominalTime: timestamppb.New(instant(b.t, "2025-01-24T23:59:00Z")), LocalDate: "2025-01-24", Counts: counts,
		Totals: map[string]*eventsv1.Money{"succeeded": {Minor: 450_000, Currency: "XOF"}},
	}
	e := event.Envelope{Version: version, Epoch: epoch, Time: b.clock.Now()}
	err := pg.InTx(b.t.Context(), b.Pool, func(tx pgx.Tx) error { return b.Report(b.t.Context(), tx, e, run) })
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestReportsApplyInTheOrderOfEpochAndVersion(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	b.clock.set(t, "2025-01-24T23:59:01Z")
	b.fire()
	state := func(id string) string {
		r, err := b.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	if got := state(evening); got != "fired" {
		t.Errorf("before any report: %s", got)
	}
	for _, step := range []struct {
		state   string
		version int64
		epoch   int
		want    string
	}{
		{"running", 1, 0, "running"},
		{"completed", 2, 0, "completed"},
		{"running", 1, 0, "completed"},   // late
		{"failed", 2, 0, "completed"},    // the same version again
		{"running", 2, 1, "running"},     // after a restore
		{"completed", 99, 0, "running"},  // from before the restore
		{"completed", 3, 1, "completed"}, // the end
	} {
		b.report(step.state, step.version, step.epoch, map[string]int64{"succeeded": step.version})
		if got := state("run-1"); got != step.want {
			t.Errorf("after %s version %d epoch %d: %s, want %s", step.state, step.version, step.epoch, got, step.want)
		}
	}
	r, err := b.Run(t.Context(), evening)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Run{
		TickID: evening, RunID: "run-1", Tenant: "lebenis", Service: "payouts", Schedule: "daily", Job: "payouts/daily",
		Nominal: instant(t, "2025-01-24T23:59:00Z"), LocalDate: "2025-01-24", State: "completed",
		Counts: map[string]int64{"succeeded": 3}, Totals: map[string]store.Amount{"succeeded": {Minor: 450_000, Currency: "XOF"}},
		FiredAt: instant(t, "2025-01-24T23:59:01Z"), UpdatedAt: instant(t, "2025-01-24T23:59:01Z"),
	}
	if diff := cmp.Diff(want, r); diff != "" || !r.Ended() {
		t.Error(diff)
	}
}

func TestARunIsShownFromItsReportsWhenTheTickIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-25T12:00:00Z")
	b.report("running", 1, 0, nil)
	for _, id := range []string{evening, "run-1"} {
		r, err := b.Run(t.Context(), id)
		if err != nil || r.TickID != evening || r.State != "running" || !r.FiredAt.IsZero() {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
	if _, err := b.Run(t.Context(), "run-2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown run: %v", err)
	}
}

func TestRunsArePagedNewestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-20T12:00:00Z")
	other := schedule.Key{Tenant: "wallclub", Service: "payouts", Name: "daily"}
	r := rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)
	b.sync(map[schedule.Key]schedule.Rule{daily: r, other: r})
	b.clock.set(t, "2025-01-25T00:00:00Z")
	b.fire()
	b.report("running", 1, 0, nil)

	list := func(f store.RunFilter, size int) []string {
		var got []string
		var before *store.RunsBefore
		for {
			page, err := b.Runs(t.Context(), f, before, size)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				got = append(got, fmt.Sprintf("%s %s %s", r.Tenant, r.Nominal.Format(time.DateOnly), r.State))
			}
			if len(page) < size {
				return got
			}
			last := page[len(page)-1]
			before = &store.RunsBefore{Nominal: last.Nominal, TickID: last.TickID}
		}
	}
	all := []string{
		"wallclub 2025-01-24 fired", "lebenis 2025-01-24 running", "wallclub 2025-01-23 fired", "lebenis 2025-01-23 fired", "wallclub 2025-01-22 fired",
		"lebenis 2025-01-22 fired", "wallclub 2025-01-21 fired", "lebenis 2025-01-21 fired", "wallclub 2025-01-20 fired", "lebenis 2025-01-20 fired",
	}
	for _, size := range []int{1, 3, 100} {
		if diff := cmp.Diff(all, list(store.RunFilter{Tenants: store.Tenants{All: true}}, size)); diff != "" {
			t.Errorf("pages of %d:\n%s", size, diff)
		}
	}
	lebenis := store.Tenants{Names: []string{"lebenis"}}
	if got := list(store.RunFilter{Tenants: lebenis, Service: "payouts", Schedule: "daily"}, 2); len(got) != 5 {
		t.Errorf("of one schedule: %v", got)
	}
	if diff := cmp.Diff([]string{"lebenis 2025-01-24 running"}, list(store.RunFilter{Tenants: lebenis, State: "running"}, 2)); diff != "" {
		t.Error(diff)
	}
	if got := list(store.RunFilter{Schedule: "daily"}, 2); got != nil {
		t.Errorf("without any tenant: %v", got)
	}
}

func TestSchedulesArePagedByName(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-20T12:00:00Z")
	r := rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)
	rules := map[schedule.Key]schedule.Rule{}
	for _, name := range []string{"a/x/1", "a/x/2", "a/y/1", "b/a/1", "b/x/1"} {
		key, err := schedule.ParseKey(name)
		if err != nil {
			t.Fatal(err)
		}
		rules[key] = r
	}
	b.sync(rules)
	gone := schedule.Key{Tenant: "b", Service: "a", Name: "1"}
	delete(rules, gone)
	b.sync(rules)
	var got []string
	for after := (schedule.Key{}); ; {
		page, err := b.List(t.Context(), store.Tenants{All: true}, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, v := range page {
			got, after = append(got, v.String()), v.Key
		}
	}
	if diff := cmp.Diff([]string{"a/x/1", "a/x/2", "a/y/1", "b/x/1"}, got); diff != "" {
		t.Error(diff)
	}
	if page, err := b.List(t.Context(), store.Tenants{Names: []string{"b"}}, schedule.Key{}, 10); err != nil || len(page) != 1 {
		t.Errorf("of tenant b: %v, %v", page, err)
	}
	if _, err := b.Get(t.Context(), gone); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestOldestDue(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	if at, err := b.OldestDue(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("nothing due: %s, %v", at, err)
	}
	b.clock.set(t, "2025-01-26T12:00:00Z")
	if at, err := b.OldestDue(t.Context()); err != nil || !at.Equal(instant(t, "2025-01-24T23:59:00Z")) {
		t.Errorf("after two nights: %s, %v", at, err)
	}
	b.fire()
	if at, err := b.OldestDue(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("all settled: %s, %v", at, err)
	}
}
