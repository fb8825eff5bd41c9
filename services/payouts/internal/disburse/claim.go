package disburse

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// claimed is what one claim brought.
type claimed struct {
	begun   []attempt.Attempt
	held    int           // payouts that may not go and were held with their cause
	rest    time.Duration // the connector rests for so long; nothing was claimed
	probing bool          // the connector is degraded and a transfer is under way; nothing was claimed
}

// claim is transaction A: it takes up to most payouts, writes their attempts with references and leases, moves what they
// owe into transit, and commits. What may not go is held with its cause.
//
// The commit may fail without telling whether it happened. Then nothing is sent: what was begun is returned with the error,
// to be recorded as never sent.
func (l *lane) claim(ctx context.Context, most int) (claimed, error) {
	var c claimed
	committing := false
	err := pg.InTx(ctx, l.d.Pool, func(tx pgx.Tx) (err error) {
		c, err = l.claimIn(ctx, tx, most)
		committing = err == nil
		return err
	})
	if err != nil && !committing {
		c = claimed{}
	}
	l.d.metrics.claimed.Observe(float64(len(c.begun)))
	return c, err
}

func (l *lane) claimIn(ctx context.Context, tx pgx.Tx, most int) (c claimed, err error) {
	g, err := l.gate(ctx, tx)
	if err != nil || g.wait {
		return c, err
	}
	c.rest, c.probing = g.rest, g.degraded && l.open.Load() > 0
	if c.rest > 0 || c.probing {
		return c, nil
	}
	rows, err := l.take(ctx, tx, g, most)
	if err != nil || len(rows) == 0 {
		return c, err
	}
	if g.hold != "" {
		c.held, err = l.hold(ctx, tx, rows, func(db.ClaimRow) string { return g.hold })
		return c, err
	}
	err = l.begin(ctx, tx, rows, &c)
	return c, err
}

// gates is what stands before a lane's payouts as a whole.
type gates struct {
	hold     string        // the code of what holds them
	wait     bool          // the batch's control: they stay approved behind it
	rest     time.Duration // the connector's
	degraded bool          // one payout at a time
}

// gate reads the rows that every replica looks at before it sends: the batch's control, the tenant's switch, the connector.
func (l *lane) gate(ctx context.Context, q db.DBTX) (gates, error) {
	controls, err := db.New(q).Controls(ctx, l.run.ID)
	if err != nil {
		return gates{}, fmt.Errorf("read controls: %w", err)
	}
	st, err := l.d.States.Get(ctx, q, l.conn.Connector)
	if err != nil {
		return gates{}, err
	}
	now := l.d.Clock.Now()
	var g gates
	switch {
	case controls.Control != store.ControlOpen:
		g.wait = true
	case controls.Stopped:
		g.hold = payout.CodeTenantStop
	case st.State == provider.Stopped:
		g.hold = payout.CodeProviderStopped
	case st.Resting(now) && st.RestCode == provider.CodeFloat:
		g.hold = provider.CodeFloat
	case st.Resting(now):
		g.rest = st.RestUntil.Sub(now)
	case st.State == provider.Degraded:
		g.degraded = true
	}
	return g, nil
}

func (l *lane) take(ctx context.Context, tx pgx.Tx, g gates, most int) ([]db.ClaimRow, error) {
	if g.degraded {
		most = 1
	}
	if g.hold != "" {
		most = holdMost
	}
	rows, err := db.New(tx).Claim(ctx, db.ClaimParams{
		RunID: l.run.ID, Page: int32(l.page), Provider: l.conn.Provider, Now: l.d.Clock.Now(), Resting: l.resting(), PageLimit: int32(most),
	})
	if err != nil {
		return nil, fmt.Errorf("claim payouts: %w", err)
	}
	return rows, nil
}

// holdMost is how many payouts one transaction holds: a whole page.
const holdMost = 500

// hold holds the payouts for which cause names one, and returns how many that were.
func (l *lane) hold(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow, cause func(db.ClaimRow) string) (int, error) {
	var changes []store.Change
	for _, r := range rows {
		if code := cause(r); code != "" {
			changes = append(changes, store.Change{PayoutID: r.PayoutID, From: []payout.State{payout.Approved}, To: payout.Held, Reason: holdReason(code)})
		}
	}
	if len(changes) == 0 {
		return 0, nil
	}
	if _, err := l.d.Store.Apply(ctx, tx, changes); err != nil {
		return 0, err
	}
	return len(changes), l.d.Store.Settle(ctx, tx, l.run.ID)
}

func holdReason(code string) payout.Reason {
	if code == provider.CodeFloat {
		return payout.Reason{Scope: payout.ScopeFloat, Code: code}
	}
	return payout.HeldBy(code)
}

// unfit is why a single payout may not go; "" when it may.
func unfit(r db.ClaimRow) string {
	switch {
	case r.PayeeState != "active":
		return payout.CodePayeePaused
	case r.DestinationChanged: // by an import since it was planned; a person confirms the new wallet by releasing it
		return payout.CodeDestination
	default:
		return ""
	}
}

// begin writes the intent of those that may go.
func (l *lane) begin(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow, c *claimed) error {
	var err error
	if c.held, err = l.hold(ctx, tx, rows, unfit); err != nil {
		return err
	}
	starts, changes, payees := make([]attempt.Start, 0, len(rows)), make([]store.Change, 0, len(rows)), map[uuid.UUID]string{}
	for _, r := range rows {
		if unfit(r) != "" {
			continue
		}
		s := l.start(r)
		starts, payees[r.PayoutID] = append(starts, s), r.PayeeID
		changes = append(changes, store.Change{
			PayoutID: r.PayoutID, From: []payout.State{payout.Approved}, To: payout.Submitting,
			Attempt: s.Number, Reference: s.Reference, Provider: s.Provider,
		})
	}
	if c.begun, err = attempt.Begin(ctx, tx, l.owner, l.conn.Policy.Lease, l.d.Clock.Now(), starts); err != nil {
		return err
	}
	if err := l.d.Outcomes.Begun(ctx, tx, c.begun, payees); err != nil {
		return err
	}
	moved, err := l.d.Store.Apply(ctx, tx, changes)
	if err == nil && len(moved) != len(changes) {
		err = fmt.Errorf("claim payouts: %d of %d locked ones are not approved", len(changes)-len(moved), len(changes))
	}
	return err
}

// start is the next attempt of a payout: the same number and reference again while it is proven that nothing was sent
// under it, the next one otherwise.
func (l *lane) start(r db.ClaimRow) attempt.Start {
	number := int(r.Attempt)
	if attempt.State(r.AttemptState) != attempt.NotSent {
		number++
	}
	return attempt.Start{
		Key: attempt.Key{Subject: r.PayoutID, Number: number}, Tenant: l.conn.Tenant, Provider: l.conn.Provider,
		Reference: payout.Reference(r.PayoutID, number), Destination: r.Destination,
		Amount: money.Amount{Minor: r.Net, Currency: money.Currency(r.Currency)},
	}
}
