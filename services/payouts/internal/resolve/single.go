package resolve

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Retry approves a failed payout again, with all its items or not at all: one of them may be in another payout by now.
func (r *Resolver) Retry(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if p.State != payout.Failed {
		return refused(p, "only a failed payout is tried again")
	}
	err = r.Store.Reclaim(ctx, tx, id)
	if errors.Is(err, store.ErrItemsTaken) {
		return rpc.Refused("items_taken", "its payments are paid by another payout or were refunded: nothing is left to pay here", "payout %s: %v", id, err)
	}
	if err != nil {
		return err
	}
	return r.move(ctx, tx, p, store.Change{To: payout.Approved, Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeRetry}}, "")
}

// Hold keeps a payout from being sent until a person releases it.
func (r *Resolver) Hold(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	return r.move(ctx, tx, p, store.Change{To: payout.Held, Reason: payout.HeldBy(payout.CodeByPerson)},
		"only what has not been sent can be held", payout.Created, payout.Approved, payout.AwaitingApproval)
}

// Release lets a payout go that a person held. What is held for another cause is released when that is gone.
func (r *Resolver) Release(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if p.State == payout.Held && p.Reason.Code != payout.CodeByPerson {
		return rpc.Refused("held_for_cause", "mend the cause: it is released by itself then", "payout %s is held for %s", id, p.Reason.Code)
	}
	return r.move(ctx, tx, p, store.Change{To: payout.Approved, Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeCauseGone}},
		"only a held payout can be released", payout.Held)
}

// Cancel ends a payout that was not sent and frees its items.
func (r *Resolver) Cancel(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	return r.move(ctx, tx, p, store.Change{To: payout.Cancelled, Reason: payout.HeldBy(payout.CodeByPerson)},
		"only what is held or approved and not on its way can be cancelled", payout.Held, payout.Approved)
}

// move applies one change, from the payout's present state if that is among those given (none given: any).
func (r *Resolver) move(ctx context.Context, tx pgx.Tx, p payout.Payout, c store.Change, next string, from ...payout.State) error {
	allowed := len(from) == 0
	for _, s := range from {
		allowed = allowed || s == p.State
	}
	if !allowed {
		return refused(p, next)
	}
	c.PayoutID, c.From = p.ID, []payout.State{p.State}
	moved, err := r.Store.Apply(ctx, tx, []store.Change{c})
	if err != nil {
		return err
	}
	if len(moved) != 1 {
		return refused(p, "it has just moved; look at it again")
	}
	return r.after(ctx, tx, p.ID)
}
