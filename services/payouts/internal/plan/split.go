package plan

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/plan/db"
)

// split divides the payouts above the tenant's limit.
func (pg *page) split(ctx context.Context) error {
	most := pg.tenant.Payouts.MaxPerPayout
	var ids []uuid.UUID
	for _, d := range pg.drafts {
		if most > 0 && d.sum.Net > most && d.sum.Items > 1 {
			ids = append(ids, d.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := pg.q.ItemsOf(ctx, ids)
	if err != nil {
		return fmt.Errorf("read items of oversize payouts: %w", err)
	}
	items := make(map[uuid.UUID][]payout.Item, len(ids))
	for _, r := range rows {
		items[r.PayoutID] = append(items[r.PayoutID], payout.Item{Kind: r.ItemKind, ID: r.ItemID, Gross: r.Gross, Commission: r.Commission, Net: r.Net})
	}
	payments, carries := db.MoveItemsParams{Tenant: pg.run.Tenant}, db.MoveCarriesParams{Tenant: pg.run.Tenant}
	var drafts []draft
	for _, d := range pg.drafts {
		if items[d.id] == nil {
			drafts = append(drafts, d)
			continue
		}
		for n, part := range payout.Split(items[d.id], most) {
			next := pg.numbered(d, d.seq+n)
			next.sum = payout.SumOf(part)
			drafts = append(drafts, next)
			if n > 0 {
				moveTo(&payments, &carries, d.id, next.id, part)
			}
		}
	}
	pg.drafts = drafts
	if err := pg.q.MoveItems(ctx, payments); err != nil {
		return fmt.Errorf("divide oversize payouts: %w", err)
	}
	if err := pg.q.MoveCarries(ctx, carries); err != nil {
		return fmt.Errorf("divide carries of oversize payouts: %w", err)
	}
	return nil
}

func moveTo(payments *db.MoveItemsParams, carries *db.MoveCarriesParams, from, to uuid.UUID, part []payout.Item) {
	for _, i := range part {
		if i.Kind == payout.KindCarry {
			carries.FromIds, carries.ToIds, carries.ItemIds = append(carries.FromIds, from), append(carries.ToIds, to), append(carries.ItemIds, i.ID)
			continue
		}
		payments.FromIds, payments.ToIds, payments.ItemIds = append(payments.FromIds, from), append(payments.ToIds, to), append(payments.ItemIds, i.ID)
	}
}
