package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

func TestSyncFollowsTheTenantsFile(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	evening := rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)
	steps := []struct {
		name  string
		now   string
		rules map[schedule.Key]schedule.Rule
		want  []string
		ticks []string // new ones
		fire  bool
	}{
		{"created", "2025-01-24T12:00:00Z", map[schedule.Key]schedule.Rule{daily: evening}, []string{"lebenis/payouts/daily schedule.created v1"}, nil, false},
		{"unchanged, over a night that nobody fired", "2025-01-25T12:00:00Z", map[schedule.Key]schedule.Rule{daily: evening}, nil, nil, false},
		{
			"another cron: the night belongs to the old rule, and the new one begins now", "2025-01-25T12:30:00Z",
			map[schedule.Key]schedule.Rule{daily: rule(t, "0 12 * * *", "Africa/Abidjan", schedule.All)},
			[]string{"lebenis/payouts/daily schedule.updated v2"},
			[]string{"01-24T23:59 fired catch_up"},
			true,
		},
		{"gone: what was due is missed", "2025-01-26T12:30:00Z", nil, []string{"lebenis/payouts/daily schedule.deleted v3"}, []string{"01-26T12:00 missed cron schedule_deleted"}, true},
		{"still gone", "2025-01-27T12:30:00Z", nil, nil, nil, true},
		{
			"back: it begins now and its versions go on", "2025-01-28T12:30:00Z",
			map[schedule.Key]schedule.Rule{daily: evening},
			[]string{"lebenis/payouts/daily schedule.created v4"},
			nil, true,
		},
		{"and fires again", "2025-01-28T23:59:30Z", map[schedule.Key]schedule.Rule{daily: evening}, nil, []string{"01-28T23:59 fired cron"}, true},
	}
	var ticks []string
	for _, step := range steps {
		b.clock.set(t, step.now)
		if diff := cmp.Diff(step.want, b.sync(step.rules)); diff != "" {
			t.Errorf("%s:\n%s", step.name, diff)
		}
		if step.fire {
			b.fire()
		}
		ticks = append(ticks, step.ticks...)
		if diff := cmp.Diff(ticks, b.ticks()); diff != "" {
			t.Errorf("%s:\n%s", step.name, diff)
		}
	}
	b.verify()
}

func TestReplicasThatStartAtOnceMakeOneEventEach(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	rules := map[schedule.Key]schedule.Rule{
		daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All), hourly: rule(t, "0 * * * *", "Africa/Abidjan", schedule.Latest),
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for range 8 {
		r := b.replica()
		if err := r.Pool.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			<-begin
			if _, err := r.Sync(t.Context(), rules); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if got := len(b.published()); got != 2 {
		t.Errorf("%d events, want 2", got)
	}
	b.verify()
}

func TestAChangeAfterALongOutageIsSettledInBoundedTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:30Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "* * * * *", "Africa/Abidjan", schedule.Skip)})
	b.clock.advance(50 * time.Hour)
	b.change(func(tx pgx.Tx) ([]store.Settled, error) { // the admin service settles first
		return nil, b.SettleAll(t.Context(), daily)
	})
	b.pause(daily, "checking")
	b.clock.advance(50 * time.Hour)
	err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error { _, err := b.Resume(t.Context(), tx, daily); return err })
	if !errors.Is(err, store.ErrBacklog) {
		t.Errorf("Resume over 3000 ticks = %v, want ErrBacklog", err)
	}
	if changed := b.sync(nil); len(changed) != 1 {
		t.Errorf("Sync changed %v", changed)
	}
	states := map[string]int{}
	for _, line := range b.ticks() {
		_, outcome, _ := strings.Cut(line, " ")
		states[outcome]++
	}
	want := map[string]int{"missed catch_up catch_up_skip": 2999, "fired cron": 1, "missed cron schedule_deleted": 3000}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
	b.verify()
}

func TestPauseSkipsAndResumeGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:30:00Z")
	b.sync(map[schedule.Key]schedule.Rule{hourly: rule(t, "0 * * * *", "Africa/Abidjan", schedule.All)})

	b.clock.set(t, "2025-01-24T13:00:05Z") // due, not fired yet: it was due before the pause
	b.pause(hourly, "bank holiday")
	if v, err := b.Get(t.Context(), hourly); err != nil || !v.NextTime.Equal(instant(t, "2025-01-24T14:00:00Z")) {
		t.Errorf("paused: %+v, %v", v, err)
	}
	b.pause(hourly, "bank holiday")
	b.clock.set(t, "2025-01-24T14:00:05Z")
	b.fire() // paused ticks are skipped as they come
	b.pause(hourly, "still closed")
	v, err := b.Get(t.Context(), hourly)
	if err != nil || v.State != schedule.Paused || v.PauseReason != "still closed" || !v.NextTime.Equal(instant(t, "2025-01-24T15:00:00Z")) {
		t.Errorf("paused: %+v, %v", v, err)
	}
	b.clock.set(t, "2025-01-24T15:00:05Z")
	b.resume(hourly)
	b.resume(hourly)
	b.clock.set(t, "2025-01-24T16:00:05Z")
	b.fire()

	want := []string{"01-24T13:00 fired cron", "01-24T14:00 skipped cron schedule_paused", "01-24T15:00 skipped cron schedule_paused", "01-24T16:00 fired cron"}
	if diff := cmp.Diff(want, b.ticks()); diff != "" {
		t.Error(diff)
	}
	var events []string
	for _, m := range b.published() {
		if strings.Contains(m.Headers["ce-type"], ".schedule.") {
			events = append(events, m.Headers["ce-type"]+" v"+m.Headers["ce-aggversion"])
			if strings.Contains(string(m.Payload), "holiday") {
				t.Errorf("what a person typed is published: %s", m.Payload)
			}
		}
	}
	wantEvents := []string{
		"com.agogo.schedule.created.v1 v1", "com.agogo.schedule.paused.v1 v2", "com.agogo.schedule.updated.v1 v3", "com.agogo.schedule.resumed.v1 v4",
	}
	if diff := cmp.Diff(wantEvents, events); diff != "" {
		t.Error(diff)
	}
	b.verify()
}

func TestTriggerAtANominalTimeIsThatTick(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-02-01T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	b.pause(daily, "only by hand")
	before := b.cursor(daily)

	evening := instant(t, "2025-01-24T23:59:00Z") // before the schedule existed
	first, err := b.trigger(daily, evening)
	if err != nil || first.AlreadyFired || first.TickID != "lebenis/payouts/daily@2025-01-24T23:59:00Z" {
		t.Fatalf("first: %+v, %v", first, err)
	}
	second, err := b.trigger(daily, evening)
	if err != nil || !second.AlreadyFired || second.TickID != first.TickID {
		t.Fatalf("second: %+v, %v", second, err)
	}
	if got := b.cursor(daily); got != before {
		t.Errorf("the cursor moved from %s to %s", before, got)
	}
	if diff := cmp.Diff([]string{first.TickID}, b.orders()); diff != "" {
		t.Error(diff)
	}
	b.verify()
}

func TestTriggerAheadOfTheSweepIsNotRepeatedByIt(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	b.clock.set(t, "2025-01-25T06:00:00Z")
	got, err := b.trigger(daily, instant(t, "2025-01-24T23:59:00Z"))
	if err != nil || got.AlreadyFired {
		t.Fatalf("%+v, %v", got, err)
	}
	b.fire()
	if diff := cmp.Diff([]string{"01-24T23:59 fired manual"}, b.ticks()); diff != "" {
		t.Error(diff)
	}
	if got := len(b.orders()); got != 1 {
		t.Errorf("%d orders", got)
	}
	b.verify()
}

func TestASkippedOrMissedTickFiresByHand(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.Skip)})
	b.clock.set(t, "2025-01-25T12:00:00Z")
	b.fire()
	ctx := event.WithCause(t.Context(), event.Cause{Actor: "user:ada", CorrelationID: "request-9"})
	err := pg.InTx(ctx, b.Pool, func(tx pgx.Tx) error {
		got, err := b.Trigger(ctx, tx, daily, instant(t, "2025-01-24T23:59:00Z"), "r-7")
		if got.AlreadyFired {
			t.Error("a missed tick counts as fired")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"01-24T23:59 fired manual"}, b.ticks()); diff != "" {
		t.Error(diff)
	}
	msgs := b.published()
	last, err := event.ParseHeaders(func(k string) string { return msgs[len(msgs)-1].Headers[k] })
	if err != nil {
		t.Fatal(err)
	}
	want := event.Cause{Actor: "user:ada", CorrelationID: "lebenis/payouts/daily@2025-01-24T23:59:00Z", CausationID: "request-9"}
	if last.Version != 2 || last.Cause != want {
		t.Errorf("event %+v", last)
	}
	b.verify()
}

func TestTriggerAtOtherTimes(t *testing.T) {
	t.Parallel()
	b := setup(t, "2025-01-24T12:00:00Z")
	b.sync(map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Abidjan", schedule.All)})
	for name, at := range map[string]time.Time{"another minute": instant(t, "2025-01-23T23:58:00Z"), "now": {}} {
		got, err := b.trigger(daily, at)
		if err != nil || got.AlreadyFired || !strings.HasPrefix(got.TickID, "lebenis/payouts/daily!") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		// A UUIDv7 of the service's clock: 2025-01-24T12:00:00Z is 0x1949877be00 ms.
		if unique := got.TickID[strings.Index(got.TickID, "!")+1:]; !strings.HasPrefix(unique, "01949") || unique[14] != '7' {
			t.Errorf("%s: %s", name, unique)
		}
	}
	if diff := cmp.Diff([]string{"01-23T23:58 fired manual", "01-24T12:00 fired manual"}, b.ticks()); diff != "" {
		t.Error(diff)
	}
	if _, err := b.trigger(daily, instant(t, "2025-01-24T12:00:01Z")); !errors.Is(err, store.ErrFuture) {
		t.Errorf("a second ahead: %v, want ErrFuture", err)
	}
	if _, err := b.trigger(hourly, time.Time{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown schedule: %v, want ErrNotFound", err)
	}
	b.sync(nil)
	if _, err := b.trigger(daily, time.Time{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted schedule: %v, want ErrNotFound", err)
	}
	b.verify()
}
