package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
)

var daily = schedule.Key{Tenant: "lebenis", Service: "payouts", Name: "daily"}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.UTC()
}

func rule(t testing.TB, expression, zone string, c schedule.CatchUp) schedule.Rule {
	t.Helper()
	times, err := cron.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Rule{Job: "payouts/daily", Cron: times, Zone: loc, CatchUp: c}
}

// outcome renders ticks as "<local date> <state> <trigger> <reason>".
func outcome(ticks []schedule.Tick) []string {
	var got []string
	for _, tick := range ticks {
		got = append(got, strings.TrimSpace(strings.Join([]string{tick.LocalDate, string(tick.State), string(tick.Trigger), tick.Reason}, " ")))
	}
	return got
}

func TestDueAfterAnOutageOfThreeDays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		state   schedule.State
		catchUp schedule.CatchUp
		now     string
		want    []string
	}{
		{
			"all", schedule.Active,
			schedule.CatchUp{Mode: schedule.All},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 fired catch_up", "2025-01-22 fired catch_up", "2025-01-23 fired catch_up"},
		}, {
			"all, back just in time for the newest", schedule.Active,
			schedule.CatchUp{Mode: schedule.All},
			"2025-01-23T23:59:03Z",
			[]string{"2025-01-21 fired catch_up", "2025-01-22 fired catch_up", "2025-01-23 fired cron"},
		}, {
			"all within a window", schedule.Active,
			schedule.CatchUp{Mode: schedule.All, Window: 48 * time.Hour},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 missed catch_up outside_catch_up_window", "2025-01-22 fired catch_up", "2025-01-23 fired catch_up"},
		}, {
			"all up to a cap", schedule.Active,
			schedule.CatchUp{Mode: schedule.All, Cap: 2},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 missed catch_up over_catch_up_cap", "2025-01-22 fired catch_up", "2025-01-23 fired catch_up"},
		}, {
			"latest", schedule.Active,
			schedule.CatchUp{Mode: schedule.Latest},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 skipped catch_up collapsed_into_later_tick", "2025-01-22 skipped catch_up collapsed_into_later_tick", "2025-01-23 fired catch_up"},
		}, {
			"latest within a window", schedule.Active,
			schedule.CatchUp{Mode: schedule.Latest, Window: 24 * time.Hour},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 missed catch_up outside_catch_up_window", "2025-01-22 missed catch_up outside_catch_up_window", "2025-01-23 fired catch_up"},
		}, {
			"latest outside its window", schedule.Active,
			schedule.CatchUp{Mode: schedule.Latest, Window: time.Hour},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 missed catch_up outside_catch_up_window", "2025-01-22 missed catch_up outside_catch_up_window", "2025-01-23 missed catch_up outside_catch_up_window"},
		}, {
			"skip", schedule.Active,
			schedule.CatchUp{Mode: schedule.Skip},
			"2025-01-24T12:00:00Z",
			[]string{"2025-01-21 missed catch_up catch_up_skip", "2025-01-22 missed catch_up catch_up_skip", "2025-01-23 missed catch_up catch_up_skip"},
		}, {
			"skip, but punctual", schedule.Active,
			schedule.CatchUp{Mode: schedule.Skip},
			"2025-01-23T23:59:59Z",
			[]string{"2025-01-21 missed catch_up catch_up_skip", "2025-01-22 missed catch_up catch_up_skip", "2025-01-23 fired cron"},
		}, {
			"a window below punctuality", schedule.Active,
			schedule.CatchUp{Mode: schedule.All, Window: time.Second},
			"2025-01-23T23:59:30Z",
			[]string{"2025-01-21 missed catch_up outside_catch_up_window", "2025-01-22 missed catch_up outside_catch_up_window", "2025-01-23 fired cron"},
		}, {
			"paused", schedule.Paused,
			schedule.CatchUp{Mode: schedule.All},
			"2025-01-23T23:59:01Z",
			[]string{"2025-01-21 skipped cron schedule_paused", "2025-01-22 skipped cron schedule_paused", "2025-01-23 skipped cron schedule_paused"},
		}, {
			"deleted", schedule.Deleted,
			schedule.CatchUp{Mode: schedule.All},
			"2025-01-23T23:59:01Z",
			[]string{"2025-01-21 missed cron schedule_deleted", "2025-01-22 missed cron schedule_deleted", "2025-01-23 missed cron schedule_deleted"},
		}, {
			"the clock stepped back before the cursor", schedule.Active, schedule.CatchUp{Mode: schedule.All}, "2025-01-20T00:00:00Z", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := schedule.Schedule{
				Key: daily, State: tt.state, Cursor: at(t, "2025-01-20T23:59:30Z"),
				Rule: rule(t, "59 23 * * *", "Africa/Abidjan", tt.catchUp),
			}
			ticks, cursor := s.Due(at(t, tt.now), 100)
			if diff := cmp.Diff(tt.want, outcome(ticks)); diff != "" {
				t.Error(diff)
			}
			want := at(t, tt.now)
			if want.Before(s.Cursor) {
				want = s.Cursor
			}
			if !cursor.Equal(want) {
				t.Errorf("cursor = %s, want %s", cursor, want)
			}
		})
	}
}

func TestDueInPartsEqualsDueAtOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := schedule.Schedule{
			Key: daily, State: schedule.Active, Cursor: at(t, "2026-10-30T00:00:00Z"),
			Rule: rule(t, rapid.SampledFrom([]string{"*/7 * * * *", "0 * * * *", "30 1 * * *"}).Draw(rt, "cron"), "America/New_York", schedule.CatchUp{
				Mode:   rapid.SampledFrom([]schedule.Mode{schedule.All, schedule.Latest, schedule.Skip}).Draw(rt, "mode"),
				Window: time.Duration(rapid.IntRange(0, 100).Draw(rt, "window hours")) * time.Hour,
				Cap:    rapid.IntRange(0, 300).Draw(rt, "cap"),
			}),
		}
		now := s.Cursor.Add(time.Duration(rapid.IntRange(0, 72*3600).Draw(rt, "outage")) * time.Second)
		whole, end := s.Due(now, 1<<20)
		if !end.Equal(now) {
			rt.Fatalf("cursor = %s, want %s", end, now)
		}
		var parts []schedule.Tick
		limit := rapid.IntRange(1, 50).Draw(rt, "limit")
		for s.Cursor.Before(now) {
			ticks, cursor := s.Due(now, limit)
			if len(ticks) > limit || !cursor.After(s.Cursor) {
				rt.Fatalf("%d ticks of at most %d, cursor from %s to %s", len(ticks), limit, s.Cursor, cursor)
			}
			parts, s.Cursor = append(parts, ticks...), cursor
		}
		if diff := cmp.Diff(whole, parts); diff != "" {
			rt.Fatalf("at once (-), in parts of %d (+):\n%s", limit, diff)
		}
		fired, late := 0, 0
		for _, tick := range whole {
			if tick.State == schedule.Fired {
				fired++
				if tick.Trigger == schedule.ByCatchUp {
					late++
				}
			}
		}
		if s.CatchUp.Mode == schedule.All && s.CatchUp.Cap > 0 && fired > s.CatchUp.Cap {
			rt.Fatalf("%d fired, cap %d", fired, s.CatchUp.Cap)
		}
		if s.CatchUp.Mode != schedule.All && late > 1 || s.CatchUp.Mode == schedule.Skip && late > 0 {
			rt.Fatalf("mode %s caught up %d", s.CatchUp.Mode, late)
		}
	})
}

func TestParseCatchUp(t *testing.T) {
	t.Parallel()
	for _, mode := range []schedule.Mode{schedule.All, schedule.Latest, schedule.Skip} {
		want := schedule.CatchUp{Mode: mode, Window: time.Hour, Cap: 7}
		if got, err := schedule.ParseCatchUp(string(mode), time.Hour, 7); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", mode, got, err, want)
		}
	}
	for _, mode := range []string{"", "none", "ALL", "latest "} {
		if _, err := schedule.ParseCatchUp(mode, 0, 1); err == nil {
			t.Errorf("catch_up %q was accepted", mode)
		}
	}
	if _, err := schedule.ParseCatchUp("all", -1, 1); err == nil {
		t.Error("a negative window was accepted")
	}
	if _, err := schedule.ParseCatchUp("all", 0, 0); err == nil {
		t.Error("a rule that catches up nothing was accepted")
	}
}

func TestTick(t *testing.T) {
	t.Parallel()
	s := schedule.Schedule{
		Key: daily, State: schedule.Paused, Cursor: at(t, "2026-06-01T00:00:00Z"),
		Rule: rule(t, "0 0 * * *", "America/Sao_Paulo", schedule.CatchUp{Mode: schedule.All}),
	}
	tests := []struct {
		name string
		got  schedule.Tick
		want schedule.Tick
	}{
		{
			"nominal, long before the schedule existed, in the gap of that night",
			s.ByPerson(at(t, "2018-11-04T03:00:00Z"), "u"),
			schedule.Tick{
				ID: "lebenis/payouts/daily@2018-11-04T03:00:00Z", Nominal: at(t, "2018-11-04T03:00:00Z"), LocalDate: "2018-11-04",
				WindowStart: at(t, "2018-11-03T03:00:00Z"), State: schedule.Fired, Trigger: schedule.ByHand,
			},
		}, {
			"another time",
			s.ByPerson(at(t, "2018-11-04T02:59:00Z"), "u"),
			schedule.Tick{
				ID: "lebenis/payouts/daily!u", Nominal: at(t, "2018-11-04T02:59:00Z"), LocalDate: "2018-11-03",
				WindowStart: at(t, "2018-11-03T03:00:00Z"), State: schedule.Fired, Trigger: schedule.ByHand,
			},
		},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		if key, err := schedule.TickKey(tt.got.ID); err != nil || key != daily {
			t.Errorf("TickKey(%q) = %v, %v", tt.got.ID, key, err)
		}
	}
	for _, id := range []string{"", "lebenis/payouts/daily", "lebenis/payouts@2018-11-04T03:00:00Z", "//@"} {
		if _, err := schedule.TickKey(id); err == nil {
			t.Errorf("TickKey(%q) was accepted", id)
		}
	}
}
