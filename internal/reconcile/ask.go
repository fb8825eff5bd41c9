package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

// lookupLease is how long a lookup may take before another replica may ask the same: the slowest call and the wait for
// the rate before it. A lookup too many does no harm.
const lookupLease = 5 * time.Minute

// asking counts the lookups that are under way, per connector: one that does not answer holds up nobody but itself.
type asking struct {
	mu      sync.Mutex
	under   map[provider.Connector]int
	working sync.WaitGroup
}

// rooms says how many more lookups each connector may have.
func (s *asking) rooms(all []*connector.Connector, most int) []attempt.Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rooms []attempt.Room
	for _, c := range all {
		if free := most - s.under[key(c.Tenant, c.Provider)]; free > 0 {
			rooms = append(rooms, attempt.Room{Tenant: c.Tenant, Provider: c.Provider, Most: free})
		}
	}
	return rooms
}

// key leaves the kind out: attempts do not know it.
func key(tenant, name string) provider.Connector {
	return provider.Connector{Tenant: tenant, Provider: name}
}

// add counts a lookup, or takes it back with -1, and returns how many are under way.
func (s *asking) add(c provider.Connector, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under == nil {
		s.under = map[provider.Connector]int{}
	}
	s.under[c] += n
	return s.under[c]
}

// ask begins lookups of what is due, as many per connector as it has room for. Each answer goes to answers. more says that a
// connector's room was used up, so that there may be others.
func (w *Worker) ask(ctx context.Context, answers chan<- attempt.Update) (more bool, err error) {
	rooms := w.asking.rooms(w.Connectors.All(), w.Parallel)
	var due []attempt.Attempt
	err = pg.InTx(ctx, w.Pool, func(tx pgx.Tx) (err error) {
		due, err = attempt.ClaimLookups(ctx, tx, w.Clock.Now(), lookupLease, rooms...)
		return err
	})
	if err != nil {
		return false, err
	}
	claimed := map[provider.Connector]int{}
	for _, a := range due {
		claimed[key(a.Tenant, a.Provider)]++
	}
	for _, r := range rooms {
		more = more || claimed[key(r.Tenant, r.Provider)] == r.Most
	}
	w.begin(ctx, due, answers)
	return more, nil
}

// askUnserved does the same with attempts whose connector the tenants file does not have any more: nobody can be asked about
// them, and people are told.
func (w *Worker) askUnserved(ctx context.Context, answers chan<- attempt.Update) error {
	served := []string{}
	for _, c := range w.Connectors.All() {
		served = append(served, c.Tenant+"/"+c.Provider)
	}
	var due []attempt.Attempt
	err := pg.InTx(ctx, w.Pool, func(tx pgx.Tx) (err error) {
		due, err = attempt.ClaimUnserved(ctx, tx, w.Clock.Now(), lookupLease, served, w.Page)
		return err
	})
	w.begin(ctx, due, answers)
	return err
}

// begin looks up attempts, each on its own. When half of a connector's room is free again, more may be claimed.
func (w *Worker) begin(ctx context.Context, due []attempt.Attempt, answers chan<- attempt.Update) {
	for _, a := range due {
		c := key(a.Tenant, a.Provider)
		w.asking.add(c, 1)
		w.asking.working.Go(func() {
			answers <- w.lookup(ctx, a)
			if w.asking.add(c, -1) == w.Parallel/2 {
				w.Wake()
			}
		})
	}
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
			ans = attempt.Answer{Err: errors.New("the adapter panicked")}
			w.Logger.ErrorContext(ctx, w.Service+": the adapter panicked while looking up", w.Item, a.Subject, "attempt", a.Number, "panic", provider.Panic(p))
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

// keep records answers in batches as they come, so that a slow provider does not keep the answers of others waiting. What
// cannot be recorded is due again when its lookup's lease ends.
func (w *Worker) keep(ctx context.Context, answers <-chan attempt.Update, failed func(error)) {
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
		if err := w.persist(ctx, batch); err != nil {
			failed(err)
		}
	}
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
