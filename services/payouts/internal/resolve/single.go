package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resolve/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Retry approves a failed payout again, with all its items or not at all: one of them may be in another payout by now. It
// counts against today's caps, unless it waits for its own retry and never ceased to count.
func (r *Resolver) Retry(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	if _, err := r.Store.LockOutflow(ctx, tx, tenant); err != nil { // before the payout, as everything that takes caps does
		return err
	}
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	p := sub.Payout
	if p.State != payout.Failed {
		return refused(p, "only a failed payout is tried again")
	}
	if p.Contradicted { // before its run: its payments are kept
		return contradicted(p)
	}
	if err := r.ofCancelled(ctx, tx, p, "its payments are free, at the latest when it would be tried again: the next run plans them anew"); err != nil {
		return err
	}
	if err := sub.proven(); err != nil {
		return err
	}
	err = r.Store.Reclaim(ctx, tx, id)
	if errors.Is(err, store.ErrItemsTaken) {
		return rpc.Refused("items_taken", "its payments are paid by another payout or were refunded: nothing is left to pay here", "payout %s: %v", id, err)
	}
	if err != nil {
		return err
	}
	c := store.Change{To: payout.Approved, Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeRetry}}
	if p.RetryAt == nil {
		if c.CapDate, err = r.takeCap(ctx, tx, p); err != nil {
			return err
		}
	}
	return r.move(ctx, tx, p, c, "")
}

// Hold keeps a payout from being sent until a person releases it. What EVENTS told of before a restore, through another provider, is held as that,
// whatever holds it already: the release is the word of whoever has looked there, and nothing else ends it.
func (r *Resolver) Hold(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	p, code := sub.Payout, payout.CodeByPerson
	from := []payout.State{payout.Created, payout.Approved, payout.AwaitingApproval}
	doubts, err := r.Store.Doubts(ctx, tx, id)
	if err != nil {
		return err
	}
	if doubts[id].ForPeople() && p.State != payout.Created {
		code = payout.CodeRestored
		if p.Reason.Code != code {
			from = append(from, payout.Held)
		}
	}
	why := "only what has not been sent can be held"
	if p.State == payout.Held {
		why = "it is held already"
	}
	return r.move(ctx, tx, p, store.Change{To: payout.Held, Reason: payout.HeldBy(code)}, why, from...)
}

// Release lets a payout go that a person held, confirms the payee's new wallet, vouches for what the payee was sent before a restore,
// or asks again for an approval that expired. What was told of before a restore, through another provider, stays held on the first word. What is held
// for another cause is released when that is gone. A sum that needs an approval needs it after the release too.
func (r *Resolver) Release(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	if _, err := r.Store.LockOutflow(ctx, tx, tenant); err != nil { // before the payout, as everything that takes caps does
		return err
	}
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	p := sub.Payout
	if p.Contradicted { // before its run: it does not end with it
		return contradicted(p)
	}
	over, err := r.over(ctx, tx, p)
	if err != nil {
		return err
	}
	switch {
	case p.State != payout.Held:
		return refused(p, "only a held payout can be released")
	case payout.OfRecipient(p.Reason.Code):
		return rpc.Refused(p.Reason.Code, "agogo payees list --state unverified says why; then import the right wallet or name, or: agogo payees confirm "+p.PayeeID+" --phone-ends DIGITS --reason TEXT",
			"payout %s is held until the wallet of payee %q is verified", id, p.PayeeID)
	case p.Reason.Code != payout.CodeDestination && !slices.Contains(payout.NeedsPerson(), p.Reason.Code):
		return r.waits(ctx, tx, p, over)
	case p.Reason.Code == payout.CodeDestination:
		if err := r.readdress(ctx, tx, p); err != nil {
			return err
		}
	case p.Reason.Code == payout.CodeRestored:
		if kept, err := r.vouch(ctx, tx, p, over); err != nil || kept {
			return err
		}
	}
	c := store.Change{To: payout.Approved, Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeCauseGone}}
	if over { // what is not sent waits for no room, but counts until it is proven that it was not sent before
		c.CapDate = r.Store.Today(p.Tenant)
		err = r.Store.NoteUse(ctx, tx, p.Tenant, c.CapDate, p.Net.Minor)
	} else {
		c.CapDate, err = r.takeCap(ctx, tx, p)
	}
	if err != nil {
		return err
	}
	return r.move(ctx, tx, p, c, "")
}

// over refuses what belongs to a cancelled batch, unless it may have been sent before a restore: a person's word may be what is missing
// then. Released, it is taken over or cancelled by what the provider says. It is not sent. It reports whether the batch was cancelled.
func (r *Resolver) over(ctx context.Context, tx pgx.Tx, p payout.Payout) (bool, error) {
	cancelled, err := r.Store.OfCancelled(ctx, tx, p.ID)
	if err != nil || len(cancelled) == 0 {
		return false, err
	}
	doubts, err := r.Store.Doubts(ctx, tx, p.ID)
	if err != nil || doubts[p.ID].Restored || doubts[p.ID].Elsewhere {
		return true, err
	}
	return true, r.ofCancelled(ctx, tx, p, "it ends with its run by itself: its payments are free then, or two people are asked")
}

// takeCap books a payout on today's caps and returns the date, or refuses.
func (r *Resolver) takeCap(ctx context.Context, tx pgx.Tx, p payout.Payout) (string, error) {
	today := r.Store.Today(p.Tenant)
	caps, err := r.Store.Caps(ctx, tx, p.Tenant, today, []string{p.PayeeID}, p.Net.Minor)
	if err != nil {
		return "", err
	}
	if code := caps.Take(p.PayeeID, p.Net.Minor); code != "" {
		return "", rpc.Refused(code, "give the command again tomorrow, or raise the cap", "payout %s of %d does not fit into what is left of today", p.ID, p.Net.Minor)
	}
	return today, nil
}

// readdress sends a payout to the wallet that its payee has now, which must be with the same provider, be confirmed and have cooled off.
// Approvals were given for the other one.
func (r *Resolver) readdress(ctx context.Context, tx pgx.Tx, p payout.Payout) error {
	id := p.ID
	now, err := r.wallet(ctx, tx, p)
	if err != nil {
		return err
	}
	switch {
	case now.Phone == "":
		return rpc.Refused("no_wallet", "import the payee with a telephone number first", "the payee of payout %s has no wallet now", id)
	case now.Elsewhere: // a payout keeps its provider: its caps, float and attempts are that one's
		return r.otherProvider(ctx, tx, p)
	case now.Unconfirmed:
		return rpc.Refused("destination_unconfirmed", "ask the payee, then a second person: agogo payees confirm "+p.PayeeID+" --phone-ends DIGITS --reason TEXT", "the wallet of the payee of payout %s is not confirmed", id)
	case now.Cooling && now.Same: // planned to it
		return rpc.Refused("destination_cooling_off", "it goes by itself when destination_cool_off is over; agogo payees list says when", "the wallet of the payee of payout %s was changed a short time ago", id)
	case now.Cooling:
		return rpc.Refused("destination_cooling_off", "give the command again when destination_cool_off is over; agogo payees list says when", "the wallet of the payee of payout %s was changed a short time ago", id)
	case now.Same:
		return nil
	}
	if _, err := db.New(tx).Readdress(ctx, id); err != nil {
		return fmt.Errorf("readdress payout %s: %w", id, err)
	}
	return r.Store.VoidApprovals(ctx, tx, id)
}

// wallet reads where the payee of a payout is paid now.
func (r *Resolver) wallet(ctx context.Context, tx pgx.Tx, p payout.Payout) (db.DestinationRestsRow, error) {
	now, err := db.New(tx).DestinationRests(ctx, db.DestinationRestsParams{
		CooledSince: r.Store.CooledSince(p.Tenant), DefaultProvider: r.Store.DefaultProvider(p.Tenant), PayoutID: p.ID,
	})
	if err != nil {
		return now, fmt.Errorf("read the wallet of payout %s: %w", p.ID, err)
	}
	return now, nil
}

// otherProvider refuses to send a payout whose payee is paid by another provider now. It ends, so that the next run plans it anew, where
// it can: cancelling says what is in the way.
func (r *Resolver) otherProvider(ctx context.Context, tx pgx.Tx, p payout.Payout) error {
	doubts, err := r.Store.Doubts(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	if d, doubted := doubts[p.ID]; doubted {
		return r.maybePaid(ctx, tx, p, d)
	}
	return rpc.Refused("other_provider", "agogo payouts cancel "+p.ID.String()+" --reason TEXT; the next run plans it anew", "the wallet of the payee of payout %s is with another provider now than %s", p.ID, p.Provider)
}

// vouch takes a person's word about what holds a payout since a restore, and reports whether it stays held. What EVENTS told of through another
// provider was not paid there, by that word, which says nothing of whether it is to be paid here: it stays held, and goes on a second word or is
// cancelled. Of a cancelled batch nothing goes. Anything else can be cancelled before the word is given, so it is let go: what the payee was sent is known.
func (r *Resolver) vouch(ctx context.Context, tx pgx.Tx, p payout.Payout, over bool) (kept bool, err error) {
	doubts, err := r.Store.Doubts(ctx, tx, p.ID)
	if err != nil {
		return false, err
	}
	actor, now := event.CauseFrom(ctx).Actor, r.Clock.Now()
	if !doubts[p.ID].Elsewhere {
		return false, restore.PassLost(ctx, tx, p.Tenant, p.PayeeID, actor, now)
	}
	if err := restore.SettleLost(ctx, tx, p.ID, actor, now); err != nil || over {
		return false, err
	}
	return true, r.move(ctx, tx, p, store.Change{To: payout.Held, Reason: payout.HeldBy(payout.CodeByPerson)}, "")
}

// proven refuses unless everything that was ever sent for the payout is proven not to have been paid, with nothing left to
// ask about.
func (s subject) proven() error {
	if s.Contradicted {
		return contradicted(s.Payout)
	}
	for _, a := range s.attempts {
		if a.State != attempt.Failed && a.State != attempt.NotSent {
			return lookAgain(s.Payout, fmt.Sprintf("its attempt %d is %s: wait for its outcome", a.Number, a.State))
		}
		if a.NextLookupAt != nil {
			return review.Outstanding(fmt.Sprintf("attempt %d is being looked up again: a webhook spoke of it", a.Number))
		}
	}
	return nil
}

// Cancel ends a payout that was not sent and frees its items.
func (r *Resolver) Cancel(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	p := sub.Payout
	const next = "only what is held or approved can be cancelled"
	if p.State != payout.Held && p.State != payout.Approved {
		return refused(p, next)
	}
	if err := sub.proven(); err != nil {
		return err
	}
	doubts, err := r.Store.Doubts(ctx, tx, id)
	if err != nil {
		return err
	}
	if d, doubted := doubts[id]; doubted {
		return r.maybePaid(ctx, tx, p, d)
	}
	return r.move(ctx, tx, p, store.Change{To: payout.Cancelled, Reason: payout.HeldBy(payout.CodeByPerson)}, next)
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
		return lookAgain(p, "it has just moved")
	}
	return r.after(ctx, tx, p.ID)
}
