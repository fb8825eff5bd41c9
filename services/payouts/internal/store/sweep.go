package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/payouts/internal/command"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// TryLock takes an advisory lock of the transaction, or reports that another one has it.
func (s *Store) TryLock(ctx context.Context, tx pgx.Tx, key int64) (bool, error) {
	mine, err := db.New(tx).TryLock(ctx, key)
	if err != nil {
		return false, fmt.Errorf("advisory lock %d: %w", key, err)
	}
	return mine, nil
}

// StartQueued starts the next run of every schedule that has one queued and none running.
func (s *Store) StartQueued(ctx context.Context, tx pgx.Tx) error {
	schedules, err := db.New(tx).QueuedSchedules(ctx)
	if err != nil {
		return fmt.Errorf("find queued runs: %w", err)
	}
	for _, q := range schedules { // as many as there are schedules
		if err := s.StartNext(ctx, tx, q.Tenant, q.Schedule); err != nil {
			return err
		}
	}
	return nil
}

// SettleAll settles the runs that are planned and still running, and one page of those that are complete while their batch
// is not closed, after a batch. It returns where the next page begins, the zero id at the end.
func (s *Store) SettleAll(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (next uuid.UUID, err error) {
	q := db.New(tx)
	ids, err := q.PlannedRuns(ctx)
	if err != nil {
		return uuid.Nil, fmt.Errorf("find planned runs: %w", err)
	}
	open, err := q.OpenBatchRuns(ctx, db.OpenBatchRunsParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return uuid.Nil, fmt.Errorf("find open batches: %w", err)
	}
	for _, b := range open {
		ids = append(ids, b.RunID)
	}
	if len(open) == limit {
		next = open[len(open)-1].BatchID
	}
	return next, s.Settle(ctx, tx, ids...)
}

// RetryDue approves failed payouts whose retry_at has come and wakes their dispatch; those of a paused payee are held.
func (s *Store) RetryDue(ctx context.Context, tx pgx.Tx, limit int, nonce string) error {
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
	return s.WakeDispatch(ctx, tx, nonce, moved...)
}

// WakePlanning emits the plan command of running runs that have not moved since a time.
func (s *Store) WakePlanning(ctx context.Context, tx pgx.Tx, since time.Time, nonce string, limit int) error {
	rows, err := db.New(tx).TouchStandingRuns(ctx, db.TouchStandingRunsParams{Now: s.Clock.Now(), MovedBefore: since, PageLimit: int32(limit)})
	if err != nil {
		return fmt.Errorf("find runs that stand still: %w", err)
	}
	msgs := make([]outbox.Message, len(rows))
	for i, r := range rows {
		msgs[i] = command.Plan{RunID: r.RunID, Page: int(r.Page)}.Message(ctx, s.Epoch, nonce)
	}
	return s.Outbox.Append(ctx, tx, msgs...)
}

// WakeStanding emits the dispatch command of pages with approved payouts that nothing hinders and that have rested since a
// time.
func (s *Store) WakeStanding(ctx context.Context, tx pgx.Tx, since time.Time, nonce string, limit int) error {
	stopped, err := s.StoppedConnectors(ctx, tx)
	if err != nil {
		return err
	}
	pages, err := db.New(tx).ApprovedPages(ctx, db.ApprovedPagesParams{
		RestedSince: since, Now: s.Clock.Now(), Stopped: stopped, PageLimit: int32(limit),
	})
	if err != nil {
		return fmt.Errorf("find approved payouts that nobody sends: %w", err)
	}
	msgs := make([]outbox.Message, len(pages))
	for i, p := range pages {
		msgs[i] = command.Dispatch{RunID: p.RunID, Page: int(p.Page)}.Message(ctx, s.Epoch, nonce)
	}
	return s.Outbox.Append(ctx, tx, msgs...)
}
