package recurrence

import (
	"fmt"
	"time"
)

// Period is the unit of a [Rhythm].
type Period string

// The periods.
const (
	Monthly Period = "monthly"
	Yearly  Period = "yearly"
	Weekly  Period = "weekly"
	Days    Period = "days"
)

// Rhythm says on which dates cycles fall. A date that a month does not have becomes the month's last one, and the anchor
// is kept: 31 gives 31 January, 28 February, 31 March. Every cycle is worked out from the anchor and not from the cycle
// before it, so that none of them drifts.
type Rhythm struct {
	Period   Period
	Day      int // monthly, yearly: day of the month; weekly: ISO day
	Month    int // yearly
	Interval int // days: from one cycle to the next
}

// Check says what is wrong with a rhythm that comes from outside, by the names of the import's columns.
func (r Rhythm) Check() error {
	switch r.Period {
	case Monthly:
		return within("anchor_day", r.Day, 31, "the day of the month")
	case Weekly:
		return within("anchor_day", r.Day, 7, "the ISO day, 1 for Monday to 7 for Sunday,")
	case Days:
		return within("interval_days", r.Interval, maxInterval, "the number of days")
	case Yearly:
		if err := within("anchor_month", r.Month, 12, "the month"); err != nil {
			return err
		}
		if most := daysIn(leapYear, time.Month(r.Month)); r.Day < 1 || r.Day > most {
			return fmt.Errorf("anchor_day %d: %s has the days 1 to %d", r.Day, time.Month(r.Month), most)
		}
		return nil
	default:
		return fmt.Errorf("period %q is none of %s, %s, %s, %s", r.Period, Monthly, Yearly, Weekly, Days)
	}
}

// leapYear is any year with a 29 February.
const leapYear = 2024

// maxInterval keeps dates far from the end of what a Date can count.
const maxInterval = 3660

func within(name string, value, most int, what string) error {
	if value < 1 || value > most {
		return fmt.Errorf("%s %d: write %s from 1 to %d", name, value, what, most)
	}
	return nil
}

// Nth is the nth cycle after a cycle (before it, for a negative n).
func (r Rhythm) Nth(cycle Date, n int) Date {
	switch r.Period {
	case Weekly:
		return cycle + Date(7*n)
	case Days:
		return cycle + Date(r.Interval*n)
	default:
		year, month, _ := cycle.Time().Date()
		if r.Period == Yearly {
			return r.in(year+n, time.Month(r.Month))
		}
		return r.in(year, month+time.Month(n))
	}
}

// Next is the cycle after a cycle.
func (r Rhythm) Next(cycle Date) Date { return r.Nth(cycle, 1) }

// First is the first cycle on or after a date. A rhythm of days has no anchor but its cycles; its first is the date itself.
func (r Rhythm) First(from Date) Date {
	switch r.Period {
	case Weekly:
		return from + Date((r.Day-from.ISODay()+7)%7)
	case Days:
		return from
	default:
		year, month, _ := from.Time().Date()
		cycle := r.in(year, month)
		if r.Period == Yearly {
			cycle = r.in(year, time.Month(r.Month))
		}
		if cycle < from {
			return r.Next(cycle)
		}
		return cycle
	}
}

// in is the anchor's day in a month, or the month's last one. The month may run over the year's end.
func (r Rhythm) in(year int, month time.Month) Date {
	first := DateOf(year, month, 1).Time()
	return DateOf(first.Year(), first.Month(), min(r.Day, daysIn(first.Year(), first.Month())))
}
