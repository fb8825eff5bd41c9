// Package charge holds the rules of charges: identity, what an answer of a gateway means for a charge, its recurrence and
// its card, when a declined one is tried again, and how often card networks allow it. It does no I/O.
package charge

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// State is a charge's state; the table of transitions is event.Charge.
type State string

// The states (DESIGN 4). What comes after a success, a refund or a dispute, is no state but a
// record of its own; see [TakenBack].
const (
	Due            State = "due"
	Submitting     State = "submitting"
	Processing     State = "processing"
	Unknown        State = "unknown"
	ManualReview   State = "manual_review"
	Succeeded      State = "succeeded"
	FailedSoft     State = "failed_soft"
	FailedHard     State = "failed_hard"
	RequiresAction State = "requires_action"
	Exhausted      State = "exhausted"
	Cancelled      State = "cancelled"
)

// Unresolved lists the states in which a charge may still take money by itself, or may have taken it: while a recurrence has
// one of these it is neither charged for another cycle nor cleaned up.
func Unresolved() []State { return []State{Due, Submitting, Processing, Unknown, ManualReview} }

// Open lists the states of charges that are not paid and that a new card, or a person, may have sent at once.
func Open() []State { return []State{Due, FailedSoft, FailedHard, RequiresAction, Exhausted} }

// ID is the identity of a charge: a cycle, by its nominal date, has one, however often it is planned.
func ID(tenant, recurrence, cycle string) uuid.UUID {
	return event.UUID("charge", tenant, recurrence, cycle)
}

// Reference is what a gateway knows an attempt by. It follows from charge and number alone and is committed before the call.
// Gateways ask for letters and digits, and Cielo for 50 at most.
func Reference(id uuid.UUID, attempt int) string {
	return hex.EncodeToString(id[:]) + fmt.Sprintf("%02d", attempt)
}

// ahead is how many days before its cycle a charge may be made up: gateways may need ten, and the calendar that moves charge dates
// may have been another one.
const ahead = 14

// MadeUp is the first day on which the charge of a cycle can have been made up, as midnight in UTC.
func MadeUp(c recurrence.Cycle) time.Time {
	return min(c.Date, c.ChargeOn).Time().AddDate(0, 0, -ahead)
}
