package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/crew"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

// lane sends the rows of a page that go through one connector. Claims, sends and records overlap: a slow answer holds
// its own slot and nothing else.
type lane struct {
	Lane
	d *Dispatcher
	// owner is this lane's in the database: trials are its own, and each of its claims has an owner of its own, whose name begins so.
	owner string

	slots    provider.Part // its run's
	answers  chan answer
	callers  *crew.Crew
	sending  sync.WaitGroup // of claimed rows, until they are recorded
	open     atomic.Int64   // as many as sending waits for
	again    atomic.Bool    // something became claimable since the last claim
	seen     atomic.Int64   // how often the connector was stopped so far, by the latest look before a send
	stopped  atomic.Int64   // 1 more than that when an answer asked to stop: what goes by no newer look is not sent any more
	ended    atomic.Bool    // nothing more is claimed
	halted   atomic.Bool    // an answer asked to stop, and that could not be written down
	dry      atomic.Bool    // a claim found fewer rows than it had slots for: the next one is the feeder's, who knows what to wait for
	progress chan struct{}  // a record was committed
	recorded bool           // likewise, of any; written by the recorder, and read when it has ended

	mu   sync.Mutex
	rest map[uuid.UUID]time.Time // never sent, and not before
}

// answer is what a send brought.
type answer struct {
	owner   string // of the claim
	attempt attempt.Attempt
	result  provider.Result
	took    time.Duration // the call

	lost      bool       // its claim's commit was: it may have begun nothing
	calledOff bool       // by a stop that the next claim will see too
	trial     bool       // of a credential that was not proven
	notBefore *time.Time // of one that was not sent: when it goes again, for the database
	rest      time.Time  // and for this lane
	late      bool       // somebody else had taken the attempt over
}

func newLane(d *Dispatcher, at Lane) *lane {
	return &lane{
		Lane: at, d: d, owner: d.Owner + "/" + uuid.NewString(), slots: at.Connector.Throttle.Part(at.Run.ID.String()), answers: make(chan answer), callers: crew.New(), progress: make(chan struct{}, 1),
		rest: map[uuid.UUID]time.Time{},
	}
}

// work claims and sends until nothing of the page can go now, and returns when all outcomes are recorded. When ctx ends
// nothing more is claimed, and what is under way is seen to its end.
func (l *lane) work(ctx context.Context) error {
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		l.record(context.WithoutCancel(ctx))
	}()
	err := l.feed(ctx)
	l.ended.Store(true)
	l.sending.Wait()
	close(l.answers)
	l.callers.Leave()
	<-recorded
	return errors.Join(err, l.settle(context.WithoutCancel(ctx)))
}

// settleWithin bounds the lane's last transaction.
const settleWithin = 10 * time.Second

// settle completes the run if what this lane recorded was the last of it. Only now: while there is more to send the answer is
// known, and asking for it with every batch of outcomes costs as much as writing one. Should the process die before this, the
// sweeper asks.
func (l *lane) settle(ctx context.Context) error {
	if !l.recorded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	err := pg.InTx(ctx, l.d.Pool, func(tx pgx.Tx) error { return l.d.Book.Settle(ctx, tx, l.Run.ID) })
	if err != nil {
		return fmt.Errorf("settle run %s: %w", l.Run.ID, err)
	}
	l.d.Outbox.Nudge()
	return nil
}

// look has the balance read. Where somebody else is at it, or nothing new is told, it waits a moment for what is under way.
func (l *lane) look(ctx context.Context, within time.Duration) error {
	switch {
	case l.d.Funds.Look(ctx, l.Connector, within):
		return nil
	case l.open.Load() > 0:
		return l.wait(ctx)
	default:
		return l.d.Clock.Sleep(ctx, probeEvery)
	}
}

// probeEvery is how often a lane looks whether another one's probe of a degraded connector is over, or its look at the balance.
const probeEvery = time.Second

func (l *lane) feed(ctx context.Context) error {
	for {
		if l.halted.Load() {
			return errHalted
		}
		l.again.Store(false)
		c, err := l.next(ctx)
		switch {
		case err != nil:
			return err
		case len(c.begun) > 0 || c.held > 0 || c.refused:
			continue
		case c.cover.Look > 0:
			err = l.look(ctx, c.cover.Look)
		case c.probing && l.open.Load() == 0:
			err = l.d.Clock.Sleep(ctx, probeEvery)
		case c.probing:
			err = l.wait(ctx)
		case c.rest > l.d.Patience:
			return nil // behind a provider fault: it counts as waiting, and the sweeper comes back to it
		case c.rest > 0:
			err = l.d.Clock.Sleep(ctx, c.rest)
		default:
			var more bool
			if more, err = l.idle(ctx); err == nil && !more {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// next takes slots and a share of the rate, claims rows for them, and sends those.
func (l *lane) next(ctx context.Context) (claimed, error) {
	slots, err := l.slots.Slots(ctx, l.d.ClaimMost)
	if err != nil {
		return claimed{}, err
	}
	most, err := l.Connector.Throttle.Take(ctx, slots)
	if err != nil {
		l.slots.Free(slots)
		return claimed{}, err
	}
	// The lease ends by this process's clock before it does by the database's, which starts it later.
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Connector.Policy.Lease-l.Connector.Policy.Margin)
	c, err := l.claim(ctx, most)
	l.slots.Free(slots - len(c.begun))
	l.begin(len(c.begun))
	if err != nil {
		l.refuse(c, codeLost, false)
		cancel()
		return claimed{}, err
	}
	l.dry.Store(len(c.begun) < most)
	if len(c.begun) == 0 {
		cancel()
		return c, nil
	}
	crashpoint.Hit(l.d.Service + ".after_claim_commit")
	l.d.Outbox.Nudge()
	l.send(sctx, cancel, c)
	return c, nil
}

// begin counts rows as claimed; the recorder takes them out again.
func (l *lane) begin(n int) {
	l.sending.Add(n)
	l.open.Add(int64(n))
}

// send calls the provider for each attempt, all at once: they hold a slot each. done ends their common context.
func (l *lane) send(ctx context.Context, done context.CancelFunc, c claimed) {
	g, code, err := l.called(ctx, c)
	if code != "" {
		l.refuse(c, code, err == nil)
		done()
		return
	}
	var wave sync.WaitGroup
	for _, a := range c.begun {
		wave.Add(1)
		l.callers.Go(func() {
			defer wave.Done()
			if l.over(g.stops) || !c.trial && l.withdrawn(g) {
				l.refuse(claimed{owner: c.owner, begun: []attempt.Attempt{a}, trial: c.trial}, CodeStopped, true)
				return
			}
			began := l.d.Clock.Now()
			res := l.submit(ctx, a, c.about)
			now := l.d.Clock.Now()
			l.Connector.Proof.Take(res, g.stops, now)
			l.answers <- answer{owner: c.owner, attempt: a, result: res, took: now.Sub(began), trial: c.trial}
		})
	}
	go func() { wave.Wait(); done() }()
}

// withdrawn reports whether a credential that was proven when this was claimed is not any more: another call of this process has
// heard that it is refused, or the connector was stopped and opened meanwhile. Many tries at once would follow.
func (l *lane) withdrawn(g gates) bool {
	return !l.Connector.Proof.Holds(provider.Status{Stops: g.stops}, l.d.Clock.Now())
}

// over reports whether an answer has asked to stop since the connector had been stopped so often. A person who opens it then lets
// what is claimed from there on go.
func (l *lane) over(stops int64) bool { return stops < l.stopped.Load() }

// called reads the stops once more, right before the first byte, and returns the code of what calls the sends off.
func (l *lane) called(ctx context.Context, c claimed) (g gates, code string, err error) {
	g, err = l.gate(ctx, l.d.Pool)
	for seen := l.seen.Load(); g.stops > seen && !l.seen.CompareAndSwap(seen, g.stops); seen = l.seen.Load() {
	}
	covered := true
	if err == nil && g.Code == "" && !c.cover.Free {
		covered, err = l.d.Funds.Still(ctx, l.Connector, g.status, c.cover)
	}
	switch {
	case err != nil:
		l.d.Logger.WarnContext(ctx, l.d.Service+": claimed and not sent, the stops cannot be read", "run", l.Run.ID, "error", err)
		return g, "stops_unreadable", err
	case !covered:
		return g, provider.CodeShort, nil
	default:
		return g, g.Code, nil
	}
}

// submit makes one call. Between the crash points lies the moment in which nobody but the provider knows what happened.
func (l *lane) submit(ctx context.Context, a attempt.Attempt, about string) (res provider.Result) {
	defer func() {
		// A defect of an adapter must not take the other sends down with it; what it did before is not known.
		if p := recover(); p != nil {
			l.d.Logger.ErrorContext(ctx, l.d.Service+": the adapter panicked while sending", l.d.Item, a.Subject, "attempt", a.Number, "panic", provider.Panic(p))
			res = provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "adapter_panicked", Alarm: "the adapter panicked while sending"}
		}
	}()
	crashpoint.Hit(l.d.Service + ".before_send")
	began := l.d.Clock.Now()
	res = l.Connector.Submitter.Submit(ctx, a.Transfer(about))
	l.d.metrics.sent(l.Connector.Connector, res.Class, l.d.Clock.Now().Sub(began))
	crashpoint.Hit(l.d.Service + ".after_send")
	if res.Stop {
		l.stopped.Store(l.seen.Load() + 1)
	}
	return res
}

// codeLost is of what was begun in a transaction whose commit did not tell whether it happened.
const codeLost = "not_committed"

// refuse records what was begun as never sent.
func (l *lane) refuse(c claimed, code string, calledOff bool) {
	for _, a := range c.begun {
		l.answers <- answer{owner: c.owner, attempt: a, result: provider.Result{Class: provider.NotSent, Code: code}, lost: code == codeLost, calledOff: calledOff, trial: c.trial}
	}
}

// idle waits for something to do after a claim that found nothing: an outcome that makes a row claimable again, or the
// end of a rest. It reports false when there is nothing left to wait for.
func (l *lane) idle(ctx context.Context) (bool, error) {
	for l.open.Load() > 0 {
		if l.again.Load() {
			return true, nil
		}
		if err := l.wait(ctx); err != nil {
			return false, err
		}
	}
	if l.again.Load() {
		return true, nil
	}
	wake, ok := l.earliest()
	if !ok {
		return false, nil
	}
	err := l.d.Clock.Sleep(ctx, wake.Sub(l.d.Clock.Now()))
	l.resting() // forgets what is over: it has had its look, whatever that finds in its way
	return true, err
}

// wait waits for outcomes to be committed.
func (l *lane) wait(ctx context.Context) error {
	select {
	case <-l.progress:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resting lists the rows that were not sent and should not go again yet.
func (l *lane) resting() []uuid.UUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ids := l.d.Clock.Now(), []uuid.UUID{}
	for id, until := range l.rest {
		if !now.Before(until) {
			delete(l.rest, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

func (l *lane) earliest() (wake time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, until := range l.rest {
		if !ok || until.Before(wake) {
			wake, ok = until, true
		}
	}
	return wake, ok
}
