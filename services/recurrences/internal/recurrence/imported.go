package recurrence

import (
	"fmt"
	"slices"
	"time"
)

// Imported is what an import says of a recurrence beside whom and what it charges.
type Imported struct {
	State          State
	Terms          Terms
	NextChargeDate Date
	FailedAttempts int
	EndedAt        time.Time // zero: not told
}

// Position checks an import and works out where the recurrence stands. The error names the column and what to write.
//
// A recurrence that has ended has no next cycle, whatever date its old system left in it. Any other one needs its date:
// also one that is paused or on hold, which would not know where to go on.
func (p Policy) Position(in Imported, now time.Time) (Position, error) {
	if err := in.check(now); err != nil {
		return Position{}, err
	}
	if Ended(in.State) {
		return Position{}, nil
	}
	next, err := p.Locate(in.Terms.Rhythm, in.NextChargeDate)
	if err != nil {
		return Position{}, fmt.Errorf("next_charge_date: %w", err)
	}
	if in.Terms.EndDate != 0 && next.Date > in.Terms.EndDate {
		return Position{}, fmt.Errorf("end_date %s is before its next cycle %s: import it as completed, or correct one of them", in.Terms.EndDate, next.Date)
	}
	return Position{Next: next}, nil
}

func (in Imported) check(now time.Time) error {
	states := []State{Active, PastDue, Hold, Paused, Cancelled, Completed}
	switch {
	case !slices.Contains(states, in.State):
		return fmt.Errorf("status %q is none of %v", in.State, states)
	case in.FailedAttempts < 0:
		return fmt.Errorf("failed_attempts %d: write 0 or more", in.FailedAttempts)
	case in.Terms.MaxCycles < 0:
		return fmt.Errorf("max_cycles %d: write how many cycles are left, or nothing for no limit", in.Terms.MaxCycles)
	case !in.EndedAt.IsZero() && !Ended(in.State):
		return fmt.Errorf("ended_at is set although the status is %s: leave it empty, or import it as cancelled or completed", in.State)
	case in.EndedAt.After(now):
		return fmt.Errorf("ended_at %s has not come yet", in.EndedAt.Format(time.RFC3339))
	case in.NextChargeDate == 0 && !Ended(in.State):
		return fmt.Errorf("next_charge_date is empty: a recurrence that is %s needs it", in.State)
	}
	return in.Terms.Check()
}

// Locate finds the cycle that a date means: the one that falls on it, or the one that the calendar moves to it. A date that
// is neither is refused, for a guess could charge one period twice.
func (p Policy) Locate(r Rhythm, date Date) (Cycle, error) {
	after := r.First(date)
	if after == date {
		return p.Cycle(date), nil
	}
	before := r.Nth(after, -1)
	for _, nominal := range []Date{before, after} {
		if c := p.Cycle(nominal); c.ChargeOn == date {
			return c, nil
		}
	}
	return Cycle{}, fmt.Errorf("%s is no date of this rhythm: write %s or %s", date, before, after)
}
