package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Preview is what a run would plan.
type Preview struct {
	Payouts int
	Total   int64 // net of what is not skipped: by it the batch's approvals go
	// Approvals is how many people would have to approve the run as a whole.
	Approvals int
}

// errTakenBack ends the transaction of a previewed page.
var errTakenBack = errors.New("a preview keeps nothing")

// Preview plans a run page by page, with the code that plans it in earnest, and takes each page back before the next: nothing
// is kept, published or sent, and a planner in earnest waits for one page at most. Each gets the payouts of a page, with the
// ids that a run would give them. What changes between two pages is seen as a run would see it.
func (p *Planner) Preview(ctx context.Context, pool *pgxpool.Pool, r run.Run, each func([]payout.Payout) error) (Preview, error) {
	t, ok := p.Tenants.Tenant(r.Tenant)
	if !ok || t.Payouts == nil {
		return Preview{}, fmt.Errorf("tenant %s: %w", r.Tenant, ErrNotConfigured)
	}
	var sum Preview
	for spent := int64(0); ; {
		next, payouts, err := p.previewPage(ctx, pool, r, spent)
		if err != nil {
			return Preview{}, err
		}
		for _, one := range payouts {
			spent += leaves(one)
			sum.add(one)
		}
		if err := each(payouts); err != nil {
			return Preview{}, err
		}
		if next.Last {
			sum.Approvals = batchApprovals(t, sum.Total)
			return sum, nil
		}
		r.Cursor, r.Page = next.Cursor, r.Page+1
	}
}

// previewPage plans one page in a transaction that is always rolled back.
func (p *Planner) previewPage(ctx context.Context, pool *pgxpool.Pool, r run.Run, spent int64) (next run.Page, payouts []payout.Payout, err error) {
	err = pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := p.Store.Runs.Insert(ctx, tx, r); err != nil {
			return err
		}
		var err error
		if next, payouts, err = p.page(ctx, tx, r, spent); err != nil {
			return err
		}
		return errTakenBack
	})
	if !errors.Is(err, errTakenBack) {
		return run.Page{}, nil, fmt.Errorf("preview page %d: %w", r.Page, err)
	}
	return next, payouts, nil
}

func (s *Preview) add(p payout.Payout) {
	s.Payouts++
	if p.State != payout.Skipped {
		s.Total += p.Net.Minor
	}
}

// leaves is what a payout takes of the day's cap.
func leaves(p payout.Payout) int64 {
	if p.State == payout.Approved || p.State == payout.AwaitingApproval {
		return p.Net.Minor
	}
	return 0
}

func batchApprovals(t config.Tenant, total int64) int {
	if total == 0 {
		return 0
	}
	return t.Payouts.Approval.OfBatch(total)
}
