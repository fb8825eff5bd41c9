package plan

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/plan/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// insert writes the page's payouts in created, with their events.
func (p *Planner) insert(ctx context.Context, tx pgx.Tx, pg *page) error {
	if len(pg.drafts) == 0 {
		return nil
	}
	in := db.InsertPayoutsParams{
		Tenant: pg.run.Tenant, RunID: pg.run.ID, BatchID: pg.batch, Page: int32(pg.run.Page), PeriodDate: pg.run.LocalDate,
		Kind: pg.run.Job, Currency: string(pg.tenant.Currency), NominalTime: pg.run.NominalTime, Now: p.Store.Clock.Now(),
	}
	msgs := make([]outbox.Message, 0, len(pg.drafts))
	for _, d := range pg.drafts {
		in.PayoutIds, in.PayeeIds, in.Seqs = append(in.PayoutIds, d.id), append(in.PayeeIds, d.payee), append(in.Seqs, int32(d.seq))
		in.Gross, in.Commissions, in.Nets = append(in.Gross, d.sum.Gross), append(in.Commissions, d.sum.Commission), append(in.Nets, d.sum.Net)
		in.ItemCounts, in.Providers = append(in.ItemCounts, int32(d.sum.Items)), append(in.Providers, d.provider)
		in.Destinations, in.ApprovalsNeeded = append(in.Destinations, d.destination), append(in.ApprovalsNeeded, int32(d.approvals))
		msg, err := p.Store.Event(ctx, pg.run.Tenant, "payout.created", d.id.String(), 1, store.Snapshot(pg.payout(d)))
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
	}
	if err := pg.q.InsertPayouts(ctx, in); err != nil {
		return fmt.Errorf("insert payouts: %w", err)
	}
	return p.Outbox.Append(ctx, tx, msgs...)
}

func (pg *page) payout(d draft) payout.Payout {
	return payout.Payout{
		ID: d.id, Tenant: pg.run.Tenant, PayeeID: d.payee, RunID: pg.run.ID, BatchID: pg.batch, Page: pg.run.Page,
		PeriodDate: pg.run.LocalDate, Kind: pg.run.Job, Seq: d.seq, State: payout.Created,
		Gross: pg.money(d.sum.Gross), Commission: pg.money(d.sum.Commission), Net: pg.money(d.sum.Net), ItemCount: d.sum.Items,
		Provider: d.provider, Destination: d.destination, NominalTime: pg.run.NominalTime, Version: 1,
	}
}

// decide moves the page's payouts out of created and wakes the dispatch of those that may go.
func (p *Planner) decide(ctx context.Context, tx pgx.Tx, pg *page, payees []string) error {
	caps, err := p.Store.Caps(ctx, tx, pg.run.Tenant, pg.run.LocalDate, payees)
	if err != nil {
		return err
	}
	rules := pg.tenant.Payouts
	changes := make([]store.Change, len(pg.drafts))
	for i, d := range pg.drafts {
		to, reason := payout.Decide(payout.Facts{
			Net: d.sum.Net, Minimum: rules.Minimum, MaxPerPayout: rules.MaxPerPayout, ApprovalsNeeded: d.approvals,
			Wallet: d.destination != "", OutflowStopped: pg.outflow.Stopped, PayeePaused: d.paused,
			ProviderStopped: slices.Contains(pg.stopped, pg.run.Tenant+"/"+d.provider) || !serves(pg.tenant, d.provider),
			Cap:             func() string { return caps.Take(d.payee, d.sum.Net) },
		})
		changes[i] = store.Change{PayoutID: d.id, From: []payout.State{payout.Created}, To: to, Reason: reason}
		if to == payout.Approved || to == payout.AwaitingApproval {
			changes[i].CapDate = pg.run.LocalDate
		}
	}
	moved, err := p.Store.Apply(ctx, tx, changes)
	if err != nil {
		return err
	}
	if len(moved) != len(changes) {
		return fmt.Errorf("%d payouts of %d left created on page %d", len(moved), len(changes), pg.run.Page)
	}
	if p.Store.BatchTiers(pg.run.Tenant) {
		return nil // nothing goes before the batch's sum is known
	}
	return p.Store.WakeDispatch(ctx, tx, "", moved...)
}

// serves reports whether the tenants file has the provider: a payee's own may have left it.
func serves(t config.Tenant, provider string) bool {
	_, ok := t.Providers[provider]
	return ok
}
