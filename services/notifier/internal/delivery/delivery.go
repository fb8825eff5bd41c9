// Package delivery sends what waits in the queue of pushes: it claims due rows by a lease, sends outside any transaction,
// and records what became of them. A process that dies between sending and recording leaves its lease to run out; the
// push is then sent again, with the same notification id, which the device uses to show it once.
package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/services/notifier/internal/channel"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// Sender sends messages and answers for each of them, in order. An error means that it sent nothing.
type Sender interface {
	Send(ctx context.Context, msgs []channel.Message) ([]channel.Result, error)
}

// Config tunes delivery; zero values are the defaults.
type Config struct {
	Workers int           // 2: one sends while the other claims and records
	Batch   int           // 500
	Poll    time.Duration // 500 ms: how often the queue is looked at unasked
	Timeout time.Duration // 45 s for one batch; the SDK's own retries end with it
	Lease   time.Duration // 90 s; must exceed Timeout by the time of a record
	GiveUp  time.Duration // 24 h: an older push is of no use; its row remains
	Stale   time.Duration // store.Stale
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	if c.Workers <= 0 {
		c.Workers = 2
	}
	if c.Batch <= 0 {
		c.Batch = 500
	}
	or(&c.Poll, 500*time.Millisecond)
	or(&c.Timeout, 45*time.Second)
	or(&c.Lease, 90*time.Second)
	or(&c.GiveUp, 24*time.Hour)
	or(&c.Stale, store.Stale)
	return c
}

// Deps are what delivery needs.
type Deps struct {
	Store   *store.Store
	Sender  Sender
	Clock   clock.Clock
	Metrics *Metrics
	Logger  *slog.Logger
}

// Worker empties the queue of pushes.
type Worker struct {
	cfg   Config
	deps  Deps
	pace  pace
	nudge chan struct{}
}

// New makes a worker.
func New(c Config, d Deps) *Worker {
	return &Worker{cfg: c.withDefaults(), deps: d, pace: pace{clock: d.Clock}, nudge: make(chan struct{}, 1)}
}

// Nudge wakes the worker. Polling is the truth, so a lost nudge costs the poll interval only.
func (w *Worker) Nudge() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends; then it records what it has sent.
func (w *Worker) Run(ctx context.Context) error {
	var g errgroup.Group
	for range w.cfg.Workers {
		g.Go(func() error { return w.loop(ctx) })
	}
	return g.Wait()
}

func (w *Worker) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		full, err := w.Step(ctx)
		if err != nil && ctx.Err() == nil {
			w.deps.Logger.ErrorContext(ctx, "pushes wait: the queue cannot be worked on", "error", err)
		}
		if !full || err != nil {
			w.idle(ctx)
		}
	}
	return ctx.Err()
}

func (w *Worker) idle(ctx context.Context) {
	select {
	case <-w.nudge:
	case <-time.After(w.cfg.Poll):
	case <-ctx.Done():
	}
}

// Step delivers one batch; full tells that more may be waiting. It does nothing while the service is given a rest.
func (w *Worker) Step(ctx context.Context) (full bool, err error) {
	size := w.pace.size(w.cfg.Batch)
	if size == 0 {
		return false, nil
	}
	lease, pushes, err := w.deps.Store.Claim(ctx, size, w.cfg.Lease)
	if err != nil || len(pushes) == 0 {
		return false, err
	}
	verdicts, sendable := w.sort(pushes)
	results := w.send(ctx, sendable)
	crashpoint.Hit("notifier.after_send")
	verdicts = append(verdicts, w.judge(ctx, sendable, results)...)
	return len(pushes) == size, w.record(ctx, lease, verdicts)
}

// sort takes out what must not be sent any more.
func (w *Worker) sort(pushes []store.Push) (verdicts []store.Verdict, sendable []store.Push) {
	now := w.deps.Clock.Now()
	for _, p := range pushes {
		age := now.Sub(p.QueuedAt)
		switch {
		case !p.Registered:
			verdicts = append(verdicts, store.Verdict{Push: p, State: store.Dropped, Code: store.Gone})
		case p.TakenOver:
			verdicts = append(verdicts, store.Verdict{Push: p, State: store.Dropped, Code: store.TakenOver})
		case p.Overtaken && age > w.cfg.Stale:
			verdicts = append(verdicts, store.Verdict{Push: p, State: store.Dropped, Code: store.Overtaken})
		case age > w.cfg.GiveUp:
			verdicts = append(verdicts, store.Verdict{Push: p, State: store.Failed, Code: store.Expired})
		default:
			sendable = append(sendable, p)
		}
	}
	return verdicts, sendable
}

// grace is what sends under way get to end in when the process stops: those cut off are sent again by somebody else.
const grace = 2 * time.Second

func (w *Worker) send(ctx context.Context, pushes []store.Push) []channel.Result {
	if len(pushes) == 0 {
		return nil
	}
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	msgs := make([]channel.Message, len(pushes))
	for i, p := range pushes {
		msgs[i] = p.Message
	}
	return w.sendAll(send, msgs)
}

// sendAll finds the message that the channel itself refuses, should there be one, by halving: it must not keep the others
// of its batch from being sent.
func (w *Worker) sendAll(ctx context.Context, msgs []channel.Message) []channel.Result {
	results, err := w.deps.Sender.Send(ctx, msgs)
	switch {
	case err == nil:
		return results
	case len(msgs) == 1:
		w.deps.Logger.ErrorContext(ctx, "a push is not even sent: this is a fault of the notifier",
			"notification", msgs[0].NotificationID, "kind", msgs[0].Kind, "error", err)
		return []channel.Result{{Outcome: channel.Invalid, Code: "NOT_SENT"}}
	}
	half := len(msgs) / 2
	return append(w.sendAll(ctx, msgs[:half]), w.sendAll(ctx, msgs[half:])...)
}

// judge turns answers into verdicts, and tells the pace how the service is doing.
func (w *Worker) judge(ctx context.Context, pushes []store.Push, results []channel.Result) []store.Verdict {
	w.deps.Metrics.results(results)
	if fault := w.pace.after(results); fault != "" {
		w.deps.Metrics.down(fault)
		w.deps.Logger.ErrorContext(ctx, "the push service takes nothing; pushes wait", "code", fault, "pushes", len(results))
	} else if len(results) > 0 {
		w.deps.Metrics.up()
	}
	now := w.deps.Clock.Now()
	verdicts := make([]store.Verdict, len(pushes))
	for i, p := range pushes {
		r := results[i]
		v := store.Verdict{Push: p, Code: r.Code}
		switch r.Outcome {
		case channel.Sent:
			v.State = store.Sent
		case channel.Dead:
			v.State, v.RemoveDevice = store.Failed, true
		case channel.Invalid:
			v.State = store.Failed
		case channel.Later, channel.Refused:
			v.State, v.NextTryAt = store.Pending, now.Add(max(r.After, backoff(p.Tries)))
		}
		verdicts[i] = v
	}
	return verdicts
}

// recordTimeout is for the one transaction; the process may be stopping, but what was sent must be known.
const recordTimeout = 10 * time.Second

func (w *Worker) record(ctx context.Context, lease uuid.UUID, verdicts []store.Verdict) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	f, err := w.deps.Store.Record(ctx, lease, verdicts)
	if err != nil {
		return fmt.Errorf("%w (they are sent again, with the same ids, when their lease has run out)", err)
	}
	w.deps.Metrics.finished(f)
	return nil
}
