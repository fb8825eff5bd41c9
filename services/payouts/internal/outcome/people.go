package outcome

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
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
	if !w.Paid {
		return nil
	}
	return o.findings.Affirmed(ctx, tx, moved.Attempt, a.Told)
}
