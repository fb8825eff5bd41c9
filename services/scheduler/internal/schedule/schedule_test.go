package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
)

func TestReconcile(t *testing.T) {
	t.Parallel()
	const now, cursor = "2025-01-24T12:00:00Z", "2025-01-20T00:00:00Z"
	all := schedule.CatchUp{Mode: schedule.All, Cap: 366}
	old := rule(t, "59 23 * * *", "Africa/Abidjan", all)
	stored := func(state schedule.State) schedule.Schedule {
		s := schedule.Schedule{Key: daily, Rule: old, State: state, Cursor: at(t, cursor), Version: 4}
		if state == schedule.Paused {
			s.PauseReason = "bank holiday"
		}
		return s
	}
	otherJob, otherCatchUp := old, old
	otherJob.Job, otherCatchUp.CatchUp.Mode = "payouts/check-pending", schedule.Latest

	type change struct {
		Event, From, To, Cursor, Pause string
		Version                        int64
	}
	tests := []struct {
		name string
		have []schedule.Schedule
		want map[schedule.Key]schedule.Rule
		now  string
		out  []change
	}{
		{"unchanged is untouched", []schedule.Schedule{stored(schedule.Active)}, map[schedule.Key]schedule.Rule{daily: old}, now, nil},
		{"still deleted", []schedule.Schedule{stored(schedule.Deleted)}, nil, now, nil},
		{"new", nil, map[schedule.Key]schedule.Rule{daily: old}, now, []change{{"schedule.created", "", "active", now, "", 1}}},
		{
			"cron changed",
			[]schedule.Schedule{stored(schedule.Active)},
			map[schedule.Key]schedule.Rule{daily: rule(t, "58 23 * * *", "Africa/Abidjan", all)},
			now,
			[]change{{"schedule.updated", "active", "active", now, "", 5}},
		},
		{
			"zone changed while paused",
			[]schedule.Schedule{stored(schedule.Paused)},
			map[schedule.Key]schedule.Rule{daily: rule(t, "59 23 * * *", "Africa/Lagos", all)},
			now,
			[]change{{"schedule.updated", "paused", "paused", now, "bank holiday", 5}},
		},
		{
			"cron changed and the clock stepped back",
			[]schedule.Schedule{stored(schedule.Active)},
			map[schedule.Key]schedule.Rule{daily: rule(t, "58 23 * * *", "Africa/Abidjan", all)},
			"2025-01-01T00:00:00Z",
			[]change{{"schedule.updated", "active", "active", cursor, "", 5}},
		},
		{
			"job changed: what is due stays due",
			[]schedule.Schedule{stored(schedule.Active)},
			map[schedule.Key]schedule.Rule{daily: otherJob},
			now,
			[]change{{"schedule.updated", "active", "active", cursor, "", 5}},
		},
		{
			"catch-up changed: what is due stays due",
			[]schedule.Schedule{stored(schedule.Active)},
			map[schedule.Key]schedule.Rule{daily: otherCatchUp},
			now,
			[]change{{"schedule.updated", "active", "active", cursor, "", 5}},
		},
		{
			"gone",
			[]schedule.Schedule{stored(schedule.Paused)},
			nil, now,
			[]change{{"schedule.deleted", "paused", "deleted", cursor, "", 5}},
		},
		{
			"back again",
			[]schedule.Schedule{stored(schedule.Deleted)},
			map[schedule.Key]schedule.Rule{daily: old},
			now,
			[]change{{"schedule.created", "deleted", "active", now, "", 5}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := schedule.Reconcile(tt.have, tt.want, at(t, tt.now))
			if err != nil {
				t.Fatal(err)
			}
			var out []change
			for _, c := range got {
				if c.Key != daily {
					t.Errorf("changed %s", c.Key)
				}
				out = append(out, change{string(c.Event), string(c.From), string(c.State), c.Cursor.Format(time.RFC3339), c.PauseReason, c.Version})
			}
			if diff := cmp.Diff(tt.out, out); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestToRefusesWhatTheTableDoesNotHave(t *testing.T) {
	t.Parallel()
	s := schedule.Schedule{Key: daily, State: schedule.Deleted, Version: 3}
	if c, err := s.To(schedule.Paused); err == nil {
		t.Fatalf("a deleted schedule was paused: %+v", c)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	if k, err := schedule.ParseKey(daily.String()); err != nil || k != daily {
		t.Fatalf("%v, %v", k, err)
	}
	for _, name := range []string{"", "a/b", "a/b/c/d", "a//c", "/b/c"} {
		if _, err := schedule.ParseKey(name); err == nil {
			t.Errorf("ParseKey(%q) was accepted", name)
		}
	}
}
