// Package sweep says what the payouts service looks after beside its runs: payouts whose retry is due, held ones whose cause
// is gone, batches that ended after their run, and approved payouts that nobody sends.
package sweep

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// New makes the service's sweeper. Without a registry it is not measured.
func New(st *store.Store, outcomes *outcome.Outcomes, gate *precheck.Gate, log *slog.Logger, registry prometheus.Registerer) *run.Sweeper {
	s := &steps{store: st, after: map[store.Queue]store.Place{}}
	stuck := stuckGauge(registry)
	return &run.Sweeper{Runs: st.Runs, Logger: log, Settle: st.Settle, Steps: []run.Step{
		retrying(st, log, stuck),
		{Name: "release held payouts", Lock: 7113, Do: s.release, More: s.releasing},
		expiring(st, log, stuck),
		expiringBatches(st, log, stuck),
		asking(&resting.Asker{Store: st, Outcomes: outcomes, Gate: gate}, log, stuck),
		cancelling(st, outcomes, log, registry),
		{Name: "end failed plans", Lock: 7119, Do: s.plans},
		closing(st, log, stuck),
		{Name: "wake standing pages", Lock: 7117, Wakes: true, Do: s.wake},
	}}
}

// steps go on where they left off. How far that was moves when the transaction is committed, and not before: of one that is not, everything is
// still to be done.
type steps struct {
	store *store.Store
	after map[store.Queue]store.Place // how far each queue of held payouts was looked at
	held  []store.Queue               // those that this sweep has still to look at

	commit func() // what the transaction that is under way comes to
}

// release looks at one page of one queue of held payouts, where the last sweep left off: a transaction for each, since it holds
// the tenant's switch. A queue that fails keeps the others waiting until the next sweep, which begins after it.
func (s *steps) release(ctx context.Context, tx pgx.Tx, t run.Turn) error {
	s.commit = func() {}
	if len(s.held) == 0 {
		var err error
		if s.held, err = s.store.HeldQueues(ctx, tx); err != nil || len(s.held) == 0 {
			return err
		}
		maps.DeleteFunc(s.after, func(q store.Queue, _ store.Place) bool { return !slices.Contains(s.held, q) })
	}
	q := s.held[0]
	s.held = s.held[1:]
	next, err := s.store.Release(ctx, tx, q, s.after[q], t.Limit, s.store.Today(q.Tenant))
	if err != nil {
		return err
	}
	s.commit = func() {
		delete(s.after, q)
		if next != nil {
			s.after[q] = *next
		}
	}
	return nil
}

// releasing reports whether queues are left.
func (s *steps) releasing() bool {
	s.commit()
	return len(s.held) > 0
}

// plans ends the planning of runs that failed in it.
func (s *steps) plans(ctx context.Context, tx pgx.Tx, t run.Turn) error {
	return s.store.EndFailedPlans(ctx, tx, t.Limit)
}

// wake emits the commands of pages once more whose payouts have stood still.
func (s *steps) wake(ctx context.Context, tx pgx.Tx, t run.Turn) error {
	return s.store.WakeStanding(ctx, tx, t.Since, t.Nonce, t.Limit)
}
