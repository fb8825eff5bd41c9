package plan

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/plan/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// insert writes the page's payouts with their events. Those that nothing holds back are written as approved at once: it is
// nearly all of them, and a row that is written once costs half of one that is moved. Both of their events are told.
func (p *Planner) insert(ctx context.Context, tx pgx.Tx, pg *page, changes []store.Change) error {
	in := db.InsertPayoutsParams{
		Tenant: pg.run.Tenant, RunID: pg.run.ID, BatchID: pg.batch, Page: int32(pg.run.Page), PeriodDate: pg.run.LocalDate,
		Kind: pg.run.Job, Currency: string(pg.tenant.Currency), NominalTime: pg.run.NominalTime, Now: p.Store.Clock.Now(),
	}
	msgs := make([]outbox.Message, 0, 2*len(pg.drafts))
	for i, d := range pg.drafts {
		row := pg.payout(d)
		var err error
		if msgs, err = p.tell(ctx, msgs, "payout.created", row); err != nil {
			return err
		}
		if atOnce(changes[i]) {
			next, t, err := changes[i].Of(row)
			if err != nil {
				return err
			}
			if msgs, err = p.tell(ctx, msgs, t, next); err != nil {
				return err
			}
			row = next
		}
		in.PayoutIds, in.PayeeIds, in.Seqs = append(in.PayoutIds, d.id), append(in.PayeeIds, d.payee), append(in.Seqs, int32(d.seq))
		in.Gross, in.Commissions, in.Nets = append(in.Gross, d.sum.Gross), append(in.Commissions, d.sum.Commission), append(in.Nets, d.sum.Net)
		in.ItemCounts, in.Providers = append(in.ItemCounts, int32(d.sum.Items)), append(in.Providers, d.provider)
		in.ByDefaults = append(in.ByDefaults, d.byDefault)
		in.Destinations, in.ApprovalsNeeded = append(in.Destinations, d.destination), append(in.ApprovalsNeeded, int32(d.approvals))
		in.States, in.Versions = append(in.States, string(row.State)), append(in.Versions, row.Version)
		in.CapDates = append(in.CapDates, capDate(changes[i]))
	}
	if err := pg.q.InsertPayouts(ctx, in); err != nil {
		return fmt.Errorf("insert payouts: %w", err)
	}
	return p.Outbox.Append(ctx, tx, msgs...)
}

func (p *Planner) tell(ctx context.Context, msgs []outbox.Message, t event.Type, row payout.Payout) ([]outbox.Message, error) {
	msg, err := p.Store.Event(ctx, row.Tenant, t, row.ID.String(), row.Version, store.Snapshot(row))
	return append(msgs, msg), err
}

// atOnce reports whether a new payout is written in the state that it goes to. Whatever else a change brings with it (items
// released, approvals asked for, causes) is the store's to see to.
func atOnce(c store.Change) bool { return c.To == payout.Approved && c.Reason == (payout.Reason{}) }

// capDate is the date against whose caps a payout counts from its beginning; for those that are moved later the change sets it.
func capDate(c store.Change) string {
	if atOnce(c) {
		return c.CapDate
	}
	return ""
}

func (pg *page) payout(d draft) payout.Payout {
	return payout.Payout{
		ID: d.id, Tenant: pg.run.Tenant, PayeeID: d.payee, RunID: pg.run.ID, BatchID: pg.batch, Page: pg.run.Page,
		PeriodDate: pg.run.LocalDate, Kind: pg.run.Job, Seq: d.seq, State: payout.Created,
		Gross: pg.money(d.sum.Gross), Commission: pg.money(d.sum.Commission), Net: pg.money(d.sum.Net), ItemCount: d.sum.Items,
		Provider: d.provider, Destination: d.destination, NominalTime: pg.run.NominalTime, Version: 1,
	}
}

// decide says what becomes of each of the page's payouts.
func (p *Planner) decide(ctx context.Context, tx pgx.Tx, pg *page, payees []string) ([]store.Change, error) {
	want := pg.spent
	for _, d := range pg.drafts {
		want += max(d.sum.Net, 0)
	}
	caps, err := p.Store.Caps(ctx, tx, pg.run.Tenant, pg.run.LocalDate, payees, want)
	if err != nil {
		return nil, err
	}
	caps.Spend(pg.spent)
	wallets := make([]store.Wallet, len(pg.drafts))
	for i, d := range pg.drafts {
		wallets[i] = store.Wallet{PayeeID: d.payee, Provider: d.provider, Destination: d.destination, Net: d.sum.Net}
	}
	recipients, err := p.Store.Recipients(ctx, tx, pg.run.Tenant, wallets)
	if err != nil {
		return nil, err
	}
	rules := pg.tenant.Payouts
	changes := make([]store.Change, len(pg.drafts))
	for i, d := range pg.drafts {
		to, reason := payout.Decide(payout.Facts{
			Net: d.sum.Net, Minimum: rules.Minimum, MaxPerPayout: rules.MaxPerPayout, ApprovalsNeeded: d.approvals,
			Wallet: d.destination != "", OutflowStopped: pg.outflow.Stopped, PayeePaused: d.paused, WalletRests: d.rests, Recipient: recipients[wallets[i]].Hold(),
			FloatWanting:    slices.Contains(pg.wanting, pg.run.Tenant+"/"+d.provider),
			ProviderStopped: slices.Contains(pg.stopped, pg.run.Tenant+"/"+d.provider) || !serves(pg.tenant, d.provider),
			Cap:             func() string { return caps.Take(d.payee, d.sum.Net) },
		})
		changes[i] = store.Change{PayoutID: d.id, From: []payout.State{payout.Created}, To: to, Reason: reason}
		if to == payout.Approved || to == payout.AwaitingApproval {
			changes[i].CapDate = pg.run.LocalDate
		}
	}
	return changes, nil
}

// settle moves those of the page's payouts that are still created, and wakes the dispatch of those that may go.
func (p *Planner) settle(ctx context.Context, tx pgx.Tx, pg *page, changes []store.Change) error {
	var approved []payout.Payout
	for i, d := range pg.drafts {
		if atOnce(changes[i]) {
			row := pg.payout(d)
			row.State = payout.Approved
			approved = append(approved, row)
		}
	}
	changes = slices.DeleteFunc(changes, atOnce)
	moved, err := p.Store.Apply(ctx, tx, changes)
	if err != nil {
		return err
	}
	if len(moved) != len(changes) {
		return fmt.Errorf("%d payouts of %d left created on page %d", len(moved), len(changes), pg.run.Page)
	}
	pg.planned = slices.Concat(approved, moved)
	if p.Store.BatchTiers(pg.run.Tenant) {
		return nil // nothing goes before the batch's sum is known
	}
	return p.Store.WakeDispatch(ctx, tx, "", pg.planned...)
}

// serves reports whether the tenants file has the provider: a payee's own may have left it.
func serves(t config.Tenant, provider string) bool {
	_, ok := t.Providers[provider]
	return ok
}
