package outcome

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
)

// Resolved applies what two people agreed on about an attempt in manual review, which the caller has locked. What was not
// paid is not tried again by itself.
func (o *Outcomes) Resolved(ctx context.Context, tx pgx.Tx, a attempt.Attempt, w review.Words) error {
	moved, err := review.Close(ctx, tx, o.Clock.Now(), a, w, provider.RejectedFinal)
	if err != nil {
		return err
	}
	_, err = o.Apply(ctx, tx, []attempt.Moved{moved})
	return err
}
