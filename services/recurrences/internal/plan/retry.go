package plan

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan/db"
)

// RetryFailed has a page of declined charges sent again whose day has come: of each recurrence that is past due the oldest
// one, once a day.
func (p *Planner) RetryFailed(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	pg, err := p.begin(ctx, tx, r)
	if err != nil {
		return run.Page{}, err
	}
	rows, err := pg.q.ChargesToRetry(ctx, db.ChargesToRetryParams{Tenant: r.Tenant, After: r.Cursor, LocalDate: pg.on, PageLimit: int32(pg.size)})
	if err != nil {
		return run.Page{}, fmt.Errorf("find charges to retry: %w", err)
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ChargeID
	}
	wanted, err := p.retryable(ctx, tx, pg, ids)
	if err != nil {
		return run.Page{}, err
	}
	if wanted, err = p.Store.WantSent(ctx, tx, pg.send(), wanted...); err != nil {
		return run.Page{}, err
	}
	if err := p.wake(ctx, tx, pg, len(wanted)); err != nil {
		return run.Page{}, err
	}
	return pg.end(len(rows), last(rows, func(row db.ChargesToRetryRow) string { return row.RecurrenceID }), 0), nil
}

// retryable locks charges and keeps those that are still to be retried: somebody may have had one sent since it was found,
// and its answer may be here already.
func (p *Planner) retryable(ctx context.Context, tx pgx.Tx, pg *page, ids []uuid.UUID) ([]uuid.UUID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	locked, err := p.Store.LockCharges(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	still := make([]uuid.UUID, 0, len(locked))
	for _, c := range locked {
		if c.State == charge.FailedSoft && c.RetryOn != 0 && c.RetryOn <= pg.on && c.LastAttempt < pg.on && !c.Send.Wanted() && !c.Contradicted {
			still = append(still, c.ID)
		}
	}
	return still, nil
}
