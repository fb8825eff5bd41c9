package resting

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/services/payouts/internal/resting/db"
)

// VainWishes lists, of a page of what people wait for to be asked about anew, that of which nothing will come, and the next place; the zero id is
// both the beginning and the end. It would be counted as being asked about for ever. Nearly always it costs one look at an empty index.
func (a *Asker) VainWishes(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (ids []uuid.UUID, next uuid.UUID, err error) {
	mark, err := a.Gate.Mark(ctx, tx)
	if err != nil || mark.Epoch == 0 {
		return nil, uuid.Nil, err
	}
	since, until := attempt.Believed(a.Store.Clock.Now())
	p := db.VainWishesParams{Epoch: int32(mark.Epoch), Served: []string{}, ProvenSince: since, ProvenUntil: until, After: after, PageLimit: int32(limit)}
	for _, c := range a.Outcomes.Connectors.All() {
		p.Served = append(p.Served, c.Tenant+"/"+c.Provider)
	}
	rows, err := db.New(tx).VainWishes(ctx, p)
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find what is to be asked about anew in vain: %w", err)
	}
	for _, r := range rows {
		if r.Vain {
			ids = append(ids, r.SubjectID)
		}
	}
	if len(rows) == limit {
		next = rows[limit-1].SubjectID
	}
	return ids, next, nil
}

// ForgetWishes has nobody wait any more for what [Asker.VainWishes] has listed. Whoever still wants to end it gives the command again, and is told what
// is in the way.
func (a *Asker) ForgetWishes(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if err := db.New(tx).ForgetWishes(ctx, ids); err != nil {
		return fmt.Errorf("forget what is to be asked about anew in vain: %w", err)
	}
	return nil
}
