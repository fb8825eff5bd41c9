package outcome

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// returned reverses the payouts of which the provider says that it has taken back what it had paid: both postings of the
// attempt are undone, and the items are free for another payout. It gives back the updates that this does not explain. The
// attempt stays what it was, a success; a payout that is reversed already is left alone.
func (o *Outcomes) returned(ctx context.Context, tx pgx.Tx, updates []attempt.Update) (reversed []payout.Payout, others []attempt.Update, err error) {
	back := map[uuid.UUID]attempt.Update{}
	for _, u := range updates {
		if u.Decision.Returned == nil {
			others = append(others, u)
			continue
		}
		back[u.Attempt.Subject] = u
	}
	if len(back) == 0 {
		return nil, others, nil
	}
	changes := make([]store.Change, 0, len(back))
	for id, u := range back {
		r := u.Decision.Returned
		c := store.Change{
			PayoutID: id, From: []payout.State{payout.Succeeded}, To: payout.Reversed,
			Reason: payout.Reason{Class: string(r.Class), Scope: payout.ScopePayment, Code: payout.CodeLateReturn, ProviderCode: r.ProviderCode},
		}
		if r.Fee != nil {
			c.Fee = &r.Fee.Minor
		}
		changes = append(changes, c)
	}
	if reversed, err = o.Store.Apply(ctx, tx, changes); err != nil {
		return nil, nil, fmt.Errorf("reverse payouts: %w", err)
	}
	return reversed, others, o.undo(ctx, tx, reversed, back)
}

// undo posts that money came back and is owed again, and what of the fee came with it.
func (o *Outcomes) undo(ctx context.Context, tx pgx.Tx, reversed []payout.Payout, back map[uuid.UUID]attempt.Update) error {
	var postings []ledger.Posting
	for _, p := range reversed {
		u := back[p.ID]
		a := u.Attempt
		transit, float := ledger.InTransit(a.Provider), ledger.Float(a.Provider)
		postings = append(postings, o.posting(a, KindReturned, 0, float, transit, a.Amount), o.posting(a, KindReturned, 1, transit, ledger.Payable(p.PayeeID), a.Amount))
		if fee := u.Decision.Returned.Fee; fee != nil {
			postings = append(postings, o.feeBack(a, fee.Minor)...)
		}
	}
	return ledger.Post(ctx, tx, postings...)
}

// feeBack is what came with it of the fee, or what it has cost more.
func (o *Outcomes) feeBack(a attempt.Attempt, costs int64) []ledger.Posting {
	var told int64
	if a.Fee != nil {
		told = *a.Fee
	}
	float, part := ledger.Float(a.Provider), money.Amount{Minor: told - costs, Currency: a.Amount.Currency}
	switch {
	case part.Minor > 0:
		return []ledger.Posting{o.posting(a, KindFeeBack, 0, float, ledger.Fees, part)}
	case part.Minor < 0:
		part.Minor = -part.Minor
		return []ledger.Posting{o.posting(a, KindFeeBack, 1, ledger.Fees, float, part)}
	default:
		return nil
	}
}

// afterReturn reads answers about payouts that came back in the light of that: the attempt is booked as paid, and agrees with one that says so again.
// That it was not paid, or came back, contradicts nothing then, and takes out of suspense what is there. That it was paid, or is on its way, does: it
// returns the answers so read, and the payouts that nothing may pay again.
func (o *Outcomes) afterReturn(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]attempt.Update, []uuid.UUID, error) {
	var ids []uuid.UUID
	for _, u := range updates {
		if u.Attempt.State == attempt.Succeeded && (u.Decision.Affirmed || u.Decision.Mismatch != "") {
			ids = append(ids, u.Attempt.Subject)
		}
	}
	if len(ids) == 0 {
		return updates, nil, nil
	}
	reversed, err := o.Store.Reversed(ctx, tx, ids...)
	if err != nil || len(reversed) == 0 {
		return updates, nil, err
	}
	var paid []uuid.UUID
	updates = slices.Clone(updates)
	for i, u := range updates {
		if u.Attempt.State != attempt.Succeeded || !slices.Contains(reversed, u.Attempt.Subject) {
			continue
		}
		d := &updates[i].Decision
		switch {
		case d.Mismatch == attempt.MismatchNotPaid:
			d.Mismatch, d.Moved, d.Returned, d.TakenBack = "", 0, nil, true
		case d.Mismatch == attempt.MismatchPending:
			paid = append(paid, u.Attempt.Subject)
		case d.Affirmed:
			d.Mismatch = attempt.MismatchPaidAgain
			if d.Amount == nil || d.Amount.Currency == u.Attempt.Amount.Currency { // nobody can tell what of ours other money was
				d.Moved = 1
			}
			paid = append(paid, u.Attempt.Subject)
			o.Alarm(ctx, u.Attempt, "the provider says that it paid what it had said has come back")
		}
	}
	return updates, paid, nil
}
