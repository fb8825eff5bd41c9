package recurrence

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wallclub is the policy of the sample data.
func wallclub(t interface{ Fatal(...any) }) Policy {
	return Policy{Calendar: calendar(t, Following), CatchUpDays: 7, CleanupAfterDays: 180}
}

// says tells a Due in words: missed cycles, the charge, where it goes on.
func says(d Due) string {
	var b strings.Builder
	for _, c := range d.Missed {
		fmt.Fprintf(&b, "missed %s, ", c.Date)
	}
	if d.Left {
		b.WriteString("left, ")
	}
	if d.Charge != (Cycle{}) {
		fmt.Fprintf(&b, "charge %s, ", d.Charge.Date)
	}
	fmt.Fprintf(&b, "next %s", d.After.Next.Date)
	if d.After.Next.ChargeOn != d.After.Next.Date {
		fmt.Fprintf(&b, " on %s", d.After.Next.ChargeOn)
	}
	return b.String()
}

func TestWhatALocalDateAsks(t *testing.T) {
	t.Parallel()
	monthly := func(day int) Terms { return Terms{Rhythm: Rhythm{Period: Monthly, Day: day}} }
	weekly := Terms{Rhythm: Rhythm{Period: Weekly, Day: 4}}
	tests := []struct {
		name     string
		terms    Terms
		next, on string
		want     string
	}{
		{"its day", monthly(30), "2025-10-30", "2025-10-30", "charge 2025-10-30, next 2025-11-30 on 2025-12-01"},
		{"the day before", monthly(30), "2025-10-30", "2025-10-29", "next 2025-10-30"},
		{"a Saturday waits for Monday", monthly(1), "2025-11-01", "2025-11-02", "next 2025-11-01 on 2025-11-03"},
		{"and is charged then", monthly(1), "2025-11-01", "2025-11-03", "charge 2025-11-01, next 2025-12-01"},
		{"a day of outage", monthly(29), "2025-10-29", "2025-10-30", "charge 2025-10-29, next 2025-11-29 on 2025-12-01"},
		{"seven days late is the last that is charged", monthly(23), "2025-10-23", "2025-10-30", "charge 2025-10-23, next 2025-11-23 on 2025-11-24"},
		{"eight days of outage", monthly(22), "2025-10-22", "2025-10-30", "missed 2025-10-22, next 2025-11-22 on 2025-11-24"},
		{"lateness counts from the charge date", monthly(25), "2025-10-25", "2025-11-03", "charge 2025-10-25, next 2025-11-25"},
		{"eight days of outage of a weekly one", weekly, "2025-10-16", "2025-10-24", "missed 2025-10-16, missed 2025-10-23, next 2025-10-30"},
		{"eight days of outage, today is one", weekly, "2025-10-16", "2025-10-30", "missed 2025-10-16, missed 2025-10-23, charge 2025-10-30, next 2025-11-06"},
		{
			"a day of outage of a daily one takes one cycle a day",
			Terms{Rhythm: Rhythm{Period: Days, Interval: 1}},
			"2025-10-29", "2025-10-30",
			"charge 2025-10-29, next 2025-10-30",
		},
		{
			"a month's outage begins anew, also where the newest cycle is only two days late", monthly(31), "2025-01-31", "2025-03-02",
			"missed 2025-01-31, missed 2025-02-28, next 2025-03-31",
		},
		{"180 days", monthly(3), "2025-05-03", "2025-11-01", "missed 2025-05-03, missed 2025-06-03, missed 2025-07-03, missed 2025-08-03, missed 2025-09-03, missed 2025-10-03, next 2025-11-03"},
		{"200 days", monthly(13), "2025-04-13", "2025-10-30", "left, next 2025-04-13 on 2025-04-14"},
		{"the last cycle", Terms{Rhythm: Rhythm{Period: Monthly, Day: 30}, EndDate: on("2025-11-29")}, "2025-10-30", "2025-10-30", "charge 2025-10-30, next "},
		{"the end date itself is charged", Terms{Rhythm: Rhythm{Period: Monthly, Day: 30}, EndDate: on("2025-10-30")}, "2025-10-30", "2025-10-30", "charge 2025-10-30, next "},
		{"the next one is on the end date", Terms{Rhythm: Rhythm{Period: Monthly, Day: 30}, EndDate: on("2025-11-30")}, "2025-10-30", "2025-10-30", "charge 2025-10-30, next 2025-11-30 on 2025-12-01"},
		{"missed to the end", Terms{Rhythm: Rhythm{Period: Weekly, Day: 4}, EndDate: on("2025-10-22")}, "2025-10-09", "2025-10-30", "missed 2025-10-09, missed 2025-10-16, next "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := wallclub(t)
			at := Position{Next: p.Cycle(on(tt.next))}
			d := p.Due(tt.terms, at, on(tt.on))
			if diff := cmp.Diff(tt.want, says(d)); diff != "" {
				t.Errorf("on %s (-want +got):\n%s", tt.on, diff)
			}
		})
	}
}

// TestACycleThatAWeekendMovedToTodayIsNotMissed: what is behind is too late, but 1 November is charged on Monday the 3rd and
// so is not late at all. On Sunday it has not even come.
func TestACycleThatAWeekendMovedToTodayIsNotMissed(t *testing.T) {
	t.Parallel()
	p, terms := wallclub(t), Terms{Rhythm: Rhythm{Period: Monthly, Day: 1}}
	at := Position{Next: p.Cycle(on("2025-10-01"))}
	if got := says(p.Due(terms, at, on("2025-11-03"))); got != "missed 2025-10-01, charge 2025-11-01, next 2025-12-01" {
		t.Errorf("on Monday: %s", got)
	}
	if got := says(p.Due(terms, at, on("2025-11-02"))); got != "missed 2025-10-01, next 2025-11-01 on 2025-11-03" {
		t.Errorf("on Sunday: %s", got)
	}
}

// TestACycleThatAWeekendMovedToThePastIsChargedToday: preceding moves Sunday's cycle to Friday; on Saturday it is due.
func TestACycleThatAWeekendMovedToThePastIsChargedToday(t *testing.T) {
	t.Parallel()
	p := Policy{Calendar: calendar(t, Preceding), CleanupAfterDays: 180}
	d := p.Due(Terms{Rhythm: Rhythm{Period: Monthly, Day: 2}}, Position{Next: p.Cycle(on("2025-11-02"))}, on("2025-11-01"))
	if got := says(d); got != "charge 2025-11-02, next 2025-12-02" {
		t.Errorf("on Saturday: %s", got)
	}
}

func TestCyclesAreCountedToTheirMost(t *testing.T) {
	t.Parallel()
	p := wallclub(t)
	terms := Terms{Rhythm: Rhythm{Period: Weekly, Day: 4}, MaxCycles: 4}
	d := p.Due(terms, Position{Next: p.Cycle(on("2025-10-02")), Cycles: 1}, on("2025-10-20"))
	if got := says(d); got != "missed 2025-10-02, missed 2025-10-09, missed 2025-10-16, next " || d.After.Cycles != 4 {
		t.Errorf("%s, %d cycles", got, d.After.Cycles)
	}
	if again := p.Due(terms, d.After, on("2026-10-20")); says(again) != "next " {
		t.Errorf("after the last cycle: %s", says(again))
	}
}

// TestEveryCycleIsChargedOrMissedOnceOrLeft runs a recurrence day by day, with outages, beside an oracle that knows only which
// days cycles fall on and how the rules speak about lateness.
func TestEveryCycleIsChargedOrMissedOnceOrLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom([]string{NoMove, Following, ModifiedFollowing, Preceding}).Draw(t, "rule")
		p := Policy{Calendar: calendar(t, rule), CatchUpDays: rapid.IntRange(0, 10).Draw(t, "catch-up"), CleanupAfterDays: rapid.IntRange(20, 180).Draw(t, "clean-up")}
		terms := Terms{Rhythm: rhythms(t), MaxCycles: rapid.IntRange(0, 30).Draw(t, "most")}
		start := terms.First(dates(t, "start"))
		if rapid.Bool().Draw(t, "ends") {
			terms.EndDate = start + Date(rapid.IntRange(0, 800).Draw(t, "end"))
		}
		at, today := Position{Next: p.Cycle(start)}, start-3
		var taken []Date
		for range rapid.IntRange(1, 300).Draw(t, "days") {
			if rapid.IntRange(0, 30).Draw(t, "trouble") == 0 {
				today += Date(rapid.IntRange(1, 60).Draw(t, "outage"))
			}
			d := p.Due(terms, at, today)
			if again := p.Due(terms, at, today); !cmp.Equal(d, again) {
				t.Fatalf("asked twice on %s: %v and %v", today, d, again)
			}
			check(t, p, at, d, today)
			for _, c := range d.Missed {
				taken = append(taken, c.Date)
			}
			if d.Charge != (Cycle{}) {
				taken = append(taken, d.Charge.Date)
			}
			if d.Left {
				break
			}
			at = d.After
			today++
		}
		// The oracle: the cycles from the start, as days of the calendar say, and the one after those that were taken.
		want := []Date{}
		for d := start; len(want) <= len(taken) && d < today+800; d++ {
			if falls(terms.Rhythm, start, d) && (terms.EndDate == 0 || d <= terms.EndDate) && (terms.MaxCycles == 0 || len(want) < terms.MaxCycles) {
				want = append(want, d)
			}
		}
		if at.Next != (Cycle{}) {
			taken = append(taken, at.Next.Date)
			at.Cycles++
		}
		if !slices.Equal(want, taken) || at.Cycles != len(taken) {
			t.Fatalf("taken and to come %v (%d counted), want %v", taken, at.Cycles, want)
		}
	})
}

// check holds one day's Due against the words of the rule.
func check(t *rapid.T, p Policy, at Position, d Due, today Date) {
	next := at.Next
	late := int(today - next.ChargeOn)
	switch {
	case next == (Cycle{}) || late < 0, late > p.CleanupAfterDays:
		if len(d.Missed) > 0 || d.Charge != (Cycle{}) || d.After != at || d.Left != (next != (Cycle{}) && late > p.CleanupAfterDays) {
			t.Fatalf("on %s, next %v: %v", today, next, d)
		}
	case late <= p.CatchUpDays:
		if len(d.Missed) > 0 || d.Charge != next {
			t.Fatalf("on %s, next %v is in time: %v", today, next, d)
		}
	}
	for _, c := range d.Missed {
		if c.Date >= today || c.ChargeOn >= today {
			t.Fatalf("on %s, %v was missed before it came", today, c)
		}
	}
	if d.Charge.ChargeOn > today {
		t.Fatalf("on %s, %v was charged before it came", today, d.Charge)
	}
	if d.After.Next != (Cycle{}) && d.After.Next.Date <= at.Next.Date && d.After != at {
		t.Fatalf("on %s the plan went from %v to %v", today, at, d.After)
	}
}
