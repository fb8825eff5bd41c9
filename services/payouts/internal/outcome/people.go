package outcome

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
)

// Resolved applies what two people agreed on about an attempt in manual review, which the caller has locked. What was not
// paid is not tried again by itself. What was paid over another amount than ours is booked as that: ours as paid, the rest in suspense. The
// provider may not have answered since the first of them spoke: what it told last counts then.
func (o *Outcomes) Resolved(ctx context.Context, tx pgx.Tx, a attempt.Attempt, w review.Words) error {
	moved, err := review.Close(ctx, tx, o.Clock.Now(), a, w, provider.RejectedFinal)
	if err != nil {
		return err
	}
	if _, err = o.Apply(ctx, tx, []attempt.Moved{moved}); err != nil {
		return err
	}
	if w.Paid && a.Told != 0 {
		return o.beyond(ctx, tx, moved.Attempt, a.Told)
	}
	return nil
}

// beyond keeps in suspense what the provider says that it has moved beyond what was asked for, or short of it.
func (o *Outcomes) beyond(ctx context.Context, tx pgx.Tx, a attempt.Attempt, there int64) error {
	told := money.Amount{Minor: there, Currency: a.Amount.Currency}
	return o.findings.Record(ctx, tx, []attempt.Update{{Attempt: a, Decision: attempt.Decision{
		Mismatch: attempt.MismatchAmount, Beyond: there - a.Amount.Minor, Said: "succeeded " + told.Decimal() + " " + string(told.Currency),
	}}})
}
