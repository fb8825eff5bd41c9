package recurrence

import (
	"testing"

	"pgregory.net/rapid"
)

func calendar(t interface{ Fatal(...any) }, rule string, holidays ...string) Calendar {
	c, err := NewCalendar(rule, holidays)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWeekendsAndHolidaysMoveCharges(t *testing.T) {
	t.Parallel()
	holidays := []string{"2025-11-20", "2025-12-25", "2025-12-31", "2026-01-01"}
	tests := []struct{ rule, date, want, why string }{
		{NoMove, "2025-11-01", "2025-11-01", "a Saturday stays"},
		{"", "2025-12-25", "2025-12-25", "nothing said moves nothing"},
		{Following, "2025-10-30", "2025-10-30", "a Thursday"},
		{Following, "2025-11-01", "2025-11-03", "a Saturday"},
		{Following, "2025-11-02", "2025-11-03", "a Sunday"},
		{Following, "2025-11-20", "2025-11-21", "a holiday"},
		{Following, "2025-05-31", "2025-06-02", "into the next month"},
		{Following, "2025-12-31", "2026-01-02", "two holidays, into the next year"},
		{ModifiedFollowing, "2025-11-01", "2025-11-03", "within the month"},
		{ModifiedFollowing, "2025-05-31", "2025-05-30", "a Saturday at the month's end goes back"},
		{ModifiedFollowing, "2025-12-31", "2025-12-30", "a holiday at the year's end goes back"},
		{Preceding, "2025-11-01", "2025-10-31", "a Saturday, into the month before"},
		{Preceding, "2025-11-02", "2025-10-31", "a Sunday"},
		{Preceding, "2026-01-01", "2025-12-30", "two holidays, into the year before"},
	}
	for _, tt := range tests {
		if got := calendar(t, tt.rule, holidays...).Move(on(tt.date)); got.String() != tt.want {
			t.Errorf("%s: %q moves %s to %s, want %s", tt.why, tt.rule, tt.date, got, tt.want)
		}
	}
}

func TestTheDateAfterIsOneThatTheRuleLeaves(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, date, want string }{
		{NoMove, "2025-10-31", "2025-11-01"},
		{Following, "2025-10-30", "2025-10-31"},
		{Following, "2025-10-31", "2025-11-03"},
		{Preceding, "2025-10-30", "2025-10-31"},
		{Preceding, "2025-10-31", "2025-11-03"}, // the Saturday would move back to the date itself
		{Preceding, "2025-11-01", "2025-11-03"}, // and the Sunday before it
		{ModifiedFollowing, "2025-05-30", "2025-06-02"},
	} {
		if got := calendar(t, tt.rule).After(on(tt.date)); got.String() != tt.want {
			t.Errorf("%q: after %s comes %s, want %s", tt.rule, tt.date, got, tt.want)
		}
	}
}

func TestCalendarsThatAreNone(t *testing.T) {
	t.Parallel()
	if _, err := NewCalendar("next", nil); err == nil {
		t.Error(`the rule "next" was taken`)
	}
	if _, err := NewCalendar(Following, []string{"25/12/2025"}); err == nil {
		t.Error("a holiday that is no date was taken")
	}
}

func TestMovedDatesStayWithinBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var holidays []string
		for range rapid.IntRange(0, 40).Draw(t, "holidays") {
			holidays = append(holidays, dates(t, "holiday").String())
		}
		rule := rapid.SampledFrom([]string{NoMove, Following, ModifiedFollowing, Preceding}).Draw(t, "rule")
		c, d := calendar(t, rule, holidays...), dates(t, "date")
		moved := c.Move(d)
		if rule == NoMove {
			if moved != d {
				t.Fatalf("%s moved to %s", d, moved)
			}
			return
		}
		if !c.Business(moved) || c.Move(moved) != moved {
			t.Fatalf("%s moves %s to %s, where it does not stay", rule, d, moved)
		}
		// Nothing between may be a business day; each stretch of them is as long as its weekends and holidays at most.
		low, high := min(d, moved), max(d, moved)
		for between := low + 1; between < high; between++ {
			if c.Business(between) {
				t.Fatalf("%s moves %s to %s over the business day %s", rule, d, moved, between)
			}
		}
		switch rule {
		case Following:
			if moved < d {
				t.Fatalf("following moves %s back to %s", d, moved)
			}
		case Preceding:
			if moved > d {
				t.Fatalf("preceding moves %s on to %s", d, moved)
			}
		case ModifiedFollowing:
			// Back only where on would have left the month.
			ahead := calendar(t, Following, holidays...).Move(d)
			if leaves := ahead.Time().Month() != d.Time().Month(); leaves != (moved < d) {
				t.Fatalf("modified following moves %s to %s; following to %s", d, moved, ahead)
			}
		}
	})
}
