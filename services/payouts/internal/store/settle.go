package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Settle completes those of the runs that are planned and finished, brings their batches to the state that follows from
// their payouts, and starts what waited for them. It is idempotent, and cheap while a run has work left. Called in a
// transaction after the outcomes it cannot see what another replica is about to commit; the sweeper's call closes that gap.
func (s *Store) Settle(ctx context.Context, tx pgx.Tx, runIDs ...uuid.UUID) error {
	if len(runIDs) == 0 {
		return nil
	}
	q := db.New(tx)
	if len(runIDs) == 1 {
		busy, err := q.RunIsBusy(ctx, runIDs[0])
		if err != nil {
			return fmt.Errorf("look whether run %s is busy: %w", runIDs[0], err)
		}
		if busy {
			return nil
		}
	}
	if err := s.Runs.Settle(ctx, tx, runIDs...); err != nil {
		return err
	}
	return s.deriveBatches(ctx, tx, q, runIDs)
}

// deriveBatches moves batches to the state that follows from their payouts.
func (s *Store) deriveBatches(ctx context.Context, tx pgx.Tx, q *db.Queries, runIDs []uuid.UUID) error {
	stale, err := q.StaleBatches(ctx, runIDs)
	if err != nil {
		return fmt.Errorf("derive batch states: %w", err)
	}
	if len(stale) == 0 {
		return nil
	}
	derived := make(map[uuid.UUID]string, len(stale))
	ids := make([]uuid.UUID, len(stale))
	for i, b := range stale {
		derived[b.BatchID], ids[i] = b.Derived, b.BatchID
	}
	batches, err := q.LockBatches(ctx, ids)
	if err != nil {
		return fmt.Errorf("lock batches: %w", err)
	}
	for _, b := range batches {
		if err := s.moveBatch(ctx, tx, q, b, derived[b.BatchID], payout.Reason{}); err != nil {
			return err
		}
	}
	return nil
}
