// Package recurrence holds the rules of recurrences: on which dates their cycles fall, where business days move them, what
// a local date asks of them, and what an import may say. It does no I/O.
package recurrence

import (
	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
)

// State is a recurrence's state; the table of transitions is event.Recurrence.
type State string

// The states (DESIGN 4).
const (
	Active    State = "active"
	PastDue   State = "past_due"
	Hold      State = "hold"
	Paused    State = "paused"
	Cancelled State = "cancelled"
	Completed State = "completed"
	Archived  State = "archived"
)

// Codes of reasons that Agogo itself gives for the state of a recurrence.
const (
	CodeExpired        = "expired"         // completed: its next cycle was forgotten long ago
	CodeLastCycle      = "last_cycle"      // completed: nothing is left to charge
	CodeRetriesOver    = "retries_over"    // hold
	CodeHardDecline    = "hard_decline"    // hold
	CodeRequiresAction = "requires_action" // hold: the customer must act
	CodeCardInvalid    = "card_invalid"    // hold: its card was invalidated, perhaps by another recurrence's charge
	CodeByPerson       = "by_person"
	CodeImported       = "imported"
)

// Charges reports whether mornings charge recurrences in a state.
func Charges(s State) bool { return s == Active || s == PastDue }

// Ended reports whether recurrences in a state charge nothing any more, whatever happens.
func Ended(s State) bool { return s == Cancelled || s == Completed || s == Archived }

// DigestID is the identity of a seller's digest of a local date.
func DigestID(tenant, seller string, on Date) uuid.UUID {
	return event.UUID("hold_digest", tenant, seller, on.String())
}
