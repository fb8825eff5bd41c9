package resolve

import (
	"context"
	"log/slog"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// lockFound is the advisory lock of the sweeper's step.
const lockFound = 7127

// Found is the sweeper's step that takes in what gateways have from before a restore of charges that nothing sends: a webhook spoke of it, or somebody who
// wanted to cancel it had it asked about.
func (r *Resolver) Found(log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	return run.NewWalk(r.Clock, log, run.Errand[store.Ending, uuid.UUID]{
		List: func(ctx context.Context, tx pgx.Tx, t run.Turn, after uuid.UUID) ([]store.Ending, uuid.UUID, error) {
			return r.Store.Found(ctx, tx, after, t.Limit)
		},
		Do:    r.takeIn,
		Alone: true, // each locks attempts before its charge
		Stuck: stuck.WithLabelValues("close_lost"),
		Item:  "charge", Words: "what a gateway has from before a restore of a charge that nothing sends cannot be taken in; of the others it is, and it is tried again",
	}).Step("take in what was found of charges that nothing sends", lockFound)
}

func (r *Resolver) takeIn(ctx context.Context, tx pgx.Tx, _ run.Turn, found []store.Ending) error {
	for _, f := range found {
		sub, err := r.lock(ctx, tx, f.Tenant, f.ChargeID)
		if status.Code(err) == codes.FailedPrecondition { // an attempt of it has just begun
			continue
		}
		if err != nil {
			return err
		}
		if err := r.takeInOne(ctx, tx, sub); err != nil {
			return err
		}
	}
	return nil
}

// takeInOne goes on with a charge that may still be cancelled as if it were sent. What has ended, be it that a person can have it charged again, gets closed attempts that are asked about: what was
// charged contradicts it then, and nothing charges it again.
func (r *Resolver) takeInOne(ctx context.Context, tx pgx.Tx, sub subject) error {
	switch {
	case sub.Contradicted:
	case sub.Send.Wanted() || underWay(sub.Charge):
		return nil // taken over from there, or when its outcome is known
	case slices.Contains(charge.Cancellable(), sub.State):
		return r.goOn(ctx, tx, sub)
	}
	newest, err := r.Gate.Close(ctx, tx, "ended/"+uuid.NewString(), sub.ID)
	if err != nil {
		return err
	}
	n, made := newest[sub.ID]
	if !made || !slices.Contains(charge.Open(), sub.State) {
		return nil
	}
	return r.Store.Renumber(ctx, tx, sub.ID, n)
}

// goOn takes over what was found of a charge, when no other one of its recurrence is on its way or in doubt.
func (r *Resolver) goOn(ctx context.Context, tx pgx.Tx, sub subject) error {
	if !sub.over() {
		return nil // its attempts are being asked about
	}
	unpaid, err := r.Store.Unpaid(ctx, tx, sub.Key())
	if err != nil || slices.ContainsFunc(unpaid[sub.Key()], underWay) {
		return err
	}
	_, err = r.ask(ctx, tx, sub)
	return err
}
