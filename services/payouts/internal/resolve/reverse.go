package resolve

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// AskBack notes that a paid payout is to be taken back, before the provider is asked for it: it will be looked up after the
// call's time, and by the schedule from then on, so that a reversal is booked even if nobody hears its answer.
func (r *Resolver) AskBack(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (ask attempt.BackAsk, err error) {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return ask, err
	}
	if sub.State != payout.Succeeded {
		return ask, refused(sub.Payout, "only what was paid can be taken back")
	}
	a, ok := sub.newest()
	if !ok || a.State != attempt.Succeeded || a.ProviderID == "" {
		return ask, rpc.Refused("no_provider_id", "ask the provider to take it back: it is reversed when a lookup or a statement shows it", "the provider's id of the transfer of payout %s is not known", id)
	}
	c, err := r.reverser(a)
	if err != nil {
		return ask, err
	}
	now := r.Clock.Now()
	ask, asked, err := attempt.AskBack(ctx, tx, now, now.Add(c.Policy.Lease), a.Key)
	if err == nil && !asked {
		err = lookAgain(sub.Payout, "its attempt has just moved")
	}
	return ask, err
}

func (r *Resolver) reverser(a attempt.Attempt) (*connector.Connector, error) {
	c, ok := r.Outcomes.Connectors.Get(a.Tenant, a.Provider)
	if !ok || c.Reverser == nil {
		return nil, rpc.Refused("not_reversible", "ask the provider, or take it off the payee's next payout: import the payment as refunded",
			"provider %s takes nothing back", a.Provider)
	}
	return c, nil
}

// TakeBack asks the provider for the money of a payout, outside any transaction; [Resolver.AskBack] comes before it,
// and its ask with it: the zero one, of a request that is repeated, is waited for whatever the provider says. What that is is not booked: the lookup
// that follows shows whether the money is back, and reverses the payout.
func (r *Resolver) TakeBack(ctx context.Context, tenant string, id uuid.UUID, ask attempt.BackAsk) error {
	var sub subject
	err := pg.InTx(ctx, r.Store.Runs.Pool, func(tx pgx.Tx) (err error) {
		sub, err = r.lock(ctx, tx, tenant, id)
		return err
	})
	if err != nil {
		return err
	}
	a, ok := sub.newest()
	if !ok || sub.State == payout.Reversed {
		return nil // somebody was faster
	}
	c, err := r.reverser(a)
	if err != nil {
		return err
	}
	if _, err := c.Throttle.Take(ctx, 1); err != nil {
		return fmt.Errorf("wait for a turn at %s: %w", a.Provider, err)
	}
	res := c.Reverser.Reverse(ctx, provider.Transfer{
		Tenant: tenant, Reference: a.Reference, Amount: a.Amount, Destination: a.Destination, ProviderID: a.ProviderID, SubmittedAt: a.SubmittedAt,
	}, a.ProviderID)
	kept := res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable
	if kept || res.Class == provider.NotSent {
		if err := pg.InTx(ctx, r.Store.Runs.Pool, func(tx pgx.Tx) error { return attempt.KeepPaid(ctx, tx, ask) }); err != nil {
			return err
		}
	}
	if kept {
		return rpc.Refused(res.Code, "the money stays with the payee; take it off the next payout, or ask the provider", "%s refuses to take payout %s back", a.Provider, id)
	}
	switch res.Class {
	case provider.Succeeded:
	case provider.NotSent:
		return rpc.Unavailable("reversal_not_sent", "ask again: agogo payouts reverse "+id.String()+" --reason TEXT", "%s was not asked to take payout %s back: it cannot be reached", a.Provider, id)
	default: // AskBack has it looked up
		return rpc.Unavailable("reversal_not_known", "look at it in some minutes: agogo payouts get "+id.String(), "whether %s takes payout %s back is not known yet: it will be looked up", a.Provider, id)
	}
	return pg.InTx(ctx, r.Store.Runs.Pool, func(tx pgx.Tx) error {
		_, err := attempt.Hint(ctx, tx, r.Clock.Now(), tenant, a.Provider, []string{a.Reference})
		return err
	})
}
