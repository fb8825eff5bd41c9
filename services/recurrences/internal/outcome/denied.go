package outcome

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Doubt puts charges, which the caller has locked, in doubt again that their gateway denied too long ago for the same reference to go again
// before it was asked anew. Another reference may not go either: a gateway that was slow may have charged under the first. The send that
// found them so is kept, and goes on when they are denied once more; see [charge.DeniedAnew].
func (o *Outcomes) Doubt(ctx context.Context, tx pgx.Tx, lapsed []attempt.Start) error {
	keys := make([]attempt.Key, len(lapsed))
	for i, s := range lapsed {
		keys[i] = s.Key
	}
	again, err := attempt.Doubt(ctx, tx, o.Clock.Now(), charge.CodeDenialLapsed, keys...)
	if err != nil {
		return err
	}
	why := store.Reason{Class: string(provider.Ambiguous), Scope: string(provider.ScopePayment), Code: charge.CodeDenialLapsed}
	changes := make([]store.ChargeChange, len(again))
	for i, a := range again {
		changes[i] = store.ChargeChange{
			ID: a.Subject, From: []charge.State{charge.FailedSoft, charge.Exhausted}, To: charge.Unknown, Again: true, Reason: why,
		}
	}
	moved, err := o.Store.ApplyCharges(ctx, tx, changes)
	if err == nil && len(moved) != len(again) {
		err = fmt.Errorf("doubt denied charges: %d of %d are not declined", len(again)-len(moved), len(again))
	}
	return err
}
