package resting

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resting/db"
)

// Ended lists payouts that have ended and of which their provider turned out to have more from before a restore, among a page of all that was found,
// after one, and returns the next place. A page may have nothing, and not be the last.
func (a *Asker) Ended(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (ids []uuid.UUID, next uuid.UUID, err error) {
	rows, err := db.New(tx).Found(ctx, db.FoundParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find what was found of payouts that have ended: %w", err)
	}
	for _, r := range rows {
		if r.Ended {
			ids = append(ids, r.SubjectID)
		}
	}
	if len(rows) == limit {
		next = rows[limit-1].SubjectID
	}
	return ids, next, nil
}

// Close takes in what was found of payouts that have ended, as closed attempts that are asked about: what was paid contradicts the payout then, and
// nothing pays it again. One that failed for good may be tried again by people, and goes under the number after these.
func (a *Asker) Close(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	held, err := a.Store.Lock(ctx, tx, ids...)
	if err != nil {
		return err
	}
	var over []uuid.UUID
	failed := map[uuid.UUID]bool{}
	for _, p := range held {
		if ended(p) { // somebody may have brought it back since it was listed
			over = append(over, p.ID)
			failed[p.ID] = p.State == payout.Failed
		}
	}
	newest, err := a.Gate.Close(ctx, tx, "ended/"+uuid.NewString(), over...)
	if err != nil {
		return err
	}
	var r db.RenumberParams
	for _, id := range over {
		if n := newest[id]; n > 0 && failed[id] {
			r.Ids, r.Numbers, r.Refs = append(r.Ids, id), append(r.Numbers, int32(n)), append(r.Refs, payout.Reference(id, n))
		}
	}
	if len(r.Ids) == 0 {
		return nil
	}
	if err := db.New(tx).Renumber(ctx, r); err != nil {
		return fmt.Errorf("count the lost attempts of failed payouts: %w", err)
	}
	return nil
}

// ended reports whether nothing sends a payout, and nothing that goes on by itself will have it sent.
func ended(p payout.Payout) bool {
	return p.Contradicted || p.State == payout.Succeeded || payout.Releases(p.State, p.RetryAt != nil)
}
