// Package runs says what the jobs of the payouts service are and what a page of each does.
package runs

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
)

// The jobs of this service, as schedules name them.
const (
	JobDaily        = "payouts/daily"
	JobCheckPending = "payouts/check-pending"
	JobResetBreaks  = "payouts/reset-breaks"
	JobClose        = closing.Job
)

// Jobs are all of them. ask makes a page of the tenant's open attempts due for a lookup, closeDay asks for the closes of the day
// before.
func Jobs(p *plan.Planner, b *breaks.Breaks, ask, closeDay run.Job) run.Jobs {
	return run.Jobs{
		JobDaily:        p.Page,
		JobCheckPending: ask,
		JobClose:        closeDay,
		JobResetBreaks: func(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
			last, reset, err := b.ResetPage(ctx, tx, r.Tenant, r.LocalDate, r.Cursor)
			return run.Page{Cursor: last, Last: last == "", Done: reset}, err
		},
	}
}
