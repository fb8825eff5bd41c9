package recurrence

// Cycle is one turn of a recurrence: its nominal date, which identifies it, and the date that the business-day rule
// moves it to. The zero Cycle is none.
type Cycle struct {
	Date     Date
	ChargeOn Date
}

// Terms are what customer and seller agreed on.
type Terms struct {
	Rhythm
	EndDate   Date // no cycle after it; 0: no end
	MaxCycles int  // no more than these; 0: no limit
}

// Position is where a recurrence stands.
type Position struct {
	Next   Cycle // zero: there is none any more
	Cycles int   // charged or missed so far
}

// Policy is a tenant's rules about late cycles.
type Policy struct {
	Calendar
	CatchUpDays      int
	CleanupAfterDays int
}

// Due is what a local date asks of a recurrence, and where the recurrence stands when that is done.
type Due struct {
	Missed []Cycle // too late to charge by themselves, oldest first
	Charge Cycle   // to be charged now; zero: none
	After  Position
	Left   bool // so late that it is left for the clean-up; nothing else is set
}

// Due works out what a recurrence owes on a local date:
//
//   - A cycle is charged on its charge date or up to CatchUpDays later, the oldest one only. The next overdue one waits for
//     the next day.
//   - One that is later is missed, and with it every further one that lies before today: after a long outage a customer
//     begins anew and is not charged for a backlog day after day. The first one that does not lie before today, by its
//     nominal or by its charge date, is charged when its charge date has come. A cycle that a weekend moved to today is not
//     late and is never missed.
//   - One that is more than CleanupAfterDays late says that the recurrence was forgotten long ago. It is left alone.
//
// The next cycle's charge date is taken as it was stored, so that a tick that comes late or again gives the same rows
// although the calendar was changed since.
func (p Policy) Due(t Terms, at Position, on Date) Due {
	d := Due{After: at}
	next := at.Next
	if next == (Cycle{}) || next.ChargeOn > on {
		return d
	}
	switch late := int(on - next.ChargeOn); {
	case late > p.CleanupAfterDays:
		d.Left = true
		return d
	case late > p.CatchUpDays:
		for d.After.Next != (Cycle{}) && d.After.Next.Date < on && d.After.Next.ChargeOn < on {
			d.Missed = append(d.Missed, d.After.Next)
			d.After = p.Step(t, d.After)
		}
	}
	if next = d.After.Next; next != (Cycle{}) && next.ChargeOn <= on {
		d.Charge = next
		d.After = p.Step(t, d.After)
	}
	return d
}

// Step is the position when the next cycle was charged or missed.
func (p Policy) Step(t Terms, at Position) Position {
	cycles := at.Cycles + 1
	next := t.Next(at.Next.Date)
	if t.MaxCycles > 0 && cycles >= t.MaxCycles || t.EndDate != 0 && next > t.EndDate {
		return Position{Cycles: cycles}
	}
	return Position{Next: p.Cycle(next), Cycles: cycles}
}

// Cycle is the cycle of a nominal date.
func (p Policy) Cycle(nominal Date) Cycle { return Cycle{Date: nominal, ChargeOn: p.Move(nominal)} }
