package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Retried counts the failed payouts of a batch by what trying them again came to.
type Retried struct {
	Retried    int
	Waiting    int // for approval, or held as they were before they were taken over after a restore
	ItemsTaken int // paid by another payout, or refunded since
	InDoubt    int // the provider contradicts a failure, or is being asked about one
	OverCap    int // above what is left of today
}

// retryPage is how many payouts one round tries again.
const retryPage = 500

// RetryFailed approves again what of a batch has failed, each payout with all its items or not at all. What is in doubt or
// paid by another payout stays as it is. The caller is who asks.
func (s *Store) RetryFailed(ctx context.Context, tx pgx.Tx, tenant string, batch uuid.UUID) (Retried, error) {
	var done Retried
	if _, err := s.LockOutflow(ctx, tx, tenant); err != nil { // before payouts, as everything that takes caps does
		return done, err
	}
	if err := s.RefuseCancelled(ctx, tx, batch); err != nil {
		return done, err
	}
	runs := map[uuid.UUID]bool{}
	for after := uuid.Nil; ; {
		rows, err := db.New(tx).LockFailed(ctx, db.LockFailedParams{BatchID: batch, Tenant: tenant, After: after, PageLimit: retryPage})
		if err != nil {
			return done, fmt.Errorf("find failed payouts of batch %s: %w", batch, err)
		}
		if len(rows) == 0 {
			return done, s.Settle(ctx, tx, slices.Collect(maps.Keys(runs))...)
		}
		if err := s.retrySome(ctx, tx, tenant, rows, &done); err != nil {
			return done, err
		}
		after = rows[len(rows)-1].PayoutID
		runs[rows[0].RunID] = true
	}
}

func (s *Store) retrySome(ctx context.Context, tx pgx.Tx, tenant string, rows []db.LockFailedRow, done *Retried) error {
	locked := idsOfFailed(rows)
	doubts, err := s.Doubts(ctx, tx, locked...)
	if err != nil {
		return err
	}
	taken, err := db.New(tx).LockReleased(ctx, locked)
	if err != nil {
		return fmt.Errorf("lock items of failed payouts: %w", err)
	}
	today := s.Today(tenant)
	var want int64
	for _, r := range rows {
		want += r.Net
	}
	caps, err := s.Caps(ctx, tx, tenant, today, payeesOfFailed(rows), want)
	if err != nil {
		return err
	}
	var changes []Change
	var ids []uuid.UUID
	for _, r := range rows {
		c := Change{
			PayoutID: r.PayoutID, From: []payout.State{payout.Failed}, To: payout.Approved,
			Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeRetry},
		}
		if r.RetryAt == nil { // one that waits for its own retry never ceased to count
			c.CapDate = today
		}
		switch {
		case doubts[r.PayoutID].Contradicted || doubts[r.PayoutID].Open:
			done.InDoubt++
		case slices.Contains(taken, r.PayoutID):
			done.ItemsTaken++
		case c.CapDate != "" && caps.Take(r.PayeeID, r.Net) != "":
			done.OverCap++
		default:
			changes, ids = append(changes, c), append(ids, r.PayoutID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := reclaimAll(ctx, db.New(tx), ids); err != nil {
		return err
	}
	moved, err := s.Apply(ctx, tx, changes)
	if err != nil {
		return err
	}
	retried, waiting, err := s.goOn(ctx, tx, moved)
	done.Retried, done.Waiting = done.Retried+retried, done.Waiting+waiting
	return err
}

func idsOfFailed(rows []db.LockFailedRow) []uuid.UUID {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.PayoutID
	}
	return ids
}

func payeesOfFailed(rows []db.LockFailedRow) []string {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.PayeeID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// reclaimAll claims what payouts have released, all of which is free.
func reclaimAll(ctx context.Context, q *db.Queries, ids []uuid.UUID) error {
	if err := q.ReclaimFreePayments(ctx, ids); err != nil {
		return fmt.Errorf("claim payments again: %w", err)
	}
	if err := q.ReclaimFreeCarries(ctx, ids); err != nil {
		return fmt.Errorf("claim carries again: %w", err)
	}
	if err := q.ReclaimFreeItems(ctx, ids); err != nil {
		return fmt.Errorf("claim items again: %w", err)
	}
	return nil
}
