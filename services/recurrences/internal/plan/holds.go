package plan

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/plan/db"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// NotifyHolds makes the digests of a page of sellers: what of theirs is on hold, one digest per seller and local date. A
// tenant has one currency, so its recurrences add up.
func (p *Planner) NotifyHolds(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	pg, err := p.begin(ctx, tx, r)
	if err != nil {
		return run.Page{}, err
	}
	rows, err := pg.q.HoldsBySeller(ctx, db.HoldsBySellerParams{Tenant: r.Tenant, After: r.Cursor, NominalTime: r.NominalTime, PageLimit: int32(pg.size)})
	if err != nil {
		return run.Page{}, fmt.Errorf("find recurrences on hold: %w", err)
	}
	digests := make([]store.Digest, len(rows))
	for i, row := range rows {
		digests[i] = store.Digest{
			Tenant: r.Tenant, SellerID: row.SellerID, On: pg.on, RecurrenceIDs: row.RecurrenceIds,
			Total: money.Amount{Minor: row.Total, Currency: money.Currency(row.Currency)}, RunID: r.ID,
		}
	}
	made, err := p.Store.InsertDigests(ctx, tx, digests)
	if err != nil {
		return run.Page{}, err
	}
	return pg.end(len(rows), last(rows, func(row db.HoldsBySellerRow) string { return row.SellerID }), made), nil
}
