package charge

import (
	"slices"

	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

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
	// OldCard: it was on a card that has been replaced meanwhile, by one that is not known to be of no use, and nothing keeps it
	// from being sent.
	OldCard bool
	// ForCard: it is on hold for want of a card that works; see [HeldForCard].
	ForCard bool
}

// The codes of charges that nothing sends by itself any more.
const (
	CodeTooLate = "too_late"         // exhausted: nothing could be sent for so long that a person is to decide
	CodeEnded   = "recurrence_ended" // cancelled
)

// HeldForCard reports whether a hold of a reason is one that a new card ends.
func HeldForCard(code string) bool {
	return slices.Contains([]string{
		recurrence.CodeCardInvalid, recurrence.CodeHardDecline, recurrence.CodeRetriesOver, recurrence.CodeRequiresAction, recurrence.CodeImported,
	}, code)
}

// Over reports whether a recurrence has ended and nobody may have a charge of it sent. After its last cycle people may: a
// cycle that was missed is still owed.
func Over(state recurrence.State, code string) bool {
	return recurrence.Ended(state) && (state != recurrence.Completed || code != recurrence.CodeLastCycle)
}

// Cancellable lists the states that the table lets be cancelled.
func Cancellable() []State { return []State{Due, FailedSoft, RequiresAction} }

// TriesNewCard reports whether an outcome is followed at once by an attempt with the card that was given meanwhile.
func (s Standing) TriesNewCard(o Outcome) bool {
	return o.Declined && !o.TakenBack && s.OldCard && (recurrence.Charges(s.State) || s.State == recurrence.Hold)
}

// StillToTry reports whether a charge that nobody can tell of which card it was declined for is sent with the one that it has now: unless its
// send goes on by itself, or the recurrence is not charged.
func (s Standing) StillToTry(wanted bool) bool {
	return !wanted && !s.CardInvalid && (recurrence.Charges(s.State) || s.State == recurrence.Hold)
}

// LeftToNewCard reports whether what an outcome has go again would not be sent: its recurrence went on hold meanwhile, and only the card that
// was given since has it sent.
func (s Standing) LeftToNewCard(o Outcome) bool {
	return o.Again && !s.Asked && s.OldCard && s.State == recurrence.Hold
}

// After is the recurrence's state once a charge of it has come to a state by an answer, and the code of the reason. A
// recurrence that a person paused, or that has ended, stays as it is; the last cycle's completion is the store's to see.
func (s Standing) After(o Outcome) (recurrence.State, string) {
	charges := recurrence.Charges(s.State)
	switch {
	case o.State == Succeeded:
		return s.paid(), ""
	case s.TriesNewCard(o): // what the old card says holds nothing
		if s.State == recurrence.Active {
			return recurrence.PastDue, ""
		}
		return s.State, ""
	case !charges || !o.Declined:
		return s.State, ""
	}
	switch o.State {
	case FailedSoft:
		if s.NewCard && o.Card != CardUntouched { // it gets one attempt; what never asked it is retried
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

// paid: what was behind is paid, unless something else is not. An attempt that somebody asked for ends a hold; a doubt that
// resolves itself does so only when the hold waited for a card, and has one.
func (s Standing) paid() recurrence.State {
	switch {
	case s.OthersUnpaid:
		return s.State
	case s.State == recurrence.PastDue, s.State == recurrence.Hold && !s.CardInvalid && (s.Asked || s.OldCard && s.ForCard):
		return recurrence.Active
	default:
		return s.State
	}
}
