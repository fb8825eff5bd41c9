package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resolve/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Retry approves a failed payout again, with all its items or not at all: one of them may be in another payout by now. One
// that the provider says was paid after all is not tried again.
func (r *Resolver) Retry(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if p.State != payout.Failed {
		return refused(p, "only a failed payout is tried again")
	}
	if err := r.uncontradicted(ctx, tx, p); err != nil {
		return err
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

// Release lets a payout go that a person held, or confirms the payee's new wallet. What is held for another cause is
// released when that is gone. A sum that needs an approval needs it after the release too.
func (r *Resolver) Release(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if err := r.uncontradicted(ctx, tx, p); err != nil {
		return err
	}
	if p.State == payout.Held && !slices.Contains(payout.NeedsPerson(), p.Reason.Code) {
		return rpc.Refused("held_for_cause", "mend the cause: it is released by itself then", "payout %s is held for %s", id, p.Reason.Code)
	}
	if p.State == payout.Held && p.Reason.Code == payout.CodeDestination {
		if err := r.readdress(ctx, tx, id); err != nil {
			return err
		}
	}
	c := store.Change{To: payout.Approved, Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeCauseGone}}
	if r.Store.NeedsApproval(p) {
		c.To, c.Reason.Code = payout.AwaitingApproval, payout.CodeAboveTier
	}
	return r.move(ctx, tx, p, c, "only a held payout can be released", payout.Held)
}

// readdress sends a payout to the wallet that its payee has now.
func (r *Resolver) readdress(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	n, err := db.New(tx).Readdress(ctx, id)
	if err != nil {
		return fmt.Errorf("readdress payout %s: %w", id, err)
	}
	if n == 0 {
		return rpc.Refused("no_wallet", "import the payee with a telephone number first", "the payee of payout %s has no wallet now", id)
	}
	return nil
}

// uncontradicted refuses what could pay a second time: the provider says of a closed attempt that it was paid, or that it
// may be yet.
func (r *Resolver) uncontradicted(ctx context.Context, tx pgx.Tx, p payout.Payout) error {
	found, err := db.New(tx).Contradictions(ctx, p.ID)
	if err != nil {
		return fmt.Errorf("read what contradicts payout %s: %w", p.ID, err)
	}
	if len(found) == 0 {
		return nil
	}
	return rpc.Refused("contradicted", "settle it with the provider; the difference is in suspense",
		"the provider says of a closed attempt of payout %s: %s", p.ID, found[0])
}

// Cancel ends a payout that was not sent and frees its items.
func (r *Resolver) Cancel(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	p, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if err := r.uncontradicted(ctx, tx, p); err != nil {
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
