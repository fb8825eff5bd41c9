package outcome

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
)

// Codes of what people decided.
const (
	CodeResolvedPaid    = "resolved_paid"
	CodeResolvedNotPaid = "resolved_not_paid"
	CodeResolvedAgain   = "resolved_pay_again"
)

// ErrMoved says that an attempt changed between being read and being decided about.
var ErrMoved = errors.New("the attempt has changed meanwhile")

// Resolved applies what two people decided about an attempt in manual review, which the caller has locked: it was paid, it
// was not, or it was not and the payout is to be paid by another attempt.
func (o *Outcomes) Resolved(ctx context.Context, tx pgx.Tx, a attempt.Attempt, paid, again bool) error {
	d := attempt.Decision{
		State: attempt.Succeeded, Accepted: a.Accepted, AbsentReads: a.AbsentReads, FirstAbsent: a.FirstAbsentAt,
		Result: provider.Result{Class: provider.Succeeded, Code: CodeResolvedPaid, ProviderID: a.ProviderID},
	}
	if !paid {
		d.State = attempt.Failed
		d.Result = provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: CodeResolvedNotPaid}
	}
	if again {
		d.Result.Code = CodeResolvedAgain
	}
	closed, err := attempt.RecordLookups(ctx, tx, o.Clock.Now(), []attempt.Update{{Attempt: a, Decision: d}})
	if err != nil {
		return err
	}
	if len(closed) != 1 {
		return ErrMoved
	}
	_, err = o.Apply(ctx, tx, []attempt.Moved{{Attempt: closed[0], Result: d.Result, Again: again}})
	return err
}
