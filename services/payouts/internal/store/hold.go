package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// keepHolds notes what holds payouts that are taken over after a restore: it has nothing to say about what has left, and all about another try.
func keepHolds(ctx context.Context, q *db.Queries, moved []move) error {
	var ids []uuid.UUID
	for _, m := range moved {
		if m.Previous == payout.Held && m.State == payout.Processing {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := q.KeepHolds(ctx, ids); err != nil {
		return fmt.Errorf("note what held payouts that are taken over: %w", err)
	}
	return nil
}

// holdAgain holds those of approved payouts that were taken over from a hold: nobody has released them, and none that waited for a cap ever
// counted. They go on as anything that is held for that. payouts is brought up to date.
func (s *Store) holdAgain(ctx context.Context, tx pgx.Tx, q *db.Queries, payouts []payout.Payout) error {
	at := map[uuid.UUID]int{}
	var ids []uuid.UUID
	for i, p := range payouts {
		if p.State == payout.Approved && wasSent(p.Previous) {
			at[p.ID], ids = i, append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	kept, err := q.TakeHolds(ctx, ids)
	if err != nil {
		return fmt.Errorf("read what held payouts that were taken over: %w", err)
	}
	hold := make([]Change, len(kept))
	for i, k := range kept {
		hold[i] = Change{
			PayoutID: k.PayoutID, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(k.HeldFor),
			RetryAt: payouts[at[k.PayoutID]].RetryAt,
		}
	}
	held, err := s.Apply(ctx, tx, hold)
	if err != nil {
		return fmt.Errorf("hold again what was taken over: %w", err)
	}
	for _, p := range held {
		payouts[at[p.ID]] = p
	}
	return nil
}

// wasSent tells the states in which a payout that was taken over can be before it is approved again.
func wasSent(s payout.State) bool {
	return s == payout.Processing || s == payout.Unknown || s == payout.ManualReview || s == payout.Failed
}
