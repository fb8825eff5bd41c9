package sweep

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// cancelPages is how many pages of what cancelled batches have left one sweep looks at: the other steps wait for no more than these. Of
// the other lists it looks at one.
const cancelPages = 10

// restPages is how many pages of what rests since before a restore one sweep looks at.
const restPages = 4

// asking asks about what rests since before a restore, and takes over what was sent.
func asking(a *resting.Asker, log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	return newWalk(a.Store.Clock, log, errand[resting.Place]{
		list: a.List, do: a.Ask, pages: restPages, stuck: stuck.WithLabelValues("take_over"),
		item: "payout", words: "payouts: a payout that rests since before a restore can be neither asked about nor taken over; the others are, and it is tried again",
	}).step("ask about what rests since before a restore", 7123)
}

// cancelling cancels what cancelled batches have left.
func cancelling(st *store.Store, outcomes *outcome.Outcomes, log *slog.Logger, registry prometheus.Registerer) run.Step {
	return newWalk(st.Clock, log, errand[store.Rest]{
		list: st.Rest, pages: cancelPages,
		do: func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
			denied, err := st.CancelRest(ctx, tx, ids)
			if err != nil {
				return err
			}
			return outcomes.Doubt(ctx, tx, payout.HeldBy(payout.CodeRunCancelled), denied)
		},
		stuck: telemetry.Shared(registry, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agogo_payouts_cancel_stuck", Help: "Payouts of cancelled runs that an error keeps from being cancelled.",
		})),
		item: "payout", words: "payouts: a payout of a cancelled run cannot be cancelled; the others are, and it is tried again",
	}).step("cancel the rest of cancelled batches", 7120)
}

// retrying approves failed payouts whose next attempt is due.
func retrying(st *store.Store, log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	return newWalk(st.Clock, log, errand[store.Due]{
		list: st.DueRetries, do: st.Retry, pages: 1, stuck: stuck.WithLabelValues("retry"),
		item: "payout", words: "payouts: a payout whose next try is due cannot be approved; the others are, and it is tried again",
	}).step("retry failed payouts", 7112)
}

// expiring holds what nobody has approved in time.
func expiring(st *store.Store, log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	return newWalk(st.Clock, log, errand[store.Due]{
		list: st.ExpiredApprovals, do: st.ExpireApprovals, pages: 1, stuck: stuck.WithLabelValues("expire_approval"),
		item: "payout", words: "payouts: a payout that nobody has approved in time cannot be held; the others are, and it is tried again",
	}).step("expire approvals", 7118)
}

// expiringBatches pauses what nobody has approved in time.
func expiringBatches(st *store.Store, log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	return newWalk(st.Clock, log, errand[store.Due]{
		list: st.ExpiredBatches, do: st.ExpireBatches, pages: 1, stuck: stuck.WithLabelValues("expire_batch_approval"),
		item: "batch", words: "payouts: a batch that nobody has approved in time cannot be paused; the others are, and it is tried again",
	}).step("expire approvals of batches", 7124)
}

// closing closes the batches of payouts that went on after their run was complete. A page is looked at in vain while something of it is on its
// way.
func closing(st *store.Store, log *slog.Logger, stuck *prometheus.GaugeVec) run.Step {
	return newWalk(st.Clock, log, errand[uuid.UUID]{
		list: st.OpenBatches, pages: 1, stuck: stuck.WithLabelValues("close_batch"),
		do:   func(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) error { return st.Settle(ctx, tx, runs...) },
		item: "run", words: "payouts: the batch of a run cannot be closed; the others are, and it is tried again",
	}).step("close batches", 7116)
}

func stuckGauge(registry prometheus.Registerer) *prometheus.GaugeVec {
	return telemetry.Shared(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "agogo_payouts_sweep_stuck", Help: "Payouts and batches that an error keeps from what is due for them, by what that is.",
	}, []string{"step"}))
}
