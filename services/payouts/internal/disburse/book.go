// Package disburse knows the payouts that are sent: which of a page may go now, what holds the others, and what is written
// when a send begins. How sends are claimed, called and recorded is internal/dispatch.
package disburse

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// pauseAfterFaults is how many faults of a provider in a row pause a batch; at least twice the connector's slots.
const pauseAfterFaults = 20

// Book is the dispatcher's view of payouts.
type Book struct {
	Store    *store.Store
	Outcomes *outcome.Outcomes
	Clock    clock.Clock
}

var _ dispatch.Book = (*Book)(nil)

// Providers lists the providers of a page's approved payouts.
func (b *Book) Providers(ctx context.Context, q dispatch.DBTX, at run.Place) ([]string, error) {
	return db.New(q).PageProviders(ctx, db.PageProvidersParams{RunID: at.Run, Page: int32(at.Page)})
}

// Help finds the last page of a run, other than some, of which something may go.
func (b *Book) Help(ctx context.Context, run uuid.UUID, except []int) (page int, ok bool, err error) {
	p := db.PageToHelpParams{RunID: run, Now: b.Clock.Now(), Passed: make([]int32, len(except))}
	for i, page := range except {
		p.Passed[i] = int32(page)
	}
	found, err := db.New(b.Store.Runs.Pool).PageToHelp(ctx, p)
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	return int(found[0]), true, nil
}

// Gate reads the batch's control and approvals, the tenant's switch and the connector's state. Behind a batch that is paused
// or not approved payouts stay approved; everything else holds them with its cause.
func (b *Book) Gate(ctx context.Context, q dispatch.DBTX, l dispatch.Lane, st provider.Status) (dispatch.Gate, error) {
	controls, err := db.New(q).Controls(ctx, l.Run.ID)
	if err != nil {
		return dispatch.Gate{}, fmt.Errorf("read controls: %w", err)
	}
	switch {
	case controls.Control == store.ControlCancelled:
		return dispatch.Gate{Code: payout.CodeRunCancelled, Stay: true, Ask: true}, nil
	case controls.Control != store.ControlOpen:
		rest := controls.ControlReason == payout.CodeFailureRate && b.Store.HoldsRest(l.Run.Tenant)
		return dispatch.Gate{Code: payout.CodeBatchPaused, Stay: !rest}, nil
	case controls.Unapproved || !controls.Planned && b.Store.BatchTiers(l.Run.Tenant):
		return dispatch.Gate{Code: payout.CodeBatchApproval, Stay: true}, nil
	case controls.Stopped:
		return dispatch.Gate{Code: payout.CodeTenantStop}, nil
	case st.State == provider.Stopped:
		return dispatch.Gate{Code: payout.CodeProviderStopped}, nil
	case st.WantsFloat(b.Clock.Now()):
		return dispatch.Gate{Code: payout.CodeFloat}, nil
	default:
		return dispatch.Gate{}, nil
	}
}

// Hold holds what is approved of the lane.
func (b *Book) Hold(ctx context.Context, tx pgx.Tx, l dispatch.Lane, code string, most int) (int, error) {
	rows, err := b.take(ctx, tx, l, most, nil, false)
	if err != nil {
		return 0, err
	}
	return b.hold(ctx, tx, l, rows, func(db.ClaimRow) string { return code })
}

// Unserved holds what was approved for a provider that is gone.
func (b *Book) Unserved(ctx context.Context, tx pgx.Tx, l dispatch.Lane) error {
	_, err := b.Hold(ctx, tx, l, payout.CodeProviderStopped, unservedMost)
	return err
}

// unservedMost is how many payouts one transaction holds whose provider is gone: a whole page.
const unservedMost = 500

// Claim takes approved payouts of the lane; those that may not go by themselves are held with their cause.
func (b *Book) Claim(ctx context.Context, tx pgx.Tx, l dispatch.Lane, most int, resting []uuid.UUID) (dispatch.Claim, error) {
	c := dispatch.Claim{Description: "payout " + l.Run.LocalDate}
	rows, err := b.take(ctx, tx, l, most, resting, true)
	if err != nil || len(rows) == 0 {
		return c, err
	}
	if rows, err = b.current(ctx, tx, rows); err != nil {
		return c, err
	}
	unfit := func(r db.ClaimRow) string { return b.unfit(l.Run.Tenant, r) }
	if c.Held, err = b.hold(ctx, tx, l, rows, unfit); err != nil {
		return c, err
	}
	held := make([]payout.Payout, 0, len(rows))
	for _, r := range rows {
		if unfit(r) == "" {
			c.Starts, held = append(c.Starts, start(l, r)), append(held, fromRow(r))
		}
	}
	c.Begun = func(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt) error {
		return b.begun(ctx, tx, begun, held)
	}
	c.Doubt = func(ctx context.Context, tx pgx.Tx, lapsed []attempt.Start) error {
		return b.doubt(ctx, tx, lapsed, held)
	}
	return c, nil
}

// take locks approved payouts of a lane. To be sent, those are left alone that a provider is being asked about after a restore.
func (b *Book) take(ctx context.Context, tx pgx.Tx, l dispatch.Lane, most int, resting []uuid.UUID, toSend bool) ([]db.ClaimRow, error) {
	if resting == nil {
		resting = []uuid.UUID{}
	}
	now := b.Clock.Now()
	var sentSince time.Time // nothing is sent through a provider that is not in the file
	if l.Connector != nil {
		sentSince = l.Connector.Policy.ResendsSince(now)
	}
	rows, err := db.New(tx).Claim(ctx, db.ClaimParams{
		RunID: l.Run.ID, Page: int32(l.Page), Provider: l.Provider, Now: now, Resting: resting, ToSend: toSend,
		DeniedSince: now.Add(-attempt.ResendWithin), SentSince: sentSince, CooledSince: b.Store.CooledSince(l.Run.Tenant), DefaultProvider: b.Store.DefaultProvider(l.Run.Tenant),
		Verify: b.Store.Verifies(l.Run.Tenant, l.Provider), Traceless: attempt.Traceless, PageLimit: int32(most),
	})
	if err != nil {
		return nil, fmt.Errorf("claim payouts: %w", err)
	}
	return rows, nil
}

// current reads the newest attempts anew of payouts whose claim has not seen them: another replica began and ended one after the statement
// began and before it held the payout. What is asked about since is left out. Nearly always there is nothing to read.
func (b *Book) current(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow) ([]db.ClaimRow, error) {
	unseen := func(r db.ClaimRow) bool { return r.Attempt > 0 && r.AttemptState == "" }
	var ids []uuid.UUID
	for _, r := range rows {
		if unseen(r) {
			ids = append(ids, r.PayoutID)
		}
	}
	if len(ids) == 0 {
		return rows, nil
	}
	newest, err := db.New(tx).NewestAttempts(ctx, db.NewestAttemptsParams{Ids: ids, Traceless: attempt.Traceless})
	if err != nil {
		return nil, fmt.Errorf("read what was attempted while payouts were claimed: %w", err)
	}
	byID := make(map[uuid.UUID]db.NewestAttemptsRow, len(newest))
	for _, n := range newest {
		byID[n.PayoutID] = n
	}
	for i := range rows {
		if unseen(rows[i]) {
			rows[i].AttemptState, rows[i].Spent = byID[rows[i].PayoutID].State, byID[rows[i].PayoutID].Spent
		}
	}
	return slices.DeleteFunc(rows, func(r db.ClaimRow) bool { return byID[r.PayoutID].Open }), nil
}

// hold holds the payouts for which cause names one, and returns how many that were.
func (b *Book) hold(ctx context.Context, tx pgx.Tx, l dispatch.Lane, rows []db.ClaimRow, cause func(db.ClaimRow) string) (int, error) {
	var changes []store.Change
	for _, r := range rows {
		if code := cause(r); code != "" {
			changes = append(changes, store.Change{PayoutID: r.PayoutID, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(code)})
		}
	}
	if len(changes) == 0 {
		return 0, nil
	}
	if _, err := b.Store.Apply(ctx, tx, changes); err != nil {
		return 0, err
	}
	return len(changes), b.Store.Settle(ctx, tx, l.Run.ID)
}

// unfit is why a single payout may not go; "" when it may.
func (b *Book) unfit(tenant string, r db.ClaimRow) string {
	switch {
	case b.Store.Unapproved(tenant, r.Net, int(r.ApprovalsNeeded), int(r.Approvals)): // its tier is newer than its approval
		return payout.CodeAboveTier
	case r.PayeeState != "active":
		return payout.CodePayeePaused
	case r.DestinationRests: // it is not the payee's any more, or the payee's is not confirmed or cooling off
		return payout.CodeDestination
	case r.Restored:
		return payout.CodeRestored
	default:
		return payout.RecipientCode(r.Recipient)
	}
}

// begun moves the payouts of attempts to submitting and posts what they owe as in transit. held are payouts that the claim has read
// and holds, with those of the attempts among them.
func (b *Book) begun(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt, held []payout.Payout) error {
	payees := make(map[uuid.UUID]string, len(held))
	for _, p := range held {
		payees[p.ID] = p.PayeeID
	}
	if err := b.Outcomes.Begun(ctx, tx, begun, payees); err != nil {
		return err
	}
	changes := make([]store.Change, 0, len(begun))
	for _, a := range begun {
		changes = append(changes, store.Change{
			PayoutID: a.Subject, From: []payout.State{payout.Approved}, To: payout.Submitting,
			Attempt: a.Number, Reference: a.Reference, Provider: a.Provider,
		})
	}
	moved, err := b.Store.ApplyTo(ctx, tx, held, changes)
	if err == nil && len(moved) != len(changes) {
		err = fmt.Errorf("claim payouts: %d of %d locked ones are not approved", len(changes)-len(moved), len(changes))
	}
	return err
}

// doubt puts payouts that the claim has read and holds in doubt again.
func (b *Book) doubt(ctx context.Context, tx pgx.Tx, lapsed []attempt.Start, held []payout.Payout) error {
	denied := slices.DeleteFunc(slices.Clone(held), func(p payout.Payout) bool {
		return !slices.ContainsFunc(lapsed, func(s attempt.Start) bool { return s.Subject == p.ID })
	})
	return b.Outcomes.Doubt(ctx, tx, payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeDenialLapsed}, denied)
}

// start is the next attempt of a payout: the same number and reference again while it is proven that nothing was sent
// under it, the next one otherwise.
func start(l dispatch.Lane, r db.ClaimRow) attempt.Start {
	number := attempt.Next(int(r.Attempt), attempt.State(r.AttemptState), r.Spent)
	day, _ := time.Parse(time.DateOnly, r.PeriodDate) // of a date column; the zero time would be any day
	return attempt.Start{
		Key: attempt.Key{Subject: r.PayoutID, Number: number}, Tenant: l.Run.Tenant, Provider: l.Provider,
		Reference: payout.Reference(r.PayoutID, number), Destination: r.Destination,
		Amount: money.Amount{Minor: r.Net, Currency: money.Currency(r.Currency)}, Day: day, Lapsed: r.Lapsed, Spent: r.Spent,
	}
}

// Apply moves payouts with their attempts.
func (b *Book) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	_, err := b.Outcomes.Apply(ctx, tx, moved)
	return err
}

// Late takes in answers that somebody else did not wait for.
func (b *Book) Late(ctx context.Context, tx pgx.Tx, answers []attempt.Outcome) error {
	_, err := b.Outcomes.Late(ctx, tx, answers)
	return err
}

// Watch pauses a batch that meets only faults: what each of them leaves in doubt needs people, so the rest does not follow.
func (b *Book) Watch(ctx context.Context, tx pgx.Tx, l dispatch.Lane, faults int, answered bool) error {
	rows, err := db.New(tx).CountFaults(ctx, db.CountFaultsParams{RunID: l.Run.ID, Answered: answered, Faults: int32(faults)})
	if err != nil {
		return fmt.Errorf("count provider faults of the batch: %w", err)
	}
	for _, r := range rows { // one: a run has one batch
		if int(r.ProviderFaults) < max(pauseAfterFaults, 2*l.Connector.Throttle.Capacity()) {
			continue
		}
		if _, err := b.Store.PauseBatch(ctx, tx, r.BatchID, payout.Reason{Scope: payout.ScopeProvider, Code: "provider_faults"}); err != nil {
			return err
		}
	}
	return nil
}

// Settle completes runs and their batches.
func (b *Book) Settle(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error {
	return b.Store.Settle(ctx, tx, runs...)
}
