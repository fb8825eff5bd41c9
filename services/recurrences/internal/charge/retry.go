package charge

import "github.com/agogopay/agogo/services/recurrences/internal/recurrence"

// Retries is a tenant's rule for declined charges.
type Retries struct {
	Calendar recurrence.Calendar
	Days     []int // after the day of the first attempt
	Max      int
	CatchUp  int // days that a send may be late and still go by itself
}

// Next is the date of the next retry of a charge that was declined tries times, or false when its retries are over. The kth
// retry is Days[k-1] after the first attempt, moved by the calendar; it is counted from the first attempt and not from the
// last, so that a retry which a weekend moved does not move those behind it. A charge is never tried twice a day, nor promised
// for a day that is over, so none is on or before the date on which the last attempt was answered, and the calendar moves that too.
func (r Retries) Next(first, answered recurrence.Date, tries int) (recurrence.Date, bool) {
	if r.Over(tries) {
		return 0, false
	}
	on := r.Calendar.Move(first + recurrence.Date(r.Days[max(tries, 1)-1]))
	if on <= answered {
		on = r.Calendar.After(answered)
	}
	return on, true
}

// Over reports whether the retries of a charge that was declined tries times are over: the first attempt and Max retries,
// or as many as there are days for.
func (r Retries) Over(tries int) bool { return max(tries, 1) > min(r.Max, len(r.Days)) }

// Until is the last date on which a charge is sent by itself: CatchUp days after its charge date, and once it was attempted
// as many after the last day of its retries. Later it is a person's to send: whoever is charged out of the blue, a month after
// the day that they agreed to, disputes it.
func (r Retries) Until(chargeOn, first recurrence.Date) recurrence.Date {
	last := chargeOn
	if first != 0 {
		last = first
		if n := min(r.Max, len(r.Days)); n > 0 {
			last = max(first, r.Calendar.Move(first+recurrence.Date(r.Days[n-1])))
		}
	}
	return last + recurrence.Date(r.CatchUp)
}

// Declined is what a decline makes of a charge that was declined tries times with it: its outcome, exhausted when the retries
// are over, and the date of the next one otherwise.
func (r Retries) Declined(o Outcome, first, answered recurrence.Date, tries int) (Outcome, recurrence.Date) {
	if o.State != FailedSoft || !o.Declined {
		return o, 0
	}
	on, more := r.Next(first, answered, tries)
	if !more {
		o.State = Exhausted
	}
	return o, on
}
