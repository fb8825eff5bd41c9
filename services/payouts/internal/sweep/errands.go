package sweep

import (
	"context"

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

// listed lists as a store does.
func listed[K, P any](list func(context.Context, pgx.Tx, P, int) ([]K, P, error)) func(context.Context, pgx.Tx, run.Turn, P) ([]K, P, error) {
	return func(ctx context.Context, tx pgx.Tx, t run.Turn, after P) ([]K, P, error) {
		return list(ctx, tx, after, t.Limit)
	}
}

// each moves whatever the turn is.
func each[K any](do func(context.Context, pgx.Tx, []K) error) func(context.Context, pgx.Tx, run.Turn, []K) error {
	return func(ctx context.Context, tx pgx.Tx, _ run.Turn, items []K) error { return do(ctx, tx, items) }
}

// asking asks about what rests since before a restore, and takes over what was sent.
func (s *steps) asking(a *resting.Asker) run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, resting.Place]{
		List: listed(a.List), Do: each(a.Ask), Pages: restPages, Stuck: s.stuck.WithLabelValues("take_over"),
		Item: "payout", Words: "payouts: a payout that rests since before a restore can be neither asked about nor taken over; the others are, and it is tried again",
	}).Step("ask about what rests since before a restore", 7123)
}

// forgetting forgets what is wanted to be asked about anew and cannot be: it would be told of as being asked about for ever.
func (s *steps) forgetting(a *resting.Asker) run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, uuid.UUID]{
		List: listed(a.VainWishes), Do: each(a.ForgetWishes), Pages: restPages, Stuck: s.stuck.WithLabelValues("forget_wish"),
		Item: "payout", Words: "payouts: a payout is counted as being asked about and is not; the others are mended, and it is tried again",
	}).Step("forget what is wanted in vain since a restore", 7125)
}

// closingLost takes in what providers have from before a restore of payouts that had ended when it was found.
func (s *steps) closingLost(a *resting.Asker) run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, uuid.UUID]{
		List: listed(a.Ended), Do: each(a.Close), Pages: restPages, Stuck: s.stuck.WithLabelValues("close_lost"),
		Item: "payout", Words: "payouts: what a provider has from before a restore of a payout that has ended cannot be taken in; of the others it is, and it is tried again",
	}).Step("take in what was found of ended payouts", 7126)
}

// cancelling cancels what cancelled batches have left.
func (s *steps) cancelling(outcomes *outcome.Outcomes, registry prometheus.Registerer) run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, store.Rest]{
		List: listed(s.store.Rest), Pages: cancelPages,
		Do: func(ctx context.Context, tx pgx.Tx, _ run.Turn, ids []uuid.UUID) error {
			denied, err := s.store.CancelRest(ctx, tx, ids)
			if err != nil {
				return err
			}
			return outcomes.Doubt(ctx, tx, payout.HeldBy(payout.CodeRunCancelled), denied)
		},
		Stuck: telemetry.Shared(registry, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agogo_payouts_cancel_stuck", Help: "Payouts of cancelled runs that an error keeps from being cancelled.",
		})),
		Item: "payout", Words: "payouts: a payout of a cancelled run cannot be cancelled; the others are, and it is tried again",
	}).Step("cancel the rest of cancelled batches", 7120)
}

// retrying approves failed payouts whose next attempt is due.
func (s *steps) retrying() run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, store.Due]{
		List: listed(s.store.DueRetries), Do: each(s.store.Retry), Stuck: s.stuck.WithLabelValues("retry"),
		Item: "payout", Words: "payouts: a payout whose next try is due cannot be approved; the others are, and it is tried again",
	}).Step("retry failed payouts", 7112)
}

// expiring holds what nobody has approved in time.
func (s *steps) expiring() run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, store.Due]{
		List: listed(s.store.ExpiredApprovals), Do: each(s.store.ExpireApprovals), Stuck: s.stuck.WithLabelValues("expire_approval"),
		Item: "payout", Words: "payouts: a payout that nobody has approved in time cannot be held; the others are, and it is tried again",
	}).Step("expire approvals", 7118)
}

// expiringBatches pauses what nobody has approved in time.
func (s *steps) expiringBatches() run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, store.Due]{
		List: listed(s.store.ExpiredBatches), Do: each(s.store.ExpireBatches), Stuck: s.stuck.WithLabelValues("expire_batch_approval"),
		Item: "batch", Words: "payouts: a batch that nobody has approved in time cannot be paused; the others are, and it is tried again",
	}).Step("expire approvals of batches", 7124)
}

// ending ends the planning of runs that failed in it.
func (s *steps) ending() run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, uuid.UUID]{
		List: listed(s.store.FailedPlans), Do: each(s.store.EndFailedPlans), Stuck: s.stuck.WithLabelValues("end_plan"),
		Item: "run", Words: "payouts: a run whose planning failed cannot be ended; the others are, and it is tried again",
	}).Step("end failed plans", 7119)
}

// closing closes the batches of payouts that went on after their run was complete. A page is looked at in vain while something of it is on its
// way.
func (s *steps) closing() run.Step {
	return run.NewWalk(s.store.Clock, s.log, run.Errand[uuid.UUID, uuid.UUID]{
		List: listed(s.store.OpenBatches), Stuck: s.stuck.WithLabelValues("close_batch"),
		Do:   each(func(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) error { return s.store.Settle(ctx, tx, runs...) }),
		Item: "run", Words: "payouts: the batch of a run cannot be closed; the others are, and it is tried again",
	}).Step("close batches", 7116)
}

// waking emits the commands of pages once more whose payouts have stood still.
func (s *steps) waking() run.Step {
	st := run.NewWalk(s.store.Clock, s.log, run.Errand[run.Place, run.Place]{
		List: func(ctx context.Context, tx pgx.Tx, t run.Turn, after run.Place) ([]run.Place, run.Place, error) {
			return s.store.StandingPages(ctx, tx, t.Since, after, t.Limit)
		},
		Do: func(ctx context.Context, tx pgx.Tx, t run.Turn, pages []run.Place) error {
			return s.store.Runs.WakeDispatch(ctx, tx, t.Nonce, pages...)
		},
		Stuck: s.stuck.WithLabelValues("wake_page"),
		Item:  "page", Words: "payouts: a page that stands still cannot be woken; the others are, and it is tried again",
	}).Step("wake standing pages", 7117)
	st.Wakes = true
	return st
}
