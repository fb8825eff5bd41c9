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

// lockEnding is the advisory lock of the sweeper's step.
const lockEnding = 7122

// Ending is the sweeper's step that ends what stayed open of cancelled recurrences because it may have been charged: one charge of a recurrence can
// be in doubt at a time, and what a gateway is asked about is over some time after the command.
func (r *Resolver) Ending(log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	st := run.NewWalk(r.Clock, log, run.Errand[store.Ending, uuid.UUID]{
		List: func(ctx context.Context, tx pgx.Tx, t run.Turn, after uuid.UUID) ([]store.Ending, uuid.UUID, error) {
			return r.Store.Endings(ctx, tx, after, t.Limit)
		},
		Do:    r.end,
		Stuck: stuck.WithLabelValues("end_charge"),
		Item:  "charge", Words: "a charge of a cancelled recurrence is neither ended nor asked about; the others are, and it is tried again",
	}).Step("end charges of cancelled recurrences", lockEnding)
	st.Wakes = true
	return st
}

func (r *Resolver) end(ctx context.Context, tx pgx.Tx, _ run.Turn, left []store.Ending) error {
	var over []uuid.UUID
	for _, e := range left { // few: a recurrence is cancelled by a person
		ended, err := r.endOne(ctx, tx, e)
		if err != nil {
			return err
		}
		if ended {
			over = append(over, e.ChargeID)
		}
	}
	return r.Store.Ended(ctx, tx, over...)
}

// endOne ends a charge if that may be, has it asked about otherwise, and reports whether there is nothing left to do about it.
func (r *Resolver) endOne(ctx context.Context, tx pgx.Tx, e store.Ending) (over bool, err error) {
	sub, err := r.lock(ctx, tx, e.Tenant, e.ChargeID)
	switch {
	case status.Code(err) == codes.FailedPrecondition: // an attempt of it has just begun
		return false, nil
	case err != nil:
		return false, err
	case sub.Contradicted: // it is for people
		return true, nil
	case !slices.Contains(charge.Cancellable(), sub.State): // in doubt it ends with its outcome
		return !underWay(sub.Charge), nil
	}
	ended, err := r.endOrAsk(ctx, tx, sub)
	if err != nil || !ended {
		return false, err
	}
	return true, r.cancel(ctx, tx, charge.CodeEnded, sub.Charge)
}
