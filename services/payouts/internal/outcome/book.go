package outcome

import (
	"context"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Book is the reconciling worker's view of payouts.
type Book struct {
	Outcomes *Outcomes
}

var _ reconcile.Book = (*Book)(nil)

// Apply moves the payouts of attempts that were taken over.
func (b *Book) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	payouts, err := b.Outcomes.Apply(ctx, tx, moved)
	if err != nil {
		return err
	}
	return b.Outcomes.Store.Settle(ctx, tx, runsOf(payouts)...)
}

// Decided applies what lookups proved. What is proven never to have been created goes again under its reference; failed ones
// wait for their retry.
func (b *Book) Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	payouts, err := b.Outcomes.Decided(ctx, tx, updates)
	if err != nil {
		return err
	}
	nonce := "l" + strconv.FormatInt(b.Outcomes.Clock.Now().UnixMilli(), 36)
	if err := b.Outcomes.Store.WakeDispatch(ctx, tx, nonce, payouts...); err != nil {
		return err
	}
	return b.Outcomes.Store.Settle(ctx, tx, runsOf(payouts)...)
}

// Alarm tells people that an answer needs them.
func (b *Book) Alarm(ctx context.Context, a attempt.Attempt, alarm string) {
	b.Outcomes.Alarm(ctx, a, alarm)
}

func runsOf(payouts []payout.Payout) []uuid.UUID {
	var ids []uuid.UUID
	for _, p := range payouts {
		if !slices.Contains(ids, p.RunID) {
			ids = append(ids, p.RunID)
		}
	}
	return ids
}
