package outcome

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Doubt puts payouts, approved or held and locked by the caller, in doubt again that were sent and denied by their provider since, for a
// reason: only their own reference may go again, and it does not, or not before the provider was asked anew. When it still knows nothing of
// what will not go, people decide. Their money is in transit again for as long.
func (o *Outcomes) Doubt(ctx context.Context, tx pgx.Tx, why payout.Reason, denied []payout.Payout) error {
	if len(denied) == 0 {
		return nil
	}
	keys := make([]attempt.Key, len(denied))
	payees := make(map[uuid.UUID]string, len(denied))
	for i, p := range denied {
		keys[i], payees[p.ID] = attempt.Key{Subject: p.ID, Number: p.Attempt}, p.PayeeID
	}
	again, err := attempt.Doubt(ctx, tx, o.Clock.Now(), why.Code, keys...)
	if err != nil {
		return err
	}
	why.Class = string(provider.Ambiguous)
	changes := make([]store.Change, len(again))
	for i, a := range again {
		changes[i] = store.Change{PayoutID: a.Subject, From: []payout.State{payout.Approved, payout.Held}, To: payout.Unknown, Reason: why}
	}
	moved, err := o.Store.ApplyTo(ctx, tx, denied, changes)
	if err == nil && len(moved) != len(again) {
		err = fmt.Errorf("doubt denied payouts: %d of %d are neither approved nor held", len(again)-len(moved), len(again))
	}
	if err != nil {
		return err
	}
	return o.Begun(ctx, tx, again, payees)
}
