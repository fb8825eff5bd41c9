package charge

import "github.com/agogopay/agogo/services/recurrences/internal/recurrence"

// Standing is what matters of a recurrence when one of its charges has come to a new state.
type Standing struct {
	State recurrence.State
	// OthersUnpaid: another charge of it was declined and is still not paid.
	OthersUnpaid bool
	// CardInvalid: its card will not work again.
	CardInvalid bool
	// Asked: the attempt was a person's, or the one that a new card gets.
	Asked bool
	// NewCard: it was the one that a new card gets.
	NewCard bool
}

// After is the recurrence's state once a charge of it has come to a state by an answer, and the code of the reason. A
// recurrence that a person paused, or that has ended, stays as it is; the last cycle's completion is the store's to see.
func (s Standing) After(o Outcome) (recurrence.State, string) {
	charges := recurrence.Charges(s.State)
	switch {
	case o.State == Succeeded:
		return s.paid(), ""
	case !charges || !o.Declined:
		return s.State, ""
	}
	switch o.State {
	case FailedSoft:
		if s.NewCard { // it gets one attempt
			return recurrence.Hold, recurrence.CodeRetriesOver
		}
		return recurrence.PastDue, ""
	case Exhausted:
		return recurrence.Hold, recurrence.CodeRetriesOver
	case RequiresAction:
		return recurrence.Hold, recurrence.CodeRequiresAction
	case FailedHard:
		if o.Card == CardInvalidate {
			return recurrence.Hold, recurrence.CodeCardInvalid
		}
		return recurrence.Hold, recurrence.CodeHardDecline
	default:
		return s.State, ""
	}
}

// paid: what was behind is paid, unless something else is not. Only an attempt that somebody asked for ends a hold; a doubt
// that resolves itself does not, for the hold has another cause.
func (s Standing) paid() recurrence.State {
	switch {
	case s.OthersUnpaid:
		return s.State
	case s.State == recurrence.PastDue, s.State == recurrence.Hold && s.Asked && !s.CardInvalid:
		return recurrence.Active
	default:
		return s.State
	}
}
