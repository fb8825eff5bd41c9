package outcome

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome/db"
)

// Kinds of postings. Their reference is "<charge id>/<attempt>".
const (
	KindSucceeded = "charge.succeeded"
	KindFee       = "charge.fee"
)

// Account is the account that mirrors what the gateway of an attempt owes us.
func Account(a attempt.Attempt) string { return ledger.GatewayReceivable(a.Provider) }

// post books successes: the gateway owes us what we owe the seller, less its fee when it has told one. A charge that is
// under way, in doubt or declined moves nothing.
func (o *Outcomes) post(ctx context.Context, tx pgx.Tx, all []news) error {
	var postings []ledger.Posting
	for _, n := range all {
		a := n.Attempt
		if a.State != attempt.Succeeded {
			continue
		}
		postings = append(postings, o.posting(a, KindSucceeded, Account(a), ledger.SellerPayable(n.before.SellerID), a.Amount))
		if a.Fee != nil && *a.Fee > 0 {
			fee := money.Amount{Minor: *a.Fee, Currency: a.Amount.Currency}
			postings = append(postings, o.posting(a, KindFee, ledger.Fees, Account(a), fee))
		}
	}
	return ledger.Post(ctx, tx, postings...)
}

func (o *Outcomes) posting(a attempt.Attempt, kind, debit, credit string, amount money.Amount) ledger.Posting {
	return ledger.Posting{
		Tenant: a.Tenant, Kind: kind, Ref: fmt.Sprintf("%s/%d", a.Subject, a.Number), Debit: debit, Credit: credit, Amount: amount,
		OccurredAt: o.Clock.Now(),
	}
}

// note keeps what networks count: attempts that a card declined.
func (o *Outcomes) note(ctx context.Context, tx pgx.Tx, all []news) error {
	p := db.NoteDeclinedParams{}
	for _, n := range all {
		if n.outcome.Card == charge.CardDeclined || n.outcome.Card == charge.CardInvalidate {
			p.Ids, p.Attempts = append(p.Ids, n.before.ID), append(p.Attempts, int32(n.Attempt.Number))
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	if err := db.New(tx).NoteDeclined(ctx, p); err != nil {
		return fmt.Errorf("note declined attempts: %w", err)
	}
	return nil
}
