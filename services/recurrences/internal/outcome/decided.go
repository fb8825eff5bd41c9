package outcome

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/review"
)

// Decided records decisions about attempts, applies those that change a state, keeps contradictions once each, and notes
// what lookups said for those who decide about a charge in review.
func (o *Outcomes) Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	now := o.Clock.Now()
	moved, valid, err := reconcile.Decide(ctx, tx, now, updates)
	if err != nil {
		return err
	}
	subjects := make([]uuid.UUID, len(valid))
	for i, u := range valid {
		subjects[i] = u.Attempt.Subject
		o.Alarm(ctx, u.Attempt, u.Decision.Alarm)
	}
	// All charges before any card or recurrence, those too that a contradiction marks.
	if _, err := o.Store.LockCharges(ctx, tx, subjects...); err != nil {
		return err
	}
	if err := o.Apply(ctx, tx, moved); err != nil {
		return err
	}
	if err := o.Findings.Record(ctx, tx, valid); err != nil {
		return err
	}
	if err := o.Store.Contradict(ctx, tx, reconcile.Contradicted(valid)...); err != nil {
		return err
	}
	return review.Note(ctx, tx, now, valid)
}

// Late takes in answers to sends that somebody else has taken over meanwhile: what they prove counts, by the same rules as
// a lookup.
func (o *Outcomes) Late(ctx context.Context, tx pgx.Tx, answers []attempt.Outcome) error {
	if len(answers) == 0 {
		return nil
	}
	updates, err := reconcile.Late(ctx, tx, o.Connectors, o.Clock.Now(), answers)
	if err != nil {
		return err
	}
	o.Logger.WarnContext(ctx, "recurrences: answers came after their lease", "answers", len(answers), "proofs", len(updates))
	return o.Decided(ctx, tx, updates)
}

// Codes of what people decided.
const (
	CodeResolvedPaid    = "resolved_paid"
	CodeResolvedNotPaid = "resolved_not_paid"
	CodeResolvedAgain   = "resolved_pay_again"
)

// ErrMoved says that an attempt changed between being read and being decided about.
var ErrMoved = errors.New("the attempt has changed meanwhile")

// Resolved applies what two people decided about an attempt in manual review, which the caller has locked: it was charged,
// it was not, or it was not and the next attempt is to follow now.
func (o *Outcomes) Resolved(ctx context.Context, tx pgx.Tx, a attempt.Attempt, paid, again bool) error {
	d := attempt.Decision{
		State: attempt.Succeeded, Accepted: a.Accepted, AbsentReads: a.AbsentReads, FirstAbsent: a.FirstAbsentAt,
		Result: provider.Result{Class: provider.Succeeded, Code: CodeResolvedPaid, ProviderID: a.ProviderID},
	}
	if !paid {
		d.State = attempt.Failed
		d.Result = provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: CodeResolvedNotPaid}
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
	return o.Apply(ctx, tx, []attempt.Moved{{Attempt: closed[0], Result: d.Result, Again: again}})
}
