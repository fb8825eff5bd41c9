package recurrence

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func cycles(r Rhythm, first string, n int) string {
	all := make([]string, n)
	for i, c := 0, on(first); i < n; i, c = i+1, r.Next(c) {
		all[i] = c.String()
	}
	return strings.Join(all, " ")
}

func TestCyclesThroughTheYears(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		r     Rhythm
		first string
		want  string
	}{
		{"monthly on 31", Rhythm{Period: Monthly, Day: 31}, "2025-01-31", "2025-01-31 2025-02-28 2025-03-31 2025-04-30 2025-05-31 2025-06-30 2025-07-31"},
		{"monthly on 31 in a leap year", Rhythm{Period: Monthly, Day: 31}, "2024-01-31", "2024-01-31 2024-02-29 2024-03-31"},
		{"monthly on 31 that begins in February", Rhythm{Period: Monthly, Day: 31}, "2025-02-28", "2025-02-28 2025-03-31 2025-04-30"},
		{"monthly on 30", Rhythm{Period: Monthly, Day: 30}, "2025-01-30", "2025-01-30 2025-02-28 2025-03-30"},
		{"monthly on 30 in a leap year", Rhythm{Period: Monthly, Day: 30}, "2024-01-30", "2024-01-30 2024-02-29 2024-03-30"},
		{"monthly on 29", Rhythm{Period: Monthly, Day: 29}, "2025-01-29", "2025-01-29 2025-02-28 2025-03-29"},
		{"monthly on 29 in a leap year", Rhythm{Period: Monthly, Day: 29}, "2024-01-29", "2024-01-29 2024-02-29 2024-03-29"},
		{"monthly over the year's end", Rhythm{Period: Monthly, Day: 5}, "2025-11-05", "2025-11-05 2025-12-05 2026-01-05"},
		{"yearly on 29 February", Rhythm{Period: Yearly, Day: 29, Month: 2}, "2024-02-29", "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29"},
		{"yearly on 29 February through 2100", Rhythm{Period: Yearly, Day: 29, Month: 2}, "2096-02-29", "2096-02-29 2097-02-28 2098-02-28 2099-02-28 2100-02-28 2101-02-28 2102-02-28 2103-02-28 2104-02-29"},
		{"yearly", Rhythm{Period: Yearly, Day: 30, Month: 10}, "2025-10-30", "2025-10-30 2026-10-30 2027-10-30"},
		{"weekly", Rhythm{Period: Weekly, Day: 5}, "2025-02-21", "2025-02-21 2025-02-28 2025-03-07"},
		{"every 10 days", Rhythm{Period: Days, Interval: 10}, "2025-02-20", "2025-02-20 2025-03-02 2025-03-12"},
		{"every day", Rhythm{Period: Days, Interval: 1}, "2024-02-28", "2024-02-28 2024-02-29 2024-03-01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, cycles(tt.r, tt.first, strings.Count(tt.want, " ")+1)); diff != "" {
				t.Errorf("cycles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFirstCycleOnOrAfterADate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		r          Rhythm
		from, want string
	}{
		{Rhythm{Period: Monthly, Day: 31}, "2025-02-28", "2025-02-28"},
		{Rhythm{Period: Monthly, Day: 31}, "2025-03-01", "2025-03-31"},
		{Rhythm{Period: Monthly, Day: 10}, "2025-12-11", "2026-01-10"},
		{Rhythm{Period: Yearly, Day: 29, Month: 2}, "2025-02-28", "2025-02-28"},
		{Rhythm{Period: Yearly, Day: 29, Month: 2}, "2025-03-01", "2026-02-28"},
		{Rhythm{Period: Yearly, Day: 29, Month: 2}, "2023-03-01", "2024-02-29"},
		{Rhythm{Period: Weekly, Day: 1}, "2025-10-30", "2025-11-03"},
		{Rhythm{Period: Weekly, Day: 4}, "2025-10-30", "2025-10-30"},
		{Rhythm{Period: Days, Interval: 3}, "2025-10-30", "2025-10-30"},
	}
	for _, tt := range tests {
		if got := tt.r.First(on(tt.from)); got.String() != tt.want {
			t.Errorf("%v from %s begins on %s, want %s", tt.r, tt.from, got, tt.want)
		}
	}
}

func TestRhythmsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		r    Rhythm
		want string // in the error; "" is a good one
	}{
		{Rhythm{Period: Monthly, Day: 31}, ""},
		{Rhythm{Period: Yearly, Day: 29, Month: 2}, ""},
		{Rhythm{Period: Weekly, Day: 7}, ""},
		{Rhythm{Period: Days, Interval: 1}, ""},
		{Rhythm{Period: "daily", Day: 1}, `period "daily"`},
		{Rhythm{Period: Monthly}, "anchor_day 0"},
		{Rhythm{Period: Monthly, Day: 32}, "anchor_day 32"},
		{Rhythm{Period: Weekly, Day: 8}, "anchor_day 8"},
		{Rhythm{Period: Yearly, Day: 1}, "anchor_month 0"},
		{Rhythm{Period: Yearly, Day: 30, Month: 2}, "February has the days 1 to 29"},
		{Rhythm{Period: Yearly, Day: 31, Month: 4}, "April has the days 1 to 30"},
		{Rhythm{Period: Yearly, Day: 0, Month: 4}, "anchor_day 0"},
		{Rhythm{Period: Days}, "interval_days 0"},
		{Rhythm{Period: Days, Interval: 4000}, "interval_days 4000"},
	} {
		switch err := tt.r.Check(); {
		case tt.want == "" && err != nil:
			t.Errorf("%v: %v", tt.r, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%v: error is %v, want %q in it", tt.r, err, tt.want)
		}
	}
}

// rhythms draws any rhythm that an import may bring.
func rhythms(t *rapid.T) Rhythm {
	switch r := (Rhythm{Period: rapid.SampledFrom([]Period{Monthly, Yearly, Weekly, Days}).Draw(t, "period")}); r.Period {
	case Monthly:
		r.Day = rapid.IntRange(1, 31).Draw(t, "day")
		return r
	case Weekly:
		r.Day = rapid.IntRange(1, 7).Draw(t, "ISO day")
		return r
	case Days:
		r.Interval = rapid.IntRange(1, 400).Draw(t, "interval")
		return r
	default:
		r.Month = rapid.IntRange(1, 12).Draw(t, "month")
		r.Day = rapid.IntRange(1, daysIn(leapYear, time.Month(r.Month))).Draw(t, "day")
		return r
	}
}

func dates(t *rapid.T, label string) Date {
	return on("2019-06-01") + Date(rapid.IntRange(0, 4000).Draw(t, label))
}

// falls says of a single day, without reckoning, whether a rhythm has a cycle on it: the naive oracle.
func falls(r Rhythm, origin, d Date) bool {
	at := d.Time()
	last := at.AddDate(0, 0, 1).Day() == 1
	onDay := at.Day() == r.Day || last && at.Day() < r.Day
	switch r.Period {
	case Monthly:
		return onDay
	case Yearly:
		return onDay && at.Month() == time.Month(r.Month)
	case Weekly:
		return at.Weekday() == time.Weekday(r.Day%7)
	default:
		return int(d-origin)%r.Interval == 0
	}
}

func TestCyclesAreThoseOfAnOracleThatLooksAtEveryDay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, from := rhythms(t), dates(t, "from")
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		next := r.First(from)
		for d := from; d < from+2500; d++ {
			if falls(r, from, d) != (d == next) {
				t.Fatalf("%v from %s: the oracle and the rules differ on %s; next is %s", r, from, d, next)
			}
			if d == next {
				next = r.Next(d)
			}
		}
	})
}

func TestNoCycleDriftsAndNoPeriodHasTwo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rhythms(t)
		first := r.First(dates(t, "first"))
		type period struct{ year, part int }
		seen := map[period]Date{}
		for n, c := 0, first; n < 150; n, c = n+1, r.Next(c) {
			if nth := r.Nth(first, n); nth != c {
				t.Fatalf("%v: cycle %d is %s in one step and %s in many", r, n, nth, c)
			}
			if back := r.Nth(c, -1); r.Next(back) != c {
				t.Fatalf("%v: before %s is %s, after that %s", r, c, back, r.Next(back))
			}
			if r.Next(c) <= c {
				t.Fatalf("%v: after %s comes %s", r, c, r.Next(c))
			}
			at := c.Time()
			year, part := at.Year(), int(at.Month())
			switch r.Period {
			case Yearly:
				part = 0
			case Weekly:
				year, part = at.ISOWeek()
			case Days:
				year, part = 0, int(c-first)/r.Interval
			}
			if other, twice := seen[period{year, part}]; twice {
				t.Fatalf("%v: %s and %s are in one period", r, other, c)
			}
			seen[period{year, part}] = c
		}
	})
}
