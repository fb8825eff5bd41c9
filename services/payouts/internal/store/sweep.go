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

// SettleOpen settles one page, after a batch, of the runs that are complete while their batch is not closed. It returns
// where the next page begins, the zero id at the end.
func (s *Store) SettleOpen(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (next uuid.UUID, err error) {
	open, err := db.New(tx).OpenBatchRuns(ctx, db.OpenBatchRunsParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return uuid.Nil, fmt.Errorf("find open batches: %w", err)
	}
	ids := make([]uuid.UUID, len(open))
	for i, b := range open {
		ids[i] = b.RunID
	}
	if len(open) == limit {
		next = open[len(open)-1].BatchID
	}
	return next, s.Settle(ctx, tx, ids...)
}

// RetryDue approves failed payouts whose retry_at has come and wakes their dispatch; those of a paused payee are held.
func (s *Store) RetryDue(ctx context.Context, tx pgx.Tx, limit int) error {
	due, err := db.New(tx).DueRetries(ctx, db.DueRetriesParams{Now: s.Clock.Now(), PageLimit: int32(limit)})
	if err != nil {
		return fmt.Errorf("find due retries: %w", err)
	}
	retry, hold := make([]Change, 0, len(due)), []Change{}
	for _, d := range due {
		retry = append(retry, Change{
			PayoutID: d.PayoutID, From: []payout.State{payout.Failed}, To: payout.Approved, Reason: payout.Reason{Code: payout.CodeRetry},
		})
		if d.PayeePaused {
			hold = append(hold, Change{
				PayoutID: d.PayoutID, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodePayeePaused),
			})
		}
	}
	moved, err := s.Apply(ctx, tx, retry)
	if err != nil {
		return err
	}
	if _, err := s.Apply(ctx, tx, hold); err != nil {
		return err
	}
	return s.WakeDispatch(ctx, tx, moveOf(moved), moved...)
}

// WakeStanding emits the dispatch command of pages with approved payouts that nothing hinders and that have rested since a
// time.
func (s *Store) WakeStanding(ctx context.Context, tx pgx.Tx, since time.Time, nonce string, limit int) error {
	barred, err := named(ctx, tx, s.Barred)
	if err != nil {
		return err
	}
	pages, err := db.New(tx).ApprovedPages(ctx, db.ApprovedPagesParams{
		RestedSince: since, Now: s.Clock.Now(), Stopped: barred, PageLimit: int32(limit),
	})
	if err != nil {
		return fmt.Errorf("find approved payouts that nobody sends: %w", err)
	}
	at := make([]run.Place, len(pages))
	for i, p := range pages {
		at[i] = run.Place{Run: p.RunID, Page: int(p.Page)}
	}
	return s.Runs.WakeDispatch(ctx, tx, nonce, at...)
}
