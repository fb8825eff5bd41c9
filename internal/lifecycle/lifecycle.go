// Package lifecycle starts the parts of a process in order, tells whether they are ready, and stops them in reverse
// order within a budget, whatever made it stop: a signal, a failed part, or the caller.
//
// The order of [Group.Add] and [Group.Go] is the order of the drain, backwards. A service adds
//
//	health and metrics server · pgx pool · NATS connection · gRPC server · outbox relay · consumer loops · wakers (gocron, sweepers)
//
// so that at the end nothing new is begun first, consumers give back what they have not started and finish the rest, the
// relay awaits its last acknowledgements, calls in progress end, and only then do the connections under all of them close.
// The health server goes last and meanwhile says that the process is not ready.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

const (
	defaultStopBudget = 20 * time.Second
	// leastStop is what a part gets when the parts before it used the budget up.
	leastStop = 100 * time.Millisecond
)

// Group is an ordered set of parts.
type Group struct {
	log    *slog.Logger
	budget time.Duration
	failed chan error // the first failure of a running part

	mu     sync.Mutex
	parts  []part
	checks []check
	ran    bool
	phase  error // why the group is not ready; nil while it runs
}

type part struct {
	name        string
	start, stop func(ctx context.Context) error
}

type check struct {
	name string
	ask  func(ctx context.Context) error
}

// New makes an empty group; stopBudget bounds the whole stop (0: 20 s).
func New(logger *slog.Logger, stopBudget time.Duration) *Group {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if stopBudget <= 0 {
		stopBudget = defaultStopBudget
	}
	return &Group{log: logger, budget: stopBudget, failed: make(chan error, 1), phase: errors.New("not started")}
}

// Add appends a part with a start that returns when it is up and a stop; either may be nil. The context of start ends when
// start returns, so a part cannot hang its own life on it by mistake and die out of order; what runs on belongs in
// [Group.Go]. The context of stop ends with the budget.
func (g *Group) Add(name string, start, stop func(ctx context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parts = append(g.parts, part{name, start, stop})
}

// Go appends a part that runs until its context ends. Returning earlier, or with an error other than the context's, stops
// the group with that error.
func (g *Group) Go(name string, run func(ctx context.Context) error) {
	r := &runner{name: name, run: run, fail: g.fail, done: make(chan struct{})}
	g.Add(name, r.start, r.stop)
}

// Check appends a readiness check.
func (g *Group) Check(name string, ask func(ctx context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checks = append(g.checks, check{name, ask})
}

// Run starts all parts, calls started (may be nil) when they are up, and blocks until ctx ends or a part fails; then it
// becomes unready and stops all parts in reverse. It returns nil when ctx ended it and every part stopped cleanly. A group
// runs once.
func (g *Group) Run(ctx context.Context, started func()) error {
	parts, err := g.begin()
	if err != nil {
		return err
	}
	up, err := g.startAll(ctx, parts)
	if err == nil && ctx.Err() == nil {
		g.setPhase(nil)
		g.log.DebugContext(ctx, "all parts are up", "parts", up)
		if started != nil {
			started()
		}
		err = g.wait(ctx)
	}
	g.setPhase(errors.New("stopping"))
	if err != nil {
		g.log.ErrorContext(ctx, "stopping because of an error", "error", err)
	}
	stopErr := g.stopAll(context.WithoutCancel(ctx), parts[:up])
	select {
	case late := <-g.failed: // before its turn to stop, but nobody was waiting any more
		return errors.Join(err, late, stopErr)
	default:
		return errors.Join(err, stopErr)
	}
}

// Ready says why the group is not ready, or nil.
func (g *Group) Ready(ctx context.Context) error {
	g.mu.Lock()
	phase, checks := g.phase, g.checks
	g.mu.Unlock()
	if phase != nil {
		return phase
	}
	var errs []error
	for _, c := range checks {
		if err := safely(ctx, c.ask); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

func (g *Group) begin() ([]part, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ran {
		return nil, errors.New("lifecycle: the group ran already; make a new one")
	}
	g.ran = true
	return g.parts, nil
}

// startAll starts the parts one after the other and tells how many are up.
func (g *Group) startAll(ctx context.Context, parts []part) (up int, err error) {
	for i, p := range parts {
		select {
		case <-ctx.Done():
			return i, nil
		default:
		}
		g.setPhase(fmt.Errorf("starting %s", p.name))
		if err := g.startOne(ctx, p); err != nil {
			return i, fault(ctx, err)
		}
	}
	return len(parts), nil
}

// fault is err, or nothing when err only says that the caller ended ctx.
func fault(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}

func (g *Group) startOne(ctx context.Context, p part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- safely(ctx, p.start) }()
	var failure error
	select {
	case err := <-done:
		return named(p.name, "start", err)
	case failure = <-g.failed: // a part that is up already
		cancel(failure)
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		if err == nil {
			// It is up after all, and must be stopped: the failure is for wait to find.
			g.refail(failure)
			return nil
		}
		if failure != nil {
			return failure
		}
		return named(p.name, "start", err)
	case <-time.After(g.budget):
		return errors.Join(failure, fmt.Errorf("%s: start: did not end with its context within %s", p.name, g.budget))
	}
}

func (g *Group) wait(ctx context.Context) error {
	select {
	case err := <-g.failed:
		return err
	default:
	}
	select {
	case err := <-g.failed:
		return err
	case <-ctx.Done():
		g.log.InfoContext(ctx, "stopping", "cause", context.Cause(ctx))
		return nil
	}
}

// stopAll stops parts in reverse. One that fails or hangs does not keep the others from their turn.
func (g *Group) stopAll(ctx context.Context, parts []part) error {
	ctx, cancel := context.WithTimeout(ctx, g.budget)
	defer cancel()
	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		if err := g.stopOne(ctx, parts[i]); err != nil {
			g.log.ErrorContext(ctx, "a part did not stop cleanly", "part", parts[i].name, "error", err)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (g *Group) stopOne(ctx context.Context, p part) error {
	done := make(chan error, 1)
	go func() { done <- safely(ctx, p.stop) }()
	select {
	case err := <-done:
		return named(p.name, "stop", err)
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return named(p.name, "stop", err)
	case <-time.After(leastStop):
		return fmt.Errorf("%s: stop: not done within the budget of %s", p.name, g.budget)
	}
}

func (g *Group) fail(err error) {
	select {
	case g.failed <- err:
	default:
		g.log.Error("another part failed", "error", err) // the first one is what Run returns
	}
}

func (g *Group) refail(err error) {
	if err != nil {
		g.fail(err)
	}
}

func (g *Group) setPhase(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.phase = err
}

func named(name, verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", name, verb, err)
}

// safely calls f, which may be nil, and makes a panic an error, so that the other parts still stop in order.
func safely(ctx context.Context, f func(context.Context) error) (err error) {
	if f == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(ctx)
}
