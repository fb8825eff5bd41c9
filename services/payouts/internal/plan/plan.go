// Package plan turns what is owed into payouts, a page of payees at a time: one page is one transaction that claims
// payments and carries, inserts the payouts, decides about each, and wakes what comes next. Everything is set-based; only a
// payee whose sum passes max_per_payout is taken item by item.
//
// A run takes every completed, unpaid, payable payment with completed_at up to its nominal time, however old, but not from
// before the tenant's accept_from. Payments of a method that the tenant does not pay out (cash, say) are left alone: they
// are not owed through us, so no payout is made for them, and ListPayments shows them as unpaid.
package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/plan/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// PageSize is how many payees one page takes.
const PageSize = 500

// ErrNotConfigured means that the tenants file does not say how to pay this tenant's payees (any more).
var ErrNotConfigured = errors.New("the tenants file has no payouts for this tenant")

// Planner plans runs of payouts/daily.
type Planner struct {
	Store    *store.Store
	Outbox   *outbox.Outbox
	Tenants  *config.File
	PageSize int // 0: PageSize
}

// page is what one transaction works on.
type page struct {
	run     run.Run
	tenant  config.Tenant
	q       *db.Queries
	batch   uuid.UUID
	drafts  []draft
	stopped []string // "<tenant>/<provider>"
	wanting []string // float; likewise
	outflow store.Outflow
	spent   int64           // of the day's cap, beside what the tables show
	planned []payout.Payout // as they are at the end of the page
	// cooledSince is when a wallet must have been changed at the latest.
	cooledSince time.Time
}

// draft is a payout in the making.
type draft struct {
	id          uuid.UUID
	payee       string
	seq         int
	sum         payout.Sum
	provider    string
	byDefault   bool // the payee names none
	destination string
	paused      bool
	rests       bool // the wallet
	approvals   int  // that the payee's sum needs, before it is divided: parts of it are no way around a tier
}

// Page plans the run's next page. The caller holds the run's row and has checked that this page is the next one.
func (p *Planner) Page(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	next, _, err := p.page(ctx, tx, r, 0)
	if err != nil || !next.Last {
		return next, err
	}
	return next, p.Store.Planned(ctx, tx, r)
}

// page plans a page and returns its payouts as they are then. spent is what the day's cap has lost to pages that the tables do
// not show: those of a preview.
func (p *Planner) page(ctx context.Context, tx pgx.Tx, r run.Run, spent int64) (run.Page, []payout.Payout, error) {
	t, ok := p.Tenants.Tenant(r.Tenant)
	if !ok || t.Payouts == nil {
		return run.Page{}, nil, run.Fail("not_configured", fmt.Errorf("tenant %s: %w", r.Tenant, ErrNotConfigured))
	}
	pg := &page{spent: spent, run: r, tenant: t, q: db.New(tx), cooledSince: p.Store.CooledSince(r.Tenant)}
	if err := p.Store.PlanAnew(ctx, tx); err != nil {
		return run.Page{}, nil, err
	}
	var err error
	// One planner at a time per tenant: what follows reads sums and sequences that a second one would change.
	if pg.outflow, err = p.Store.LockOutflow(ctx, tx, r.Tenant); err != nil {
		return run.Page{}, nil, err
	}
	if pg.stopped, err = p.Store.StoppedConnectors(ctx, tx); err != nil {
		return run.Page{}, nil, err
	}
	if pg.wanting, err = p.Store.WantingFloat(ctx, tx); err != nil {
		return run.Page{}, nil, err
	}
	if pg.batch, err = p.Store.CreateBatch(ctx, tx, r, t.Currency); err != nil {
		return run.Page{}, nil, err
	}
	payees, err := pg.due(ctx, p.pageSize())
	if err != nil {
		return run.Page{}, nil, err
	}
	if err := p.draftPage(ctx, tx, pg, payees); err != nil {
		return run.Page{}, nil, err
	}
	return p.advance(pg, payees), pg.planned, nil
}

func (p *Planner) pageSize() int {
	if p.PageSize > 0 {
		return p.PageSize
	}
	return PageSize
}

// draftPage claims and divides what is due on a page, and inserts its payouts in the state that they go to.
func (p *Planner) draftPage(ctx context.Context, tx pgx.Tx, pg *page, payees []string) error {
	if len(payees) == 0 {
		return nil
	}
	if err := pg.claim(ctx, payees); err != nil {
		return err
	}
	if err := pg.split(ctx); err != nil {
		return err
	}
	if len(pg.drafts) == 0 {
		return nil
	}
	changes, err := p.decide(ctx, tx, pg, payees)
	if err != nil {
		return err
	}
	if err := p.insert(ctx, tx, pg, changes); err != nil {
		return err
	}
	return p.settle(ctx, tx, pg, changes)
}

// advance says where the next page goes on.
func (p *Planner) advance(pg *page, payees []string) run.Page {
	next := run.Page{Cursor: pg.run.Cursor, Last: len(payees) < p.pageSize()}
	if len(payees) > 0 {
		next.Cursor = payees[len(payees)-1]
	}
	return next
}

func (pg *page) money(minor int64) money.Amount {
	return money.Amount{Minor: minor, Currency: pg.tenant.Currency}
}

// acceptFrom is the first instant that this tenant's payments are ours to pay.
func (pg *page) acceptFrom() time.Time {
	return payout.AcceptFrom(pg.tenant.Payouts.AcceptFrom, pg.tenant.Location)
}
