package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// BatchTiers reports whether a tenant's runs may need approval as a whole: nothing of them is sent then before their sum is
// known.
func (s *Store) BatchTiers(tenant string) bool { return len(s.rules(tenant).Approval.BatchTiers) > 0 }

// Planned ends the planning of a batch. One whose sum reaches a tier waits for approval; the payouts of another one, which
// waited for the sum, are woken.
func (s *Store) Planned(ctx context.Context, tx pgx.Tx, r run.Run) error {
	if !s.BatchTiers(r.Tenant) {
		return nil
	}
	q, id := db.New(tx), BatchID(r.ID)
	total, err := q.BatchTotal(ctx, id)
	if err != nil {
		return fmt.Errorf("add up batch %s: %w", id, err)
	}
	needed := s.rules(r.Tenant).Approval.OfBatch(total)
	if needed == 0 || total == 0 {
		return s.WakeBatch(ctx, tx, r.ID, "p")
	}
	b, err := s.lockBatch(ctx, q, id)
	if err != nil {
		return err
	}
	b.ApprovalsNeeded = int32(needed)
	return s.awaitBatch(ctx, tx, q, b)
}

// FailedPlans lists a page of the runs that failed while they were planned, after a batch, and returns the next place. A run fails because its
// tenant is not configured, and by which tiers its sum goes is known once it is again: until then it is not listed.
func (s *Store) FailedPlans(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (runs []uuid.UUID, next uuid.UUID, err error) {
	if s.Tenants == nil {
		return nil, uuid.Nil, nil
	}
	var tenants []string
	for _, t := range s.Tenants.Tenants {
		if t.Payouts != nil {
			tenants = append(tenants, t.ID)
		}
	}
	rows, err := db.New(tx).FailedPlans(ctx, db.FailedPlansParams{Tenants: tenants, After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find runs that failed while they were planned: %w", err)
	}
	for _, r := range rows {
		runs = append(runs, r.RunID)
	}
	if len(rows) == limit {
		next = rows[limit-1].BatchID
	}
	return runs, next, nil
}

// EndFailedPlans ends the planning of those of the runs that failed in it: what they have planned waits for approval or goes, by its sum.
func (s *Store) EndFailedPlans(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) error {
	rows, err := db.New(tx).EndFailedPlans(ctx, runs)
	if err != nil {
		return fmt.Errorf("end the planning of failed runs: %w", err)
	}
	for _, r := range rows { // as many as runs fail
		if err := s.Planned(ctx, tx, run.Run{ID: r.RunID, Tenant: r.Tenant}); err != nil {
			return err
		}
	}
	return nil
}

// awaitBatch has a locked batch wait for the approvals that it lacks. One that is paused does so when it is resumed.
func (s *Store) awaitBatch(ctx context.Context, tx pgx.Tx, q *db.Queries, b db.LockBatchesRow) error {
	var expires time.Time
	if at := s.expiry(b.Tenant, s.Clock.Now()); at != nil && b.State == BatchCreated {
		expires = *at
	}
	err := q.SetBatchApproval(ctx, db.SetBatchApprovalParams{ApprovalsNeeded: b.ApprovalsNeeded, ExpiresAt: expires, BatchID: b.BatchID})
	if err != nil {
		return fmt.Errorf("ask for approval of batch %s: %w", b.BatchID, err)
	}
	if b.State != BatchCreated || b.Approvals >= b.ApprovalsNeeded {
		return nil
	}
	return s.moveBatch(ctx, tx, q, b, BatchAwaiting, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeAboveTier})
}

// askAgain has a batch that was resumed wait for the approvals that it still lacks.
func (s *Store) askAgain(ctx context.Context, tx pgx.Tx, q *db.Queries, id uuid.UUID, actor string) error {
	b, err := s.lockBatch(ctx, q, id)
	if err != nil || b.Approvals >= b.ApprovalsNeeded {
		return err
	}
	total, err := q.BatchTotal(ctx, id)
	if err != nil {
		return fmt.Errorf("add up batch %s: %w", id, err)
	}
	if err := s.say(ctx, tx, actor, wordAsked, "", []uuid.UUID{id}, []int64{total}); err != nil {
		return err
	}
	return s.awaitBatch(ctx, tx, q, b)
}

func (s *Store) lockBatch(ctx context.Context, q *db.Queries, id uuid.UUID) (db.LockBatchesRow, error) {
	rows, err := q.LockBatches(ctx, []uuid.UUID{id})
	if err != nil {
		return db.LockBatchesRow{}, fmt.Errorf("lock batch %s: %w", id, err)
	}
	if len(rows) == 0 {
		return db.LockBatchesRow{}, fmt.Errorf("lock batch %s: there is none", id)
	}
	return rows[0], nil
}

// WakeBatch emits the dispatch commands of all pages of a run that have something approved.
func (s *Store) WakeBatch(ctx context.Context, tx pgx.Tx, runID uuid.UUID, nonce string) error {
	pages, err := db.New(tx).PagesOfBatch(ctx, runID)
	if err != nil {
		return fmt.Errorf("find pages of run %s: %w", runID, err)
	}
	at := make([]run.Place, len(pages))
	for i, p := range pages {
		at[i] = run.Place{Run: p.RunID, Page: int(p.Page)}
	}
	return s.Runs.WakeDispatch(ctx, tx, nonce, at...)
}
