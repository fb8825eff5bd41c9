package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// ErrItemsTaken means that an item of a payout was paid, refunded or claimed elsewhere since it was released.
var ErrItemsTaken = errors.New("an item was paid, refunded or claimed by another payout since")

// release frees the items of the payouts that ended unpaid. A payment that was refunded meanwhile has a carry against it:
// with both free they cancel, so both are voided. If another payout has taken the carry already, the payment stays
// claimable: the payee was charged for money they never got.
func (s *Store) release(ctx context.Context, q *db.Queries, moved []move) error {
	var ids []uuid.UUID
	for _, m := range moved {
		if m.release {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	now := s.Clock.Now()
	if err := q.ReleaseItems(ctx, db.ReleaseItemsParams{Now: now, Ids: ids}); err != nil {
		return fmt.Errorf("release items: %w", err)
	}
	refunded, err := q.LockCarried(ctx, ids)
	if err != nil {
		return fmt.Errorf("lock refunded payments: %w", err)
	}
	if len(refunded) == 0 {
		return nil
	}
	void := db.VoidCarriesParams{Now: now}
	for _, r := range refunded {
		void.Tenants = append(void.Tenants, r.Tenant)
		void.PaymentIds = append(void.PaymentIds, r.PaymentID)
	}
	if err := q.VoidCarries(ctx, void); err != nil {
		return fmt.Errorf("void carries: %w", err)
	}
	return nil
}

// Reclaim claims every released item of a failed payout again, or returns [ErrItemsTaken] and leaves the transaction to be
// rolled back. A payout that still holds its items is left alone. The caller holds the payout's row.
func (s *Store) Reclaim(ctx context.Context, tx pgx.Tx, payoutID uuid.UUID) error {
	q := db.New(tx)
	released, err := q.CountReleased(ctx, payoutID)
	if err != nil {
		return fmt.Errorf("count released items of %s: %w", payoutID, err)
	}
	payments, err := q.ReclaimPayments(ctx, payoutID)
	if err != nil {
		return fmt.Errorf("claim payments of %s again: %w", payoutID, err)
	}
	carries, err := q.ReclaimCarries(ctx, payoutID)
	if err != nil {
		return fmt.Errorf("claim carries of %s again: %w", payoutID, err)
	}
	if payments+carries != released {
		return fmt.Errorf("payout %s: %d of %d items: %w", payoutID, released-payments-carries, released, ErrItemsTaken)
	}
	if err := q.ReclaimItems(ctx, payoutID); err != nil {
		return fmt.Errorf("claim items of %s again: %w", payoutID, err)
	}
	return nil
}
