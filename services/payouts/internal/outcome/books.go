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
)

// Kinds of postings. Their reference is "<payout id>/<attempt>"; the leg of those that can happen again, when a reference
// that was never sent goes again, is the number of the send.
const (
	KindSubmitted = "attempt.submitted"
	KindUndone    = "attempt.undone"
	KindSucceeded = "attempt.succeeded"
	KindFee       = "attempt.fee"
	KindReturned  = "attempt.returned" // undoes both of the above, one leg each
	KindFeeBack   = "attempt.fee_returned"
)

// Begun posts what is now under way: owed to the payee before, in the provider's hands now. payees are the payees of the
// attempts' payouts.
func (o *Outcomes) Begun(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt, payees map[uuid.UUID]string) error {
	postings := make([]ledger.Posting, 0, len(begun))
	for _, a := range begun {
		postings = append(postings, o.posting(a, KindSubmitted, a.Sends, ledger.Payable(payees[a.Subject]), ledger.InTransit(a.Provider), a.Amount))
	}
	return ledger.Post(ctx, tx, postings...)
}

// post books what the new states say: a success reduces the float, a failure and what was never sent are owed again, and
// doubt moves nothing.
func (o *Outcomes) post(ctx context.Context, tx pgx.Tx, before map[uuid.UUID]payout.Payout, moved []attempt.Moved) error {
	var postings []ledger.Posting
	for _, m := range moved {
		a := m.Attempt
		transit := ledger.InTransit(a.Provider)
		switch a.State {
		case attempt.Succeeded:
			postings = append(postings, o.posting(a, KindSucceeded, 0, transit, ledger.Float(a.Provider), a.Amount))
			if a.Fee != nil && *a.Fee > 0 {
				fee := money.Amount{Minor: *a.Fee, Currency: a.Amount.Currency}
				postings = append(postings, o.posting(a, KindFee, 0, ledger.Fees, ledger.Float(a.Provider), fee))
			}
		case attempt.Failed, attempt.NotSent:
			payee := ledger.Payable(before[a.Subject].PayeeID)
			postings = append(postings, o.posting(a, KindUndone, a.Sends, transit, payee, a.Amount))
		default: // accepted or in doubt: it stays in transit
		}
	}
	return ledger.Post(ctx, tx, postings...)
}

func (o *Outcomes) posting(a attempt.Attempt, kind string, leg int, debit, credit string, amount money.Amount) ledger.Posting {
	return ledger.Posting{
		Tenant: a.Tenant, Kind: kind, Ref: fmt.Sprintf("%s/%d", a.Subject, a.Number), Leg: leg,
		Debit: debit, Credit: credit, Amount: amount, OccurredAt: o.Clock.Now(),
	}
}
