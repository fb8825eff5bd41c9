// Package attempt keeps the tries to move money: each is a row, committed with its provider reference before the call,
// recorded once when the answer comes, taken over when it does not, and asked about until its outcome is proven. What an
// answer means is decided by one pure function, Decide.
package attempt

import (
	"embed"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/attempt/db"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the attempts table.
var Migrations = pg.Set{Name: "attempt", FS: migrations, Dir: "migrations"}

// State is what is known of an attempt.
type State string

// The states. NotSent is proven never to have reached the provider: its reference may go again.
const (
	Submitting   State = "submitting"
	Processing   State = "processing"
	Unknown      State = "unknown"
	ManualReview State = "manual_review"
	Succeeded    State = "succeeded"
	Failed       State = "failed"
	NotSent      State = "not_sent"
)

// Open reports whether the outcome is outstanding and asked about.
func (s State) Open() bool { return s == Processing || s == Unknown || s == ManualReview }

// Closed reports whether the outcome is proven.
func (s State) Closed() bool { return s == Succeeded || s == Failed || s == NotSent }

// MustTell is what an answer has to tell of an attempt before it is believed. What was made up from what a provider has is no more than a
// reference; an ordinary attempt was sent by us, and "" asks nothing.
type MustTell string

// What may be asked for. Card gateways do not tell whom they charged.
const (
	MustTellAmount MustTell = "amount"
	MustTellPayee  MustTell = "payee" // and the amount
)

// Key names an attempt.
type Key struct {
	Subject uuid.UUID // the payout or charge
	Number  int
}

// Attempt is one try.
type Attempt struct {
	Key
	Tenant        string
	Provider      string
	Reference     string
	Amount        money.Amount
	Destination   string
	State         State
	Class         string
	Scope         string
	Code          string
	ProviderCode  string
	ProviderID    string
	Fee           *int64
	Sends         int  // how often this reference was begun
	Reached       bool // an earlier one of them may have come to the provider
	SubmittedAt   time.Time
	Accepted      bool // the provider has had it at some time
	OpenedAt      *time.Time
	DoubtedAt     *time.Time // in doubt once more since then; see [Doubt]
	DeniedAt      *time.Time // it was proven last then that the provider knows nothing of it
	ClosedAt      *time.Time
	NextLookupAt  *time.Time
	Lookups       int
	LookedUpAt    *time.Time
	AbsentReads   int
	FirstAbsentAt *time.Time
	MustTell      MustTell   // what an answer has to tell of it
	TakeBackAt    *time.Time // the provider was asked to give it back, and nobody knows yet whether it has
	Behind        int        // how many attempts right before it were refused without a trace at the provider
	Told          int64      // what the provider told last that it moves, where nothing else follows from what it tells; 0: nothing
	Version       int64
}

// Transfer is what the adapter is asked to do or to look for.
func (a Attempt) Transfer(description string) provider.Transfer {
	return provider.Transfer{
		Tenant: a.Tenant, Reference: a.Reference, Amount: a.Amount, Destination: a.Destination,
		Description: description, Resend: a.Reached, SubmittedAt: a.SubmittedAt,
		ProviderID: a.ProviderID,
	}
}

func fromRow(r db.Attempt) Attempt {
	return Attempt{
		Key:    Key{Subject: r.SubjectID, Number: int(r.Number)},
		Tenant: r.Tenant, Provider: r.Provider, Reference: r.Reference,
		Amount: money.Amount{Minor: r.Amount, Currency: money.Currency(r.Currency)}, Destination: r.Destination,
		State: State(r.State), Class: r.Class, Scope: r.Scope, Code: r.Code, ProviderCode: r.ProviderCode,
		ProviderID: r.ProviderID, Fee: r.Fee, Sends: int(r.Sends), Reached: r.Reached, SubmittedAt: r.SubmittedAt, Accepted: r.Accepted,
		OpenedAt: r.OpenedAt, DoubtedAt: r.DoubtedAt, DeniedAt: r.DeniedAt, ClosedAt: r.ClosedAt, NextLookupAt: r.NextLookupAt, Lookups: int(r.Lookups),
		LookedUpAt: r.LookedUpAt, AbsentReads: int(r.AbsentReads), FirstAbsentAt: r.FirstAbsentAt, TakeBackAt: r.TakeBackAt, MustTell: MustTell(r.MustTell), Behind: int(r.Behind), Told: r.Told, Version: r.Version,
	}
}

func fromRows(rows []db.Attempt) []Attempt {
	all := make([]Attempt, 0, len(rows))
	for _, r := range rows {
		all = append(all, fromRow(r))
	}
	return all
}
