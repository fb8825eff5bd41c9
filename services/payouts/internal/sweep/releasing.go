package sweep

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// releasing lets go what is held and whose cause is gone: a page of each queue, where the last sweep left off, in a transaction for each, since
// that holds the tenant's switch. How far it came moves when the transaction is committed, and not before.
type releasing struct {
	*steps
	after map[store.Queue]store.Place // how far each queue was looked at
	stay  *run.Stuck[uuid.UUID]       // payouts that an error keeps held
	gauge prometheus.Gauge
	last  store.Released // what the transaction that is under way comes to
}

func newReleasing(s *steps) *releasing {
	return &releasing{
		steps: s, after: map[store.Queue]store.Place{}, stay: run.NewStuck[uuid.UUID](s.store.Clock), gauge: s.stuck.WithLabelValues("release"),
	}
}

// step goes through the queues. One that fails as a whole, as one whose tenant's switch somebody has, costs itself; of one that does not, each
// payout that fails does.
func (r *releasing) step() run.Step {
	return run.NewWalk(r.store.Clock, r.log, run.Errand[store.Queue, store.Queue]{
		List: r.queues, Do: r.release, Alone: true, Stuck: r.steps.stuck.WithLabelValues("release_queue"),
		Done: r.done,
		Item: "queue", Words: "payouts: what is held for a provider cannot be released; the others are, and it is tried again",
	}).Step("release held payouts", 7113)
}

// queues lists all of them: there are as many as connectors.
func (r *releasing) queues(ctx context.Context, tx pgx.Tx, _ run.Turn, _ store.Queue) ([]store.Queue, store.Queue, error) {
	held, err := r.store.HeldQueues(ctx, tx)
	if err != nil {
		return nil, store.Queue{}, err
	}
	for q := range r.after {
		if !slices.Contains(held, q) {
			delete(r.after, q)
		}
	}
	r.stay.Forget()
	r.gauge.Set(float64(r.stay.Len()))
	return held, store.Queue{}, nil
}

func (r *releasing) release(ctx context.Context, tx pgx.Tx, t run.Turn, queues []store.Queue) (err error) {
	q := queues[0]
	r.last, err = r.store.Release(ctx, tx, q, store.Look{After: r.after[q], Limit: t.Limit, LocalDate: r.store.Today(q.Tenant), Pass: r.stay.Passed})
	return err
}

// done takes in what was committed.
func (r *releasing) done(ctx context.Context, queues []store.Queue) {
	q := queues[0]
	for _, id := range r.last.Tried {
		r.stay.Moved(id)
	}
	for id, failure := range r.last.Stuck {
		r.log.ErrorContext(ctx, "payouts: a payout that nothing holds any more cannot be released; the others are, and it is tried again",
			"payout", id, "again_in", r.stay.Failed(id, failure), "error", failure)
	}
	delete(r.after, q)
	if r.last.Next != nil {
		r.after[q] = *r.last.Next
	}
	r.gauge.Set(float64(r.stay.Len()))
}
