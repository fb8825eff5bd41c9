package outcome

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
)

// Decided records decisions about attempts and applies those that change a state. It returns the payouts that moved.
// Contradictions become findings, and keep payouts from being sent again whose closed attempt turns out to have been paid, or
// to be under way still; what lookups said is noted for those who decide about a payout in review.
func (o *Outcomes) Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]payout.Payout, error) {
	payouts, _, err := o.decided(ctx, tx, updates)
	return payouts, err
}

func (o *Outcomes) decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]payout.Payout, []attempt.Moved, error) {
	now := o.Clock.Now()
	updates, err := o.unsendable(ctx, tx, updates)
	if err != nil {
		return nil, nil, err
	}
	moved, valid, err := reconcile.Decide(ctx, tx, now, updates)
	if err != nil {
		return nil, nil, err
	}
	for _, u := range valid {
		o.Alarm(ctx, u.Attempt, u.Decision.Alarm)
	}
	payouts, err := o.Apply(ctx, tx, moved)
	if err != nil {
		return nil, nil, err
	}
	valid, paidAgain, err := o.afterReturn(ctx, tx, valid)
	if err != nil {
		return nil, nil, err
	}
	reversed, unexplained, err := o.returned(ctx, tx, valid)
	if err != nil {
		return nil, nil, err
	}
	payouts = append(payouts, reversed...)
	if err := o.findings.Record(ctx, tx, unexplained); err != nil {
		return nil, nil, err
	}
	returning, err := suspense.Returning(ctx, tx, valid)
	if err != nil {
		return nil, nil, err
	}
	if err := o.findings.Returned(ctx, tx, returning); err != nil {
		return nil, nil, err
	}
	if err := o.Store.Contradict(ctx, tx, append(reconcile.Contradicted(valid), paidAgain...)...); err != nil {
		return nil, nil, err
	}
	return payouts, moved, review.Note(ctx, tx, now, valid)
}

// Late takes in answers to sends that somebody else has taken over meanwhile. A refusal without the provider's id is not among them: the
// attempt is in doubt by now, so its reference can never be [attempt.Attempt.Spent], and closed by this it would be one more without a trace that
// nobody counts. The provider is asked, as about everything that was taken over.
func (o *Outcomes) Late(ctx context.Context, tx pgx.Tx, answers []attempt.Outcome) ([]payout.Payout, error) {
	traced := slices.DeleteFunc(slices.Clone(answers), func(a attempt.Outcome) bool { return a.State == attempt.Failed && a.Result.ProviderID == "" })
	if len(traced) < len(answers) {
		o.Logger.WarnContext(ctx, "payouts: refusals came after their lease, and leave no trace; the provider is asked", "answers", len(answers)-len(traced))
	}
	if len(traced) == 0 {
		return nil, nil
	}
	updates, err := reconcile.Late(ctx, tx, o.Connectors, o.Clock.Now(), traced)
	if err != nil {
		return nil, err
	}
	o.Logger.WarnContext(ctx, "payouts: answers came after their lease", "answers", len(traced), "proofs", len(updates))
	return o.Decided(ctx, tx, updates)
}

// unsendable leaves to people what the provider denies of cancelled batches. That it knows nothing is proof enough for the same reference to go
// again, which costs nothing should it have lied; there it does not go again, and freeing its payments could pay them twice.
func (o *Outcomes) unsendable(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]attempt.Update, error) {
	var denied []uuid.UUID
	for _, u := range updates {
		if deniedNow(u) {
			denied = append(denied, u.Attempt.Subject)
		}
	}
	if len(denied) == 0 {
		return updates, nil
	}
	cancelled, err := o.Store.OfCancelled(ctx, tx, denied...)
	if err != nil || len(cancelled) == 0 {
		return updates, err
	}
	now := o.Clock.Now()
	updates = slices.Clone(updates)
	for i, u := range updates {
		if !deniedNow(u) || !slices.Contains(cancelled, u.Attempt.Subject) {
			continue
		}
		next := now.Add(providerPause)
		if c, ok := o.Connectors.Get(u.Attempt.Tenant, u.Attempt.Provider); ok {
			next = c.Policy.NextLookup(u.Attempt.SubmittedAt, now)
		}
		d := &updates[i].Decision
		d.State, d.Result, d.NextLookup = attempt.ManualReview, provider.Result{Class: provider.Ambiguous, Code: attempt.CodeNotResendable}, &next
		d.Alarm = "not found at the provider, and its run was cancelled: two people decide"
	}
	return updates, nil
}

// deniedNow reports whether a decision is that what was sent was never created. Another look at what counts so already, because a webhook
// spoke of it, is none.
func deniedNow(u attempt.Update) bool {
	return u.Decision.State == attempt.NotSent && u.Decision.Result.Code == attempt.CodeNeverCreated && u.Attempt.State != attempt.NotSent
}
