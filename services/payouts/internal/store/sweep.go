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

// Due is a place among what is due at a time; the zero Due is both the beginning and the end.
type Due struct {
	At time.Time
	ID uuid.UUID
}

// page is what rows name, and the place after them.
func page[R any](rows []R, limit int, place func(R) Due) (ids []uuid.UUID, next Due) {
	for _, r := range rows {
		ids = append(ids, place(r).ID)
	}
	if len(rows) == limit {
		next = place(rows[len(rows)-1])
	}
	return ids, next
}

// OpenBatches lists a page of the runs that are complete while their batch is not closed, after a batch. It returns where the next page
// begins, the zero id at the end. [Store.Settle] closes what can be.
func (s *Store) OpenBatches(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (runs []uuid.UUID, next uuid.UUID, err error) {
	open, err := db.New(tx).OpenBatchRuns(ctx, db.OpenBatchRunsParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find open batches: %w", err)
	}
	for _, b := range open {
		runs = append(runs, b.RunID)
	}
	if len(open) == limit {
		next = open[len(open)-1].BatchID
	}
	return runs, next, nil
}

// DueRetries lists a page of the failed payouts whose retry_at has come, after a place, and returns the next place.
func (s *Store) DueRetries(ctx context.Context, tx pgx.Tx, after Due, limit int) (ids []uuid.UUID, next Due, err error) {
	rows, err := db.New(tx).DueRetries(ctx, db.DueRetriesParams{Now: s.Clock.Now(), AfterAt: after.At, AfterID: after.ID, PageLimit: int32(limit)})
	if err != nil {
		return nil, Due{}, fmt.Errorf("find due retries: %w", err)
	}
	ids, next = page(rows, limit, func(r db.DueRetriesRow) Due { return Due{r.DueAt, r.PayoutID} })
	return ids, next, nil
}

// Retry approves those of failed payouts whose retry_at has come and wakes their dispatch; those of a paused payee are held.
func (s *Store) Retry(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	failed, err := s.Lock(ctx, tx, ids...)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	var retry []Change
	for _, p := range failed {
		if p.RetryAt == nil || p.RetryAt.After(now) || p.Contradicted { // since it was listed
			continue
		}
		retry = append(retry, Change{
			PayoutID: p.ID, From: []payout.State{payout.Failed}, To: payout.Approved, Reason: payout.Reason{Code: payout.CodeRetry},
		})
	}
	moved, err := s.ApplyTo(ctx, tx, failed, retry)
	if err != nil || len(moved) == 0 {
		return err
	}
	if err := s.holdPaused(ctx, tx, moved); err != nil {
		return err
	}
	return s.WakeDispatch(ctx, tx, moveOf(moved), moved...)
}

// holdPaused holds those of approved payouts whose payee is paused.
func (s *Store) holdPaused(ctx context.Context, tx pgx.Tx, approved []payout.Payout) error {
	paused, err := db.New(tx).OfPausedPayees(ctx, idsOf(approved))
	if err != nil {
		return fmt.Errorf("read whose payees are paused: %w", err)
	}
	hold := make([]Change, len(paused))
	for i, id := range paused {
		hold[i] = Change{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodePayeePaused)}
	}
	_, err = s.Apply(ctx, tx, hold)
	return err
}

// WakeStanding emits the dispatch command of pages with approved payouts that nothing hinders and that have rested since a
// time.
func (s *Store) WakeStanding(ctx context.Context, tx pgx.Tx, since time.Time, nonce string, limit int) error {
	at, _, err := s.StandingPages(ctx, tx, since, run.Place{}, limit)
	if err != nil {
		return err
	}
	return s.Runs.WakeDispatch(ctx, tx, nonce, at...)
}

// StandingPages lists some of those pages, after one, and returns the next place; the zero place is both the beginning and the end.
func (s *Store) StandingPages(ctx context.Context, tx pgx.Tx, since time.Time, after run.Place, limit int) (at []run.Place, next run.Place, err error) {
	barred, err := named(ctx, tx, s.Barred)
	if err != nil {
		return nil, run.Place{}, err
	}
	pages, err := db.New(tx).ApprovedPages(ctx, db.ApprovedPagesParams{
		AfterRun: after.Run, AfterPage: int32(after.Page), RestedSince: since, Now: s.Clock.Now(), Stopped: barred, PageLimit: int32(limit),
	})
	if err != nil {
		return nil, run.Place{}, fmt.Errorf("find approved payouts that nobody sends: %w", err)
	}
	for _, p := range pages {
		at = append(at, run.Place{Run: p.RunID, Page: int(p.Page)})
	}
	if len(at) == limit {
		next = at[limit-1]
	}
	return at, next, nil
}
