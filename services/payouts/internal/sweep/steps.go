package sweep

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// start starts queued runs whose start was lost.
func (s *Sweeper) start(ctx context.Context, tx pgx.Tx) error {
	return s.Store.StartQueued(ctx, tx)
}

// settle completes runs that are finished, and closes the batches of those that went on after their run was complete.
func (s *Sweeper) settle(ctx context.Context, tx pgx.Tx) error {
	next, err := s.Store.SettleAll(ctx, tx, s.batch, pageLimit)
	if err != nil {
		return err
	}
	s.batch = next
	return nil
}

// retry approves failed payouts whose next attempt is due.
func (s *Sweeper) retry(ctx context.Context, tx pgx.Tx) error {
	return s.Store.RetryDue(ctx, tx, pageLimit, s.nonce(s.patience()))
}

// release looks at one page of each queue of held payouts, where the last sweep left off.
func (s *Sweeper) release(ctx context.Context, tx pgx.Tx) error {
	queues, err := s.Store.HeldQueues(ctx, tx)
	if err != nil {
		return err
	}
	after := make(map[store.Queue]store.Place, len(queues))
	for _, q := range queues {
		next, err := s.Store.Release(ctx, tx, q, s.after[q], pageLimit, s.Store.Today(q.Tenant), s.nonce(s.patience()))
		if err != nil {
			return err
		}
		if next != nil {
			after[q] = *next
		}
	}
	s.after = after
	return nil
}

// wake emits the commands of pages once more that have stood still for so long.
func (s *Sweeper) wake(ctx context.Context, tx pgx.Tx, patience time.Duration) error {
	since, nonce := s.Clock.Now().Add(-patience), s.nonce(patience)
	if err := s.Store.WakePlanning(ctx, tx, since, nonce, pageLimit); err != nil {
		return err
	}
	return s.Store.WakeStanding(ctx, tx, since, nonce, pageLimit)
}
