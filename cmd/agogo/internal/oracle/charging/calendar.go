package charging

import (
	"slices"
	"time"
)

// rhythm says on which days cycles fall. It is only ever asked about one day after the other.
type rhythm struct {
	period               string
	day, month, interval int
}

// on reports whether a cycle falls on a day, by the anchor alone.
func (r rhythm) on(d time.Time) bool {
	last := d.AddDate(0, 0, 1).Day() == 1
	day := d.Day() == r.day || last && d.Day() < r.day
	switch r.period {
	case "monthly":
		return day
	case "yearly":
		return day && int(d.Month()) == r.month
	case "weekly":
		return (int(d.Weekday())+6)%7+1 == r.day
	default: // every so many days: whatever date it is given is one
		return true
	}
}

// after is the cycle after a cycle.
func (r rhythm) after(d time.Time) time.Time {
	if r.period == "days" {
		return d.AddDate(0, 0, r.interval)
	}
	for d = d.AddDate(0, 0, 1); !r.on(d); d = d.AddDate(0, 0, 1) {
	}
	return d
}

// move takes a day off weekends and holidays, onwards.
func (m *Model) move(d time.Time) time.Time {
	for d.Weekday() == time.Saturday || d.Weekday() == time.Sunday || slices.Contains(m.rules.Holidays, d.Format(time.DateOnly)) {
		d = d.AddDate(0, 0, 1)
	}
	return d
}

// cycle is the one that a date of a file means: the one that falls on it, or the newest of those that move to it.
func (m *Model) cycle(r rhythm, date time.Time) *cycle {
	for d := date; m.move(d).Equal(m.move(date)); d = d.AddDate(0, 0, -1) {
		if r.on(d) && (d.Equal(date) || m.move(d).Equal(date)) {
			return &cycle{d, m.move(d)}
		}
	}
	return nil
}

// dateOf is midnight in UTC of a local date: days of a calendar have no zone.
func dateOf(at time.Time) time.Time {
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
}

// days is how many days lie between two dates.
func days(from, to time.Time) int { return int(to.Sub(from) / (24 * time.Hour)) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func text(d time.Time) string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}
