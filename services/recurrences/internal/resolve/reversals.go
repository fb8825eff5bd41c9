package resolve

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Refresh has the gateway asked again about every attempt of a charge, closed ones too, as a webhook would. What it answers is
// booked by the same rules.
func (r *Resolver) Refresh(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) error {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	references := make([]string, len(sub.attempts))
	for i, a := range sub.attempts {
		references[i] = a.Reference
	}
	if len(references) == 0 {
		return refused(sub.Charge, "nothing of it was sent, so the gateway knows nothing of it")
	}
	_, err = attempt.Hint(ctx, tx, r.Clock.Now(), tenant, sub.Gateway, references)
	return err
}

// SettleDispute books how an open dispute ended, and returns its charge. Once decided it stays so.
func (r *Resolver) SettleDispute(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, outcome string) (uuid.UUID, error) {
	d, err := r.dispute(ctx, tx, tenant, id)
	if err != nil {
		return uuid.Nil, err
	}
	sub, err := r.lock(ctx, tx, tenant, d.ChargeID)
	if err != nil {
		return uuid.Nil, err
	}
	if d, err = r.dispute(ctx, tx, tenant, id); err != nil { // as it is now that nobody else decides it
		return uuid.Nil, err
	}
	ok, err := r.Outcomes.SettleDispute(ctx, tx, sub.Charge, d.AsDispute(), charge.DisputeState(outcome))
	if err == nil && !ok {
		err = rpc.Refused("decided", "what was decided stays; correct a mistake with the gateway and in the books of the tenant",
			"dispute %s of charge %s is %s", id, sub.ID, d.State)
	}
	return sub.ID, err
}

func (r *Resolver) dispute(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (store.Reversal, error) {
	d, err := r.Store.Reversal(ctx, tx, tenant, id)
	if errors.Is(err, store.ErrNoReversal) || err == nil && d.Kind != store.Dispute {
		return store.Reversal{}, rpc.NotFound("dispute", id.String())
	}
	return d, err
}
