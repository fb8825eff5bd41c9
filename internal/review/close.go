package review

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
)

// Codes of what people decided.
const (
	CodePaid    = "resolved_paid"
	CodeNotPaid = "resolved_not_paid"
	CodeAgain   = "resolved_pay_again"
)

// ErrMoved says that an attempt changed between being read and being decided about.
var ErrMoved = errors.New("the attempt has changed meanwhile")

// Close writes what was agreed on to an attempt in manual review, which the caller has locked, and returns what is to be
// applied to its row: it was paid, it was not, or it was not and the next attempt is to follow. notPaid is the class that
// the service gives to what was not: whether it may be tried again by itself.
func Close(ctx context.Context, tx pgx.Tx, at time.Time, a attempt.Attempt, w Words, notPaid provider.Class) (attempt.Moved, error) {
	d := attempt.Decision{
		State: attempt.Succeeded, Accepted: a.Accepted, AbsentReads: a.AbsentReads, FirstAbsent: a.FirstAbsentAt,
		Result: provider.Result{Class: provider.Succeeded, Code: CodePaid, ProviderID: a.ProviderID},
	}
	if !w.Paid {
		d.State = attempt.Failed
		d.Result = provider.Result{Class: notPaid, Scope: provider.ScopePayment, Code: CodeNotPaid}
	}
	if w.Again {
		d.Result.Code = CodeAgain
	}
	closed, err := attempt.RecordLookups(ctx, tx, at, []attempt.Update{{Attempt: a, Decision: d}})
	if err != nil {
		return attempt.Moved{}, err
	}
	if len(closed) != 1 {
		return attempt.Moved{}, ErrMoved
	}
	return attempt.Moved{Attempt: closed[0], Result: d.Result, Again: w.Again}, nil
}
