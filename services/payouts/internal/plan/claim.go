package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/plan/db"
)

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
		drafts[i] = draft{payee: id, provider: cmp.Or(k.Provider, pg.tenant.Payouts.DefaultProvider), byDefault: k.Provider == "", destination: k.Phone, paused: k.State != "active", rests: k.DestinationRests}
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
