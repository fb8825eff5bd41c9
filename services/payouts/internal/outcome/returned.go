package outcome

import (
	"context"
	"fmt"

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
		if fee := u.Decision.Returned.Fee; fee != nil && a.Fee != nil && *a.Fee > fee.Minor {
			part := money.Amount{Minor: *a.Fee - fee.Minor, Currency: a.Amount.Currency}
			postings = append(postings, o.posting(a, KindFeeBack, 0, float, ledger.Fees, part))
		}
	}
	return ledger.Post(ctx, tx, postings...)
}
