// Package resolve lets people decide about single payouts: two of them about one in manual review, one of them to retry,
// hold, release or cancel.
package resolve

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resolve/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	paid    = "paid"
	notPaid = "not_paid"
)

// Resolver decides in the transaction of the request; it implements admin.Operate.
type Resolver struct {
	Store    *store.Store
	Outcomes *outcome.Outcomes
	Clock    clock.Clock
}

var _ admin.Operate = (*Resolver)(nil)

// Resolve records the first person's proposal, and applies it when a second one gives the same words. Every proposal has
// the provider asked anew; not_paid is only applied on a lookup that was answered after it.
func (r *Resolver) Resolve(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, res admin.Resolution) (applied bool, err error) {
	if res.PayAgain && res.Outcome != notPaid {
		return false, rpc.Invalid("pay_again", "goes with outcome not_paid: what was paid is not paid again")
	}
	actor, ok := auth.ActorFrom(ctx)
	if !ok {
		return false, errors.New("resolve: no authenticated actor in the context")
	}
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return false, err
	}
	if p.State != payout.ManualReview {
		return false, refused(p, "only a payout in manual_review is decided by people; lookups go on for the others")
	}
	before, err := db.New(tx).LockProposal(ctx, id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("read the proposal for %s: %w", id, err)
	}
	same := err == nil && before.Outcome == res.Outcome && before.PayAgain == res.PayAgain && before.Evidence == res.Evidence
	switch {
	case same && before.Actor == actor.Name:
		return false, nil // said already, and still waiting for somebody else
	case !same:
		return false, r.propose(ctx, tx, p, res, actor.Name)
	}
	if err := provable(before); err != nil {
		return false, err
	}
	return true, r.apply(ctx, tx, p, res)
}

// propose keeps the words and has the provider asked again.
func (r *Resolver) propose(ctx context.Context, tx pgx.Tx, p payout.Payout, res admin.Resolution, actor string) error {
	now := r.Clock.Now()
	err := db.New(tx).Propose(ctx, db.ProposeParams{
		PayoutID: p.ID, Outcome: res.Outcome, PayAgain: res.PayAgain, Evidence: res.Evidence, Actor: actor, Now: now,
	})
	if err != nil {
		return fmt.Errorf("propose for %s: %w", p.ID, err)
	}
	_, err = attempt.Ask(ctx, tx, now, p.ID)
	return err
}

// provable refuses not_paid unless a lookup that was made after the proposal found nothing or a failure. No evidence of
// people outweighs a provider that has not been asked.
func provable(p db.Proposal) error {
	const wait = "the provider is being asked; give the same command again in a moment"
	switch {
	case p.Outcome == paid, p.LookupAt != nil && (p.LookupSaid == outcome.SaidAbsent || p.LookupSaid == outcome.SaidFailed):
		return nil
	case p.LookupAt == nil:
		return rpc.Refused("lookup_outstanding", wait, "no lookup has been answered since the proposal")
	default:
		return rpc.Refused("lookup_contradicts", "look at the provider's own record; what stays unproven stays in review",
			"the lookup after the proposal said %q, which speaks against not_paid", p.LookupSaid)
	}
}

func (r *Resolver) apply(ctx context.Context, tx pgx.Tx, p payout.Payout, res admin.Resolution) error {
	locked, err := attempt.Lock(ctx, tx, attempt.Key{Subject: p.ID, Number: p.Attempt})
	if err != nil {
		return err
	}
	if len(locked) != 1 || locked[0].State != attempt.ManualReview {
		return refused(p, "its attempt has just moved; look at it again")
	}
	if err := r.Outcomes.Resolved(ctx, tx, locked[0], res.Outcome == paid, res.PayAgain); err != nil {
		return err
	}
	if err := db.New(tx).DropProposal(ctx, p.ID); err != nil {
		return fmt.Errorf("close the proposal for %s: %w", p.ID, err)
	}
	return r.after(ctx, tx, p.ID)
}

// after wakes the sending of what is approved now, and settles the run.
func (r *Resolver) after(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	now, err := r.Store.Get(ctx, tx, id)
	if err != nil || len(now) != 1 {
		return errors.Join(err, rpc.NotFound("payout", id.String()))
	}
	if now[0].State == payout.Approved {
		nonce := fmt.Sprintf("v%d", now[0].Version) // one wake-up per decision
		if err := r.Store.WakeDispatch(ctx, tx, nonce, now[0]); err != nil {
			return err
		}
	}
	return r.Store.Settle(ctx, tx, now[0].RunID)
}

// lock takes the payout's row, so that nobody else moves it before this decision commits.
func (r *Resolver) lock(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (payout.Payout, error) {
	_, err := db.New(tx).LockPayout(ctx, db.LockPayoutParams{Tenant: tenant, PayoutID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return payout.Payout{}, rpc.NotFound("payout", id.String())
	}
	if err != nil {
		return payout.Payout{}, fmt.Errorf("lock payout %s: %w", id, err)
	}
	found, err := r.Store.Get(ctx, tx, id)
	if err != nil {
		return payout.Payout{}, err
	}
	return found[0], nil
}

func refused(p payout.Payout, next string) error {
	return rpc.Refused("state", next, "payout %s is %s", p.ID, p.State)
}
