package charge

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

func on(s string) recurrence.Date {
	d, err := recurrence.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

func wallclub(t interface{ Fatal(...any) }, rule string, holidays ...string) Retries {
	c, err := recurrence.NewCalendar(rule, holidays)
	if err != nil {
		t.Fatal(err)
	}
	return Retries{Calendar: c, Days: []int{1, 3, 7}, Max: 3}
}

// dates lists the retries of a charge that is declined each time on its day.
func dates(r Retries, first string) string {
	var all []string
	last := on(first)
	for tries := 1; ; tries++ {
		next, more := r.Next(on(first), last, tries)
		if !more {
			return strings.Join(all, " ")
		}
		all = append(all, next.String())
		last = next
	}
}

// TestRetriesOfTheSample: D+3 from Thursday 30 October is Sunday 2 November, so the second retry is on Monday the 3rd.
func TestRetriesOfTheSample(t *testing.T) {
	t.Parallel()
	r := wallclub(t, recurrence.Following)
	if got := dates(r, "2025-10-30"); got != "2025-10-31 2025-11-03 2025-11-06" {
		t.Errorf("retries on %s", got)
	}
	if r.Over(3) || !r.Over(4) {
		t.Error("the first attempt and three retries are not four tries")
	}
}

func TestRetryDates(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rule, first, want string
		holidays                []string
	}{
		{"weekdays", recurrence.Following, "2025-11-03", "2025-11-04 2025-11-06 2025-11-10", nil},
		{"two on one Monday go on two days", recurrence.Following, "2025-11-07", "2025-11-10 2025-11-11 2025-11-14", nil},
		{"holidays", recurrence.Following, "2025-12-24", "2025-12-26 2025-12-29 2026-01-02", []string{"2025-12-25", "2025-12-31", "2026-01-01"}},
		{"none", recurrence.NoMove, "2025-10-31", "2025-11-01 2025-11-03 2025-11-07", nil},
		{"preceding never goes back to the day of the attempt", recurrence.Preceding, "2025-10-31", "2025-11-03 2025-11-04 2025-11-07", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := dates(wallclub(t, tt.rule, tt.holidays...), tt.first); got != tt.want {
				t.Errorf("retries on %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRetriesEndWithTheirDaysOrTheirNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		r    Retries
		last int // tries that still have a retry
	}{
		{Retries{Days: []int{1, 3, 7}, Max: 3}, 3},
		{Retries{Days: []int{1, 3, 7}, Max: 1}, 1},
		{Retries{Days: []int{1, 3}, Max: 5}, 2},
		{Retries{Days: []int{1, 3, 7}, Max: 0}, 0},
		{Retries{Max: 3}, 0},
	} {
		for tries := 1; tries < 8; tries++ {
			soft := Outcome{State: FailedSoft, Declined: true, Card: CardDeclined}
			o, next := tt.r.Declined(soft, on("2025-10-30"), on("2025-10-30"), tries)
			if more := tries <= tt.last; (o.State == FailedSoft) != more || (next != 0) != more {
				t.Errorf("%+v after %d tries: %s, next on %s", tt.r, tries, o.State, next)
			}
		}
	}
	// What is no soft decline has no retry.
	for _, o := range []Outcome{{State: FailedHard, Declined: true}, {State: Succeeded}, {State: FailedSoft, Again: true}} {
		if got, next := (Retries{Days: []int{1}, Max: 1}).Declined(o, on("2025-10-30"), on("2025-10-30"), 1); got != o || next != 0 {
			t.Errorf("%+v became %+v, next on %s", o, got, next)
		}
	}
}

func TestRetriesAreOnDifferentDaysAndNotBeforeTheirDay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom([]string{recurrence.NoMove, recurrence.Following, recurrence.ModifiedFollowing, recurrence.Preceding}).Draw(t, "rule")
		r := wallclub(t, rule)
		first := on("2025-01-01") + recurrence.Date(rapid.IntRange(0, 1000).Draw(t, "first"))
		last := first
		for tries := 1; !r.Over(tries); tries++ {
			next, _ := r.Next(first, last, tries)
			if next <= last {
				t.Fatalf("after an attempt on %s the next is on %s", last, next)
			}
			if rule != recurrence.NoMove && !r.Calendar.Business(next) {
				t.Fatalf("%s after %s is no business day", next, last)
			}
			plain := first + recurrence.Date(r.Days[tries-1])
			if rule == recurrence.Following && next < plain {
				t.Fatalf("%d days after %s became %s", r.Days[tries-1], first, next)
			}
			for d := max(plain, last+1); d < next; d++ {
				if rule == recurrence.NoMove || r.Calendar.Business(d) {
					t.Fatalf("%d days after %s, answered on %s, became %s though %s is free", r.Days[tries-1], first, last, next, d)
				}
			}
			last = next + recurrence.Date(rapid.IntRange(0, 5).Draw(t, "late")) // an outage between
		}
	})
}
