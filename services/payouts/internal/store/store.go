// Package store keeps payouts in Postgres. Apply is the only way a payout changes its state: it checks the transition
// against the state table, moves the rows set-based, and writes their events beside them.
package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Store reads and moves payouts.
type Store struct {
	Pool   *pgxpool.Pool
	Outbox *outbox.Outbox
	Clock  clock.Clock
	Epoch  int
}

// Change moves one payout.
type Change struct {
	PayoutID uuid.UUID
	From     []payout.State // compare-and-set: the payout must be in one of these
	To       payout.State
	Reason   payout.Reason
	// Attempt, Reference and Provider are set when an attempt begins ("" and 0 leave them).
	Attempt   int
	Reference string
	Provider  string
	Counted   int        // added to the attempts that count
	RetryAt   *time.Time // failed: next automatic approval; approved: not before
	Fee       *int64
	// Release frees the payout's items for another payout.
	Release bool
}

// Apply makes changes in the caller's transaction, emits one event each, and returns the payouts that changed, as they are
// now. A payout that is not in From is left alone and is absent from the result: someone else was faster. A transition
// that the state table does not have is an error.
func (s *Store) Apply(ctx context.Context, tx pgx.Tx, changes []Change) ([]payout.Payout, error) {
	panic("contract")
}
