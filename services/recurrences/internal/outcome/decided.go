package outcome

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense"
)

// Decided records decisions about attempts, applies those that change a state, books what was taken back of charges, keeps
// contradictions once each, takes out of suspense what came back of a charge that was paid after it was booked as declined, and notes what
// lookups said for those who decide about a charge in review.
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
	wrong, err := o.takeBack(ctx, tx, valid)
	if err != nil {
		return err
	}
	if err := o.Findings.Record(ctx, tx, append(wrong, valid...)); err != nil {
		return err
	}
	returning, err := suspense.Returning(ctx, tx, valid)
	if err != nil {
		return err
	}
	if err := o.Findings.Returned(ctx, tx, returning); err != nil {
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

// Resolved applies what two people agreed on about an attempt in manual review, which the caller has locked. What was not
// charged is tried again as after a decline. What was charged over another amount than ours is booked as that: ours as paid, the rest in suspense.
// The gateway is asked once more then, for what was taken back of it while people decided.
func (o *Outcomes) Resolved(ctx context.Context, tx pgx.Tx, a attempt.Attempt, w review.Words) error {
	moved, err := review.Close(ctx, tx, o.Clock.Now(), a, w, provider.RejectedRetryable)
	if err != nil {
		return err
	}
	if err := o.Apply(ctx, tx, []attempt.Moved{moved}); err != nil || !w.Paid || a.Told == 0 {
		return err
	}
	if err := o.Findings.Affirmed(ctx, tx, moved.Attempt, a.Told); err != nil {
		return err
	}
	_, err = attempt.Hint(ctx, tx, o.Clock.Now(), a.Tenant, a.Provider, []string{a.Reference})
	return err
}
