// Package plan turns what is owed into payouts, a page of payees at a time: one page is one transaction that claims
// payments and carries, inserts the payouts, decides about each, and wakes what comes next. Everything is set-based; only a
// payee whose sum passes max_per_payout is taken item by item.
//
// A run takes every completed, unpaid, payable payment with completed_at up to its nominal time, however old, but not from
// before the tenant's accept_from. Payments of a method that the tenant does not pay out (cash, say) are left alone: they
// are not owed through us, so no payout is made for them, and ListPayments shows them as unpaid.
package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// due lists the page's payees.
func (pg *page) due(ctx context.Context, limit int) ([]string, error) {
	ids, err := pg.q.DuePayees(ctx, db.DuePayeesParams{
		Tenant: pg.run.Tenant, After: pg.run.Cursor, CutOff: pg.run.NominalTime, AcceptFrom: pg.acceptFrom(),
		Methods: pg.tenant.Payouts.PayableMethods, PageLimit: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("find due payees: %w", err)
	}
	return ids, nil
}

// claim gives each payee a payout, claims their payments and carries for it, and keeps the payouts that got a payment.
func (pg *page) claim(ctx context.Context, payees []string) error {
	drafts, err := pg.draft(ctx, payees)
	if err != nil {
		return err
	}
	payoutIDs := make([]uuid.UUID, len(payees))
	for i, d := range drafts {
		payoutIDs[i] = d.id
	}
	rows, err := pg.q.ClaimPayments(ctx, db.ClaimPaymentsParams{
		PayoutIds: payoutIDs, PayeeIds: payees, Tenant: pg.run.Tenant, CutOff: pg.run.NominalTime,
		AcceptFrom: pg.acceptFrom(), Methods: pg.tenant.Payouts.PayableMethods,
	})
	if err != nil {
		return fmt.Errorf("claim payments: %w", err)
	}
	sums := make(map[uuid.UUID]payout.Sum, len(rows))
	for _, r := range rows {
		sums[r.PayoutID] = payout.Sum{Items: int(r.Items), Gross: r.Gross, Commission: r.Commission, Net: r.Net}
	}
	drafts = slices.DeleteFunc(drafts, func(d draft) bool { return sums[d.id].Items == 0 })
	if err := pg.claimCarries(ctx, drafts, sums); err != nil {
		return err
	}
	for i := range drafts {
		drafts[i].sum = sums[drafts[i].id]
		drafts[i].approvals = pg.tenant.Payouts.Approval.OfPayout(drafts[i].sum.Net)
	}
	pg.drafts = drafts
	return nil
}

// claimCarries takes what payees owe off what they get. One who gets nothing has nothing taken off.
func (pg *page) claimCarries(ctx context.Context, drafts []draft, sums map[uuid.UUID]payout.Sum) error {
	p := db.ClaimCarriesParams{Tenant: pg.run.Tenant, CutOff: pg.run.NominalTime}
	for _, d := range drafts {
		p.PayoutIds, p.PayeeIds = append(p.PayoutIds, d.id), append(p.PayeeIds, d.payee)
	}
	rows, err := pg.q.ClaimCarries(ctx, p)
	if err != nil {
		return fmt.Errorf("claim carries: %w", err)
	}
	for _, r := range rows {
		s := sums[r.PayoutID]
		sums[r.PayoutID] = payout.Sum{Items: s.Items + int(r.Items), Gross: s.Gross + r.Gross, Commission: s.Commission + r.Commission, Net: s.Net + r.Net}
	}
	return nil
}

// draft identifies the payouts: the next seq of each payee's day.
func (pg *page) draft(ctx context.Context, payees []string) ([]draft, error) {
	known, err := pg.q.Payees(ctx, db.PayeesParams{Tenant: pg.run.Tenant, Ids: payees, CooledSince: pg.cooledSince})
	if err != nil {
		return nil, fmt.Errorf("read payees: %w", err)
	}
	byID := make(map[string]db.PayeesRow, len(known))
	for _, k := range known {
		byID[k.PayeeID] = k
	}
	drafts := make([]draft, len(payees))
	taken := make([]int, len(payees)) // the drafts whose id may be taken
	for i, id := range payees {
		k := byID[id]
		drafts[i] = draft{payee: id, provider: cmp.Or(k.Provider, pg.tenant.Payouts.DefaultProvider), destination: k.Phone, paused: k.State != "active", rests: k.DestinationRests}
		taken[i] = i
	}
	return drafts, pg.number(ctx, drafts, taken)
}

// number gives each draft the first free seq. It asks by payout id, which follows from the seq, once per seq that somebody
// has reached on this day: the primary key answers whatever the statistics of a table that is being filled say.
func (pg *page) number(ctx context.Context, drafts []draft, taken []int) error {
	for seq := 1; len(taken) > 0; seq++ {
		ids := make([]uuid.UUID, len(taken))
		for n, i := range taken {
			drafts[i] = pg.numbered(drafts[i], seq)
			ids[n] = drafts[i].id
		}
		existing, err := pg.q.Existing(ctx, ids)
		if err != nil {
			return fmt.Errorf("find free sequence numbers: %w", err)
		}
		taken = slices.DeleteFunc(taken, func(i int) bool { return !slices.Contains(existing, drafts[i].id) })
	}
	return nil
}

// numbered gives a draft its place among the payouts of its payee's day, and with it its id.
func (pg *page) numbered(d draft, seq int) draft {
	d.seq, d.id = seq, payout.ID(pg.run.Tenant, d.payee, pg.run.LocalDate, pg.run.Job, seq)
	return d
}

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
