package week_test

import (
	"bytes"
	"encoding/csv"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle/charging"
	"github.com/agogopay/agogo/cmd/agogo/internal/week"
	"github.com/agogopay/agogo/simulator"
)

func wallclub(t testing.TB) charging.Rules {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	return charging.Rules{
		Currency: "BRL", Decimals: 2, MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, CleanupAfterDays: 180, CardFailureLimit: 5,
		Zone: zone, Gateway: "cielo",
	}
}

func TestASeedIsAWeek(t *testing.T) {
	t.Parallel()
	a, b, other := week.Generate(7, wallclub(t)), week.Generate(7, wallclub(t)), week.Generate(8, wallclub(t))
	if !reflect.DeepEqual(a, b) {
		t.Error("one seed gives two weeks")
	}
	if bytes.Equal(a.First, other.First) {
		t.Error("two seeds give one week")
	}
}

// play has the model live through a week, and tells see about it after every tick.
func play(t *testing.T, w *week.Week, see func(tick week.Tick, m *charging.Model)) {
	t.Helper()
	m := charging.New(wallclub(t))
	m.Fates(w.Fates)
	load := func(file []byte) {
		if err := m.Import(bytes.NewReader(file)); err != nil {
			t.Fatalf("seed %d: %v", w.Seed, err)
		}
	}
	load(w.First)
	for i, tick := range w.Ticks {
		if i == w.LaterAt {
			load(w.Later)
		}
		if err := m.Tick(tick.Job, tick.At); err != nil {
			t.Fatalf("seed %d, %s: %v", w.Seed, tick.At, err)
		}
		m.Settle()
		see(tick, m)
	}
}

// No week may leave it open what is right, and together they must have everything that the rules tell apart.
func TestWeeksHaveEverythingAndLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for seed := range int64(150) {
		w := week.Generate(seed, wallclub(t))
		note(t, seen, w)
		play(t, w, func(tick week.Tick, m *charging.Model) {
			seen[tick.Job]++
			for what, n := range m.Census() {
				seen[what] += n
			}
		})
	}
	for _, edge := range []string{
		"period monthly", "period yearly", "period weekly", "period days", "anchor beyond its month", "weekend", "moved weekend", "shared card",
		"status active", "status past_due", "status paused", "status hold", "status cancelled", "status completed",
		"max_cycles", "end_date", "failed_attempts", "ended_at", "charge-due", "retry-failed", "notify-holds", "cleanup", "late tick", "long outage",
		"recurrence active", "recurrence past_due", "recurrence hold retries_over", "recurrence hold hard_decline", "recurrence hold card_invalid",
		"recurrence hold requires_action", "recurrence completed expired", "recurrence completed last_cycle", "recurrence archived", "missed", "digest",
		"charge succeeded", "charge failed_soft", "charge failed_hard", "charge requires_action", "charge exhausted", "charge unknown", "charge processing",
		"paid by a retry", "invalid card",
	} {
		if seen[edge] == 0 {
			t.Errorf("%s never came up", edge)
		}
	}
	t.Log(seen)
}

func note(t *testing.T, seen map[string]int, w *week.Week) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(w.First)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]bool{}
	for _, r := range rows[1:] {
		row := map[string]string{}
		for i, name := range rows[0] {
			row[name] = r[i]
		}
		seen["period "+row["period"]]++
		seen["status "+row["status"]]++
		for _, column := range []string{"max_cycles", "end_date", "failed_attempts", "ended_at"} {
			if row[column] != "" {
				seen[column]++
			}
		}
		date, err := time.Parse(time.DateOnly, row["next_charge_date"])
		if err != nil {
			t.Fatal(err)
		}
		weekend := date.Weekday() == time.Saturday || date.Weekday() == time.Sunday
		day := date.Format("2")
		switch {
		case weekend:
			seen["weekend"]++
		case row["period"] == "monthly" && row["anchor_day"] != day && date.AddDate(0, 0, 1).Day() != 1:
			seen["moved weekend"]++
		case row["period"] == "monthly" && row["anchor_day"] != day:
			seen["anchor beyond its month"]++
		}
		if tokens[row["card_token"]] {
			seen["shared card"]++
		}
		tokens[row["card_token"]] = true
	}
	for i, tick := range w.Ticks[1:] {
		switch between := tick.At.Sub(w.Ticks[i].At); {
		case between < 0:
			seen["late tick"]++
		case between > 8*24*time.Hour:
			seen["long outage"]++
		}
	}
}

func TestTicksAreTheSchedulesOwn(t *testing.T) {
	t.Parallel()
	hours := map[string]int{"charge-due": 8, "retry-failed": 10, "notify-holds": 18, "cleanup": 2}
	for seed := range int64(50) {
		w := week.Generate(seed, wallclub(t))
		fired := map[week.Tick]bool{}
		for _, tick := range w.Ticks {
			local := tick.At.In(wallclub(t).Zone)
			if local.Hour() != hours[tick.Job] || local.Minute() != 0 || tick.Job == "cleanup" && local.Weekday() != time.Sunday {
				t.Errorf("seed %d: %s at %s", seed, tick.Job, local)
			}
			if fired[tick] || tick.At.Year() != 2025 {
				t.Errorf("seed %d: %v twice, or not in the past", seed, tick)
			}
			fired[tick] = true
		}
	}
}

// The simulator takes every plan, and no week stops its gateway or makes it look broken.
func TestFaultsAreTheSimulatorsOwn(t *testing.T) {
	t.Parallel()
	for seed := range int64(50) {
		w := week.Generate(seed, wallclub(t))
		sim, err := simulator.New(simulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sim.Plan(w.Faults); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		_ = sim.Close()
		unanswered := strings.Count(string(w.First), "tok_timeout_")
		for _, r := range w.Faults.Rules {
			if slices.Contains([]simulator.Fault{simulator.Unauthorized, simulator.NotSubscribed}, r.Fault) {
				t.Errorf("seed %d: %s stops the gateway", seed, r.Fault)
			}
			if answers := w.Fates[r.Match.Token]; answers[0] == charging.PaysUnseen || answers[0] == charging.Vanishes {
				unanswered++
			}
		}
		if unanswered > 5 {
			t.Errorf("seed %d: %d cards without answers", seed, unanswered)
		}
	}
}
