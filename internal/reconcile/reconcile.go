// Package reconcile finds out what became of attempts whose outcome is outstanding: it takes over those whose sender died,
// asks the providers about all that are due, without end, and has a service's [Book] apply what their answers prove.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
)

// Config tunes the worker; zero values are the defaults.
type Config struct {
	// Service names the service in logs, events and metrics (agogo_<service>_…); Item is what one row is called: "payout".
	Service, Item string

	Every    time.Duration // between looks at what is due; 1 s
	Page     int           // attempts taken over, and answers recorded, at once; 200
	Parallel int           // lookups under way at once, per connector; 16
}

func (c Config) withDefaults() Config {
	if c.Every <= 0 {
		c.Every = time.Second
	}
	if c.Page <= 0 {
		c.Page = 200
	}
	if c.Parallel <= 0 {
		c.Parallel = 16
	}
	return c
}

// measureEvery is how often the ages of what is open are read for metrics.
const measureEvery = 15 * time.Second

// Deps are what the worker needs.
type Deps struct {
	Pool       *pgxpool.Pool
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Connectors *connector.Set
	Book       Book
	Logger     *slog.Logger
	Registry   prometheus.Registerer // nil: not measured
}

// Book is what a service does about its rows once it is known what became of their attempts.
type Book interface {
	// Apply moves the rows of attempts that were taken over, and settles. A row that is not where its attempt says is an
	// error, and nothing of the call is kept then.
	Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error
	// Decided records decisions (see [Decide]), applies those that change a state, wakes what may be sent now, and settles.
	Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error
	// Alarm tells people that an answer needs them.
	Alarm(ctx context.Context, a attempt.Attempt, alarm string)
}

// Worker runs in every replica; rows are shared out by locks and leases.
type Worker struct {
	Config
	Deps
	metrics  *metrics
	wake     chan struct{}
	asking   asking
	measured time.Time
}

// New makes a worker.
func New(c Config, d Deps) *Worker {
	return &Worker{Config: c.withDefaults(), Deps: d, metrics: newMetrics(c.Service, d.Registry), wake: make(chan struct{}, 1)}
}

// Wake makes Run look at once: a webhook or a person made something due.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run reconciles until ctx ends. It looks by real time, as leases run by it, at what is due by the service's clock. Takeovers
// have a loop of their own, and lookups do not wait for each other: a provider that does not answer must not keep what lost its
// sender from being known as unknown, nor others from being asked.
func (w *Worker) Run(ctx context.Context) error {
	ctx = w.cause(ctx)
	answers := make(chan attempt.Update)
	var kept, loops sync.WaitGroup
	kept.Go(func() { w.keep(ctx, answers, func(err error) { w.failed(ctx, "answers", err) }) })
	loops.Go(func() { w.loop(ctx, "takeovers", nil, w.takeOver) })
	w.loop(ctx, "lookups", w.wake, func(ctx context.Context) (bool, error) {
		_, err := w.lookups(ctx, answers)
		return false, err // a connector without room waits for its lookups to end, which wakes the loop
	})
	loops.Wait()
	w.asking.working.Wait()
	close(answers)
	kept.Wait()
	return nil
}

// loop calls step until there is no more, then waits for the next look.
func (w *Worker) loop(ctx context.Context, what string, wake <-chan struct{}, step func(context.Context) (more bool, err error)) {
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		more, err := step(ctx)
		if err != nil {
			w.failed(ctx, what, err)
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

func (w *Worker) failed(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		w.Logger.ErrorContext(ctx, w.Service+": reconciling failed, trying again", "what", what, "error", err)
	}
}

// cause is what events say of the worker's changes.
func (w *Worker) cause(ctx context.Context) context.Context {
	return event.WithCause(ctx, event.Cause{Actor: run.Actor(w.Service), CorrelationID: "reconcile"})
}

// lookups begins to ask about what is due, and now and then looks after what nobody can be asked about and how old all is.
func (w *Worker) lookups(ctx context.Context, answers chan<- attempt.Update) (more bool, err error) {
	more, err = w.ask(ctx, answers)
	if now := w.Clock.Now(); now.Sub(w.measured) >= measureEvery || now.Before(w.measured) {
		w.measured = now
		err = errors.Join(err, w.askUnserved(ctx, answers))
		w.measure(ctx)
	}
	return more, err
}

// Pass is one look of both loops, to its end, for tests.
func (w *Worker) Pass(ctx context.Context) (more bool, err error) {
	ctx = w.cause(ctx)
	taken, takeErr := w.takeOver(ctx)
	answers := make(chan attempt.Update)
	var kept sync.WaitGroup
	var keepErr error
	kept.Go(func() { w.keep(ctx, answers, func(err error) { keepErr = errors.Join(keepErr, err) }) })
	more, askErr := w.lookups(ctx, answers)
	w.asking.working.Wait()
	close(answers)
	kept.Wait()
	return more || taken, errors.Join(takeErr, askErr, keepErr)
}

// takeOver makes attempts unknown whose lease ran out, and their rows with them. It never sends: the provider is asked.
func (w *Worker) takeOver(ctx context.Context) (more bool, err error) {
	n := 0
	err = pg.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		expired, err := attempt.TakeOver(ctx, tx, w.Clock.Now(), w.Page)
		if n = len(expired); err != nil || n == 0 {
			return err
		}
		moved := make([]attempt.Moved, 0, n)
		for _, a := range expired {
			moved = append(moved, attempt.Moved{Attempt: a, Result: provider.Result{Class: provider.Ambiguous, Code: attempt.CodeLeaseExpired}})
		}
		return w.apply(ctx, tx, moved)
	})
	if err != nil {
		return false, fmt.Errorf("take over expired attempts: %w", err)
	}
	if n > 0 {
		w.metrics.takeovers.Add(float64(n))
		w.Logger.WarnContext(ctx, w.Service+": took over attempts whose sender is gone; their outcome is looked up", "attempts", n)
		w.Outbox.Nudge()
		w.Wake() // they are due at once
	}
	return n == w.Page, nil
}

// apply moves the rows of attempts that were taken over: all at once, or, if one of them is where its attempt does not say,
// one by one, so that a defective one costs nothing but itself. Its attempt is in doubt all the same, and is asked about.
func (w *Worker) apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	err := pg.InTx(ctx, tx, func(tx pgx.Tx) error { return w.Book.Apply(ctx, tx, moved) })
	if err == nil || pg.Transient(err) {
		return err
	}
	if len(moved) == 1 {
		w.Book.Alarm(ctx, moved[0].Attempt, "taken over, but its "+w.Item+" is not where the attempt says: "+err.Error())
		return nil
	}
	for i := range moved {
		if err := w.apply(ctx, tx, moved[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// askPage is how many open attempts one page of a job asks about.
const askPage = 100

// AskPage is a job: it makes a page of the tenant's open attempts due now, of any age; see [attempt.AskPage].
func (w *Worker) AskPage(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	next, asked, err := attempt.AskPage(ctx, tx, w.Clock.Now(), r.Tenant, r.Cursor, askPage)
	if err != nil {
		return run.Page{}, fmt.Errorf("ask about open attempts after %q: %w", r.Cursor, err)
	}
	p := run.Page{Cursor: next, Last: next == "", Done: asked}
	if asked > 0 {
		p.After = w.Wake
	}
	return p, nil
}

// answering is how long a send may take to be answered and recorded before webhooks about it are acted on. Many providers call
// back before they answer, and nearly always to say what the answer says: asking would be a call for nothing.
const answering = 5 * time.Second

// Match makes due what webhooks bring news of. A reference is asked about in any state but where the webhook only repeats a
// success that is proven. One whose send has just begun is looked at again in a moment: its answer is on its way.
func (w *Worker) Match(ctx context.Context, tx pgx.Tx, tenant, name string, notices []webhook.Notice) (map[string]webhook.Fate, error) {
	references := make([]string, 0, len(notices))
	for _, n := range notices {
		references = append(references, n.Reference)
	}
	known, err := attempt.OfReferences(ctx, tx, tenant, name, references)
	if err != nil {
		return nil, err
	}
	now := w.Clock.Now()
	fates, news := make(map[string]webhook.Fate, len(known)), []string{}
	for _, n := range notices {
		a, ok := known[n.Reference]
		switch {
		case !ok:
		case a.State == attempt.Submitting && now.Sub(a.SubmittedAt) < answering:
			fates[n.Reference] = webhook.Busy
		case attempt.News(a, n.Says):
			fates[n.Reference] = webhook.Busy // until it is hinted at below
			news = append(news, n.Reference)
		case fates[n.Reference] == webhook.Unknown:
			fates[n.Reference] = webhook.Known
		}
	}
	hinted, err := attempt.Hint(ctx, tx, now, tenant, name, news)
	if err != nil {
		return nil, err
	}
	for _, reference := range hinted {
		fates[reference] = webhook.Asked
	}
	return fates, w.heard(ctx, tx, tenant, name, references, known, fates)
}

// heard has asked anew what is, or was, asked about after a restore and has no attempt, or one of which the tables say that it was not sent.
// What was sent since has its own lookups.
func (w *Worker) heard(ctx context.Context, tx pgx.Tx, tenant, name string, references []string, known map[string]attempt.Attempt, fates map[string]webhook.Fate) error {
	heard, err := precheck.Heard(ctx, tx, w.Clock.Now(), tenant, name, precheck.Unsent(references, known))
	for reference, done := range heard {
		fates[reference] = webhook.Busy
		if done {
			fates[reference] = webhook.Asked
		}
	}
	return err
}
