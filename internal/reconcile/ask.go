package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg"
)

// lookupLease is how long a lookup may take before another replica may ask the same: the slowest call and the wait for
// the rate before it. A lookup too many does no harm.
const lookupLease = 5 * time.Minute

// ask looks up one page of what is due: claimed in a transaction, asked outside of any, recorded as answers come.
func (w *Worker) ask(ctx context.Context) (int, error) {
	var due []attempt.Attempt
	err := pg.InTx(ctx, w.Pool, func(tx pgx.Tx) (err error) {
		due, err = attempt.ClaimLookups(ctx, tx, w.Clock.Now(), lookupLease, w.Page)
		return err
	})
	if err != nil || len(due) == 0 {
		return 0, err
	}
	answers := make(chan attempt.Update)
	var g, keep errgroup.Group
	keep.Go(func() error { return w.keep(ctx, answers) })
	g.SetLimit(w.Parallel)
	for _, a := range due {
		g.Go(func() error {
			answers <- w.lookup(ctx, a)
			return nil
		})
	}
	_ = g.Wait() // lookups do not fail: that a question was not answered is an answer
	close(answers)
	return len(due), keep.Wait()
}

// lookup asks about one attempt and decides what the answer makes of it.
func (w *Worker) lookup(ctx context.Context, a attempt.Attempt) attempt.Update {
	c, ok := w.Connectors.Get(a.Tenant, a.Provider)
	if !ok {
		// The provider left the tenants file with money outstanding: nobody can be asked, and people must know.
		w.Book.Alarm(ctx, a, "no such provider in the tenants file")
		unanswered := attempt.Answer{Err: fmt.Errorf("tenant %s has no provider %s", a.Tenant, a.Provider)}
		return attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decide(a, unanswered, attempt.NewPolicy(0, 0, nil, 0, false), w.Clock.Now())}
	}
	asked := w.Clock.Now() // what a provider does not know, it did not know when it was asked
	return attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decide(a, w.question(ctx, c, a), c.Policy, asked)}
}

// question makes one call, within the provider's rate. A panic of the adapter is no answer.
func (w *Worker) question(ctx context.Context, c *connector.Connector, a attempt.Attempt) (ans attempt.Answer) {
	defer func() {
		if p := recover(); p != nil {
			ans = attempt.Answer{Err: fmt.Errorf("the adapter panicked: %v", p)}
			w.Book.Alarm(ctx, a, "the adapter panicked while looking up")
		}
		w.metrics.lookup(c.Connector, ans)
	}()
	ctx, cancel := context.WithTimeout(ctx, lookupLease/2)
	defer cancel()
	if _, err := c.Throttle.Take(ctx, 1); err != nil {
		return attempt.Answer{Err: err}
	}
	found, err := c.Lookuper.Lookup(ctx, a.Transfer(""))
	if err != nil {
		w.Logger.DebugContext(ctx, w.Service+": a lookup was not answered", w.Item, a.Subject, "attempt", a.Number, "error", err)
	}
	return attempt.Answer{Found: found, Err: err}
}

// keep records answers in batches as they come, so that a slow provider does not keep the answers of others waiting.
func (w *Worker) keep(ctx context.Context, answers <-chan attempt.Update) error {
	var first error
	for u := range answers {
		batch := []attempt.Update{u}
		for more := true; more && len(batch) < w.Page; {
			select {
			case next, ok := <-answers:
				if ok {
					batch = append(batch, next)
				}
				more = ok
			default:
				more = false
			}
		}
		if err := w.persist(ctx, batch); err != nil && first == nil {
			first = err // the others go on; this one is due again when its lookup's lease ends
		}
	}
	return first
}

// persist has decisions applied. When that fails for a reason that time does not cure, they are applied one by one, so that a
// defective one costs nothing but itself: it is due again when its lookup's lease ends.
func (w *Worker) persist(ctx context.Context, batch []attempt.Update) error {
	err := pg.InTx(ctx, w.Pool, func(tx pgx.Tx) error { return w.Book.Decided(ctx, tx, batch) })
	switch {
	case err == nil:
		w.Outbox.Nudge()
	case pg.Transient(err) || ctx.Err() != nil:
		return fmt.Errorf("record lookups: %w", err)
	case len(batch) == 1:
		a := batch[0].Attempt
		w.Logger.ErrorContext(ctx, w.Service+": the answer to a lookup cannot be applied", w.Item, a.Subject, "attempt", a.Number, "error", err)
	default:
		for i := range batch {
			if err := w.persist(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}
