package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

func TestFireWritesTickOrderAndEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	var told []store.Settled
	b.Settled = func(_ context.Context, s []store.Settled) { told = append(told, s...) }

	b.clock.set(t, "2025-01-24T23:58:59.999Z")
	b.fire()
	if got := b.ticks(); len(got) != 0 {
		t.Fatalf("fired before its time: %v", got)
	}
	b.clock.set(t, "2025-01-24T23:59:00Z")
	b.fire()
	b.fire()

	const id = "lebenis/payouts/daily@2025-01-24T23:59:00Z"
	msgs := b.published()
	if len(msgs) != 3 { // schedule.created, the order, tick.fired
		t.Fatalf("%d messages: %+v", len(msgs), msgs)
	}
	order, fact := msgs[1], msgs[2]
	if order.Stream != "TICKS" || order.MsgID != id || order.Subject != "agogo.tick.lebenis.payouts.daily" {
		t.Errorf("order %s on %s, %s", order.MsgID, order.Stream, order.Subject)
	}
	e, err := event.ParseHeaders(func(k string) string { return fact.Headers[k] })
	if err != nil {
		t.Fatal(err)
	}
	want := event.Envelope{
		ID: e.ID, Type: "tick.fired", Service: "scheduler", Tenant: "lebenis", Subject: id, Time: instant(t, "2025-01-24T23:59:00Z"), Version: 1,
		Cause: event.Cause{Actor: "service:scheduler", CorrelationID: id},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(fact.Headers, order.Headers); diff != "" {
		t.Errorf("the order's headers are not the event's:\n%s", diff)
	}
	var body eventsv1.Tick
	if err := event.Decode(order.Payload, &body); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(body.GetTickId(), body.GetJob(), body.GetNominalTime().AsTime().Format(time.RFC3339), body.GetLocalDate(),
		body.GetWindowStart().AsTime().Format(time.RFC3339), body.GetWindowEnd().AsTime().Format(time.RFC3339), body.GetTimezone(), body.GetTrigger(), body.GetState())
	if want := fmt.Sprint(id, "payouts/daily", "2025-01-24T23:59:00Z", "2025-01-24", "2025-01-23T23:59:00Z", "2025-01-24T23:59:00Z", "Africa/Abidjan", "cron", "fired"); got != want {
		t.Errorf("order says %s, want %s", got, want)
	}
	if len(told) != 1 || told[0].ID != id {
		t.Errorf("told of %+v", told)
	}
	v, err := b.Get(t.Context(), daily)
	if err != nil || v.LastTickID != id || !v.NextTime.Equal(instant(t, "2025-01-25T23:59:00Z")) {
		t.Errorf("schedule: %+v, %v", v, err)
	}
	b.verify()
}

// Promise 4, replicas: no lease is involved, and still each tick fires once.
func TestEveryTickFiresOnceOnManyReplicasWithoutALease(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T00:00:00Z")
	rules := map[schedule.Key]schedule.Rule{}
	for i := range 150 { // more than one transaction takes
		rules[schedule.Key{Tenant: "lebenis", Service: "payouts", Name: fmt.Sprintf("s%03d", i)}] = rule(t, "*/10 * * * *", "Africa/Abidjan", schedule.All)
	}
	b.sync(rules)
	replicas := []*store.Store{b.Store, b.replica(), b.replica()}
	for range 6 {
		b.clock.advance(20 * time.Minute)
		var wg sync.WaitGroup
		for _, r := range replicas {
			wg.Go(func() {
				if err := r.Fire(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		b.fire() // what one replica held, the others passed over
	}
	orders := b.orders()
	if want := 150 * 12; len(orders) != want || len(b.ticks()) != want {
		t.Errorf("%d orders and %d ticks, want %d", len(orders), len(b.ticks()), want)
	}
	slices.Sort(orders)
	if twice := len(orders) - len(slices.Compact(orders)); twice != 0 {
		t.Errorf("%d orders went out twice", twice)
	}
	b.verify()
}

// Promise 4, restart: a new process with the same tenants file goes on where the old one stopped.
func TestARestartLosesNoTickAndRepeatsNone(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	rules := map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)}
	b.sync(rules)
	b.clock.set(t, "2025-01-24T23:59:01Z")
	b.fire()

	b.Store = b.replica()
	b.clock.set(t, "2025-01-26T06:00:00Z")
	if changed := b.sync(rules); len(changed) != 0 {
		t.Fatalf("the restart changed %v", changed)
	}
	b.fire()
	b.Store = b.replica()
	b.sync(rules)
	b.fire()
	want := []string{"01-24T23:59 fired cron", "01-25T23:59 fired catch_up"}
	if diff := cmp.Diff(want, b.ticks()); diff != "" {
		t.Error(diff)
	}
	if got := len(b.orders()); got != 2 {
		t.Errorf("%d orders, want 2", got)
	}
	b.verify()
}

// Promise 4, clock step back.
func TestAClockThatStepsBackRepeatsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T00:30:00Z")
	b.sync(map[schedule.Key]schedule.Rule{hourly: rule(t, "0 * * * *", "Africa/Abidjan", schedule.All)})
	b.clock.set(t, "2025-01-24T03:10:00Z")
	b.fire()
	before, orders := b.ticks(), b.orders()
	for _, now := range []string{"2025-01-24T01:59:59Z", "2025-01-24T02:00:00Z", "2025-01-23T00:00:00Z", "2025-01-24T03:00:00Z", "2025-01-24T03:59:59Z"} {
		b.clock.set(t, now)
		b.fire()
		if got, want := b.cursor(hourly), "2025-01-24T03:10:00Z"; now < want && got != want {
			t.Fatalf("at %s the cursor went to %s", now, got)
		}
	}
	if diff := cmp.Diff(before, b.ticks()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(orders, b.orders()); diff != "" {
		t.Error(diff)
	}
	b.clock.set(t, "2025-01-24T04:00:00Z")
	b.fire()
	if got := b.ticks(); len(got) != 4 || got[3] != "01-24T04:00 fired cron" {
		t.Errorf("after the clock caught up: %v", got)
	}
	b.verify()
}

func TestAClockFarAheadIsABigCatchUp(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T00:30:00Z")
	r := rule(t, "0 0 * * *", "Africa/Abidjan", schedule.All)
	r.CatchUp.Cap = 1000
	b.sync(map[schedule.Key]schedule.Rule{daily: r})
	b.clock.set(t, "2026-01-24T00:30:00Z")
	b.fire()
	b.clock.set(t, "2025-01-25T00:00:05Z") // corrected
	b.fire()
	if got := len(b.orders()); got != 365 {
		t.Errorf("%d orders, want 365", got)
	}
	b.verify()
}

// Promise 4, DST: a day of 25 hours has 25 hourly ticks, and one at a fixed hour that comes twice.
func TestTicksOfADayOf25Hours(t *testing.T) {
	t.Parallel()
	b := setup(t, "2026-11-01T03:59:00Z") // 23:59 in New York
	b.sync(map[schedule.Key]schedule.Rule{
		daily:  rule(t, "30 1 * * *", "America/New_York", schedule.All),
		hourly: rule(t, "0 * * * *", "America/New_York", schedule.All),
	})
	for range 25*60 + 1 - 1 {
		b.clock.advance(time.Minute)
		b.fire()
	}
	count := map[string]int{}
	for _, id := range b.orders() {
		name, _, _ := strings.Cut(id, "@")
		count[name]++
	}
	if diff := cmp.Diff(map[string]int{daily.String(): 1, hourly.String(): 25}, count); diff != "" {
		t.Error(diff)
	}
	for _, date := range query(t, b.Pool, `SELECT DISTINCT local_date FROM ticks`) {
		if date != "2026-11-01" {
			t.Errorf("local date %s", date)
		}
	}
	b.verify()
}

// Promise 4, an outage of three days per catch-up mode: what the tables, the orders and the events say.
func TestOutageOfThreeDays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		mode         schedule.Mode
		paused       bool
		ticks, order []string
	}{
		{
			mode:  schedule.All,
			ticks: []string{"01-21T23:59 fired catch_up", "01-22T23:59 fired catch_up", "01-23T23:59 fired catch_up"},
			order: []string{"@2025-01-21T23:59:00Z", "@2025-01-22T23:59:00Z", "@2025-01-23T23:59:00Z"},
		}, {
			mode:  schedule.Latest,
			ticks: []string{"01-21T23:59 skipped catch_up collapsed_into_later_tick", "01-22T23:59 skipped catch_up collapsed_into_later_tick", "01-23T23:59 fired catch_up"},
			order: []string{"@2025-01-23T23:59:00Z"},
		}, {
			mode:  schedule.Skip,
			ticks: []string{"01-21T23:59 missed catch_up catch_up_skip", "01-22T23:59 missed catch_up catch_up_skip", "01-23T23:59 missed catch_up catch_up_skip"},
		}, {
			mode: schedule.All, paused: true,
			ticks: []string{"01-21T23:59 skipped cron schedule_paused", "01-22T23:59 skipped cron schedule_paused", "01-23T23:59 skipped cron schedule_paused"},
		},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s paused=%t", tt.mode, tt.paused), func(t *testing.T) {
			t.Parallel()
			b := setup(t, "2025-01-21T12:00:00Z")
			b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", tt.mode)})
			if tt.paused {
				b.pause(daily, "bank holiday")
			}
			b.clock.set(t, "2025-01-24T12:00:00Z")
			b.Store = b.replica()
			b.fire()
			if diff := cmp.Diff(tt.ticks, b.ticks()); diff != "" {
				t.Error(diff)
			}
			var order []string
			for _, id := range b.orders() {
				order = append(order, strings.TrimPrefix(id, daily.String()))
			}
			if diff := cmp.Diff(tt.order, order); diff != "" {
				t.Error(diff)
			}
			b.verify()
		})
	}
}

func TestALongBacklogIsSettledInBoundedTransactionsAndInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-21T12:00:30Z")
	r := rule(t, "* * * * *", "Africa/Abidjan", schedule.All)
	r.CatchUp.Cap = 2500
	b.sync(map[schedule.Key]schedule.Rule{daily: r, hourly: rule(t, "0 * * * *", "Africa/Abidjan", schedule.Latest)})
	b.clock.advance(72 * time.Hour)
	largest, missed, fired := 0, 0, 0
	b.Settled = func(_ context.Context, s []store.Settled) {
		largest = max(largest, len(s))
		for _, tick := range s {
			if tick.Key != daily {
				continue
			}
			if tick.State == schedule.Fired {
				fired++
			} else {
				missed++
			}
		}
	}
	b.fire()
	if largest > 1000 || fired != 2500 || missed != 72*60-2500 {
		t.Errorf("at most %d ticks in a transaction, %d fired, %d missed", largest, fired, missed)
	}
	var minutes []string
	for _, id := range b.orders() {
		if strings.HasPrefix(id, daily.String()) {
			minutes = append(minutes, id)
		}
	}
	if !slices.IsSorted(minutes) || len(minutes) != 2500 {
		t.Errorf("%d orders of one schedule are not in nominal order", len(minutes))
	}
	b.verify()
}

func TestAScheduleThatCannotBeReadDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{
		daily:  rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All),
		hourly: rule(t, "0 * * * *", "Africa/Abidjan", schedule.Latest),
	})
	if _, err := b.Pool.Exec(t.Context(), `UPDATE schedules SET timezone = 'Mars/Olympus' WHERE name = 'check-pending'`); err != nil {
		t.Fatal(err)
	}
	b.clock.set(t, "2025-01-25T00:00:00Z")
	err := b.Fire(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Mars/Olympus") || !strings.Contains(err.Error(), hourly.String()) {
		t.Errorf("Fire = %v, want it to name the schedule and its zone", err)
	}
	if diff := cmp.Diff([]string{"01-24T23:59 fired catch_up"}, b.ticks()); diff != "" {
		t.Error(diff)
	}
}

func TestOrdersAfterARestoreHaveNewMessageIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	b.Epoch = event.EpochAt(2)
	b.clock.set(t, "2025-01-24T23:59:00Z")
	b.fire()
	if diff := cmp.Diff([]string{"lebenis/payouts/daily@2025-01-24T23:59:00Z#e2"}, b.orders()); diff != "" {
		t.Error(diff)
	}
	msgs := b.published()
	if got := msgs[len(msgs)-1].Headers["ce-epoch"]; got != "2" {
		t.Errorf("ce-epoch %s", got)
	}
}

func TestFireStopsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Fire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Fire = %v", err)
	}
}

// BenchmarkFire settles the minute in which a thousand schedules are due.
func BenchmarkFire(b *testing.B) {
	const schedules = 1000
	bench := setup(b, "2025-01-24T00:00:30Z")
	rules := map[schedule.Key]schedule.Rule{}
	for i := range schedules {
		rules[schedule.Key{Tenant: "lebenis", Service: "payouts", Name: fmt.Sprintf("s%04d", i)}] = rule(b, "* * * * *", "Africa/Abidjan", schedule.All)
	}
	bench.sync(rules)
	for b.Loop() {
		bench.clock.advance(time.Minute)
		bench.fire()
	}
	b.ReportMetric(float64(schedules*b.N)/b.Elapsed().Seconds(), "ticks/s")
}
