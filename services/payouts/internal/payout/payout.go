// Package payout holds the rules of payouts: identity, amounts, states, what may follow what. It does no I/O.
package payout

import (
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

// State is a payout's state; the table of transitions is event.Payout.
type State string

// The states (DESIGN 4).
const (
	Created          State = "created"
	Skipped          State = "skipped"
	AwaitingApproval State = "awaiting_approval"
	Approved         State = "approved"
	Rejected         State = "rejected"
	Held             State = "held"
	Submitting       State = "submitting"
	Processing       State = "processing"
	Unknown          State = "unknown"
	ManualReview     State = "manual_review"
	Succeeded        State = "succeeded"
	Failed           State = "failed"
	Reversed         State = "reversed"
	Cancelled        State = "cancelled"
)

// Reason says why a payout is in its state.
type Reason struct {
	Class        string
	Scope        string
	Code         string
	ProviderCode string
}

// Payout is one transfer to one payee for one period.
type Payout struct {
	ID          uuid.UUID
	Tenant      string
	PayeeID     string
	RunID       uuid.UUID
	BatchID     uuid.UUID
	Page        int
	PeriodDate  string // YYYY-MM-DD
	Kind        string
	Seq         int
	State       State
	Previous    State
	Reason      Reason
	Gross       money.Amount
	Commission  money.Amount
	Net         money.Amount
	Fee         *money.Amount
	ItemCount   int
	Provider    string
	Destination string
	Attempt     int
	Counted     int
	Reference   string
	RetryAt     *time.Time
	// Contradicted is set once the provider says of a closed attempt that money moved, or may yet: the payout is never
	// sent again and keeps its items.
	Contradicted bool
	// ApprovalsNeeded is what the tiers asked for when it was planned, Approvals how many people have agreed since.
	ApprovalsNeeded   int
	Approvals         int
	ApprovalExpiresAt *time.Time
	NominalTime       time.Time
	Version           int64
}

// ID is the identity of a payout: planning twice gives the same one.
func ID(tenant, payee, periodDate, kind string, seq int) uuid.UUID {
	return event.UUID("payout", tenant, payee, periodDate, kind, strconv.Itoa(seq))
}

// Reference is the provider reference of an attempt: a UUID, which every provider accepts, that follows from payout and
// number alone. It is committed before the call and never made again differently.
func Reference(id uuid.UUID, attempt int) string {
	return event.UUID("attempt", id.String(), strconv.Itoa(attempt)).String()
}

// Releases reports whether entering a state always frees the payout's items: it ended without paying them. A failure that
// is tried again keeps them.
func Releases(to State, retries bool) bool {
	switch to {
	case Skipped, Rejected, Cancelled, Reversed:
		return true
	case Failed:
		return !retries
	default:
		return false
	}
}

// MayRelease reports whether items may be freed on entering a state: never where the money moved or may have moved.
func MayRelease(to State) bool { return Releases(to, false) }

// AcceptFrom is the first instant of a local date: payments completed before it are the old system's to pay. "" accepts
// all. A date that is none accepts nothing, rather than paying what may have been paid.
func AcceptFrom(date string, loc *time.Location) time.Time {
	if date == "" {
		return time.Time{}
	}
	d, err := time.ParseInLocation(time.DateOnly, date, loc)
	if err != nil {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return d
}

// Known reports whether the state table has a state.
func Known(s State) bool { return s != "" && slices.Contains(event.Payout.States(), string(s)) }
