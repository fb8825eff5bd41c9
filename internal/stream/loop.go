package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/agogopay/agogo/internal/crew"
)

// Deps are what a loop needs.
type Deps struct {
	JS      jetstream.JetStream
	Service string
	Logger  *slog.Logger
	// DeadLettered is told after a message was copied to DLQ (the service emits event.dead_lettered); may be nil. It may be
	// told twice of one message.
	DeadLettered func(ctx context.Context, m Message, err error) error
	Registry     prometheus.Registerer // nil: metrics are kept and not shown
	Traces       trace.TracerProvider  // nil: no spans
	DrainBudget  time.Duration         // how long running handlers may go on after the end; 0: 15 s
	// Patience is how long they may take to end once their context has (0: 2 s): one that sees calls to their answer needs
	// more than one that only has to notice.
	Patience time.Duration
}

const (
	defaultDrainBudget = 15 * time.Second
	defaultPatience    = 2 * time.Second
	maxHandling        = 30 * time.Minute // of a handler that heartbeats; one that takes longer hangs
	flushTimeout       = time.Second
	rebindMin          = 250 * time.Millisecond
	rebindMax          = 5 * time.Second
)

// Loop handles the messages of one consumer.
//
// It pulls exactly as many messages as it has idle workers, so a message begins the moment it arrives and its AckWait runs
// from there: none ages in a client's buffer behind a slow one, to be delivered a second time meanwhile.
type Loop struct {
	spec    ConsumerSpec
	handler Handler
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	tracer  trace.Tracer
	span    string        // what handling a message is called in traces
	idle    chan struct{} // one token per idle worker
	running sync.WaitGroup
	workers *crew.Crew

	mu      sync.Mutex
	unready error
}

// NewLoop makes a loop.
func NewLoop(spec ConsumerSpec, h Handler, d Deps) *Loop {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.DrainBudget == 0 {
		d.DrainBudget = defaultDrainBudget
	}
	if d.Patience == 0 {
		d.Patience = defaultPatience
	}
	if d.Traces == nil {
		d.Traces = noop.NewTracerProvider()
	}
	spec.Workers = max(spec.Workers, 1)
	l := &Loop{
		spec: spec, handler: h, deps: d, log: d.Logger.With("consumer", spec.Durable), metrics: newMetrics(d.Registry, spec.Durable),
		tracer: d.Traces.Tracer("github.com/agogopay/agogo/internal/stream"), span: spec.Durable + " process", idle: make(chan struct{}, spec.Workers),
		unready: fmt.Errorf("consumer %s: not bound yet", spec.Durable),
	}
	l.release(spec.Workers)
	return l
}

// Name is the consumer's.
func (l *Loop) Name() string { return l.spec.Durable }

// Ready reports whether the loop is bound and delivering.
func (l *Loop) Ready(ctx context.Context) error {
	if err := Connected(l.deps.JS.Conn())(ctx); err != nil {
		return fmt.Errorf("consumer %s: %w", l.spec.Durable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unready
}

// Run binds to the consumer and handles messages until ctx ends; then it drains: what is still on its way is given back at
// once and running handlers finish within the budget. What keeps it from working makes it unready, and it tries on; only a
// connection that was closed for good, and handlers that do not end, make it fail.
func (l *Loop) Run(ctx context.Context) error {
	// Handlers outlive ctx, for the drain. Their own end is decided there.
	handlers, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	l.workers = crew.New()
	defer l.workers.Leave()
	err := l.pump(ctx, handlers)
	l.setUnready(fmt.Errorf("consumer %s: stopped", l.spec.Durable))
	err = errors.Join(err, l.drain(stop))
	if nc := l.deps.JS.Conn(); nc.IsConnected() {
		_ = nc.FlushTimeout(flushTimeout) // acks and naks leave now; whoever closes the connection need not know of them
	}
	return err
}

// pump binds and pulls, again and again, until ctx ends or the connection is closed.
func (l *Loop) pump(ctx, handlers context.Context) error {
	for wait := rebindMin; ; wait = min(2*wait, rebindMax) {
		b, err := l.bind(ctx)
		if err == nil {
			wait = rebindMin
			err = l.pull(ctx, handlers, b)
		}
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end was asked for, and err only tells of it
		case l.deps.JS.Conn().IsClosed():
			return fmt.Errorf("consumer %s: connection to NATS is closed: %w", l.spec.Durable, err)
		}
		l.setUnready(err)
		l.log.ErrorContext(ctx, "cannot consume, trying again", "error", err, "in", wait)
		pause(ctx, wait+rand.N(wait/2))
	}
}

// binding is a consumer as the server has it: its configuration counts, not the one this binary was built with.
type binding struct {
	consumer   jetstream.Consumer
	ackWait    time.Duration
	maxDeliver int
	backOff    []time.Duration
}

func (l *Loop) bind(ctx context.Context) (*binding, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := l.deps.JS.Consumer(ctx, l.spec.Stream, l.spec.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("consumer %s of %s is not there; run the provisioner: %w", l.spec.Durable, l.spec.Stream, err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("consumer %s of %s: no answer (no leader, or no permission for $JS.API.CONSUMER.INFO, which a server refuses in silence): %w",
			l.spec.Durable, l.spec.Stream, err)
	case err != nil:
		return nil, fmt.Errorf("consumer %s of %s: %w", l.spec.Durable, l.spec.Stream, err)
	}
	cfg := c.CachedInfo().Config
	b := &binding{consumer: c, ackWait: cfg.AckWait, maxDeliver: cfg.MaxDeliver, backOff: cfg.BackOff}
	if len(b.backOff) == 0 {
		b.backOff = []time.Duration{b.ackWait}
	}
	b.ackWait = b.backOff[0]
	l.setUnready(nil)
	l.log.DebugContext(ctx, "bound", "stream", l.spec.Stream, "workers", l.spec.Workers)
	return b, nil
}

// drain waits for handlers that still run. After the budget it ends their contexts, and when its patience is over
// gives them up.
func (l *Loop) drain(stop context.CancelCauseFunc) error {
	done := make(chan struct{})
	go func() { l.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(l.deps.DrainBudget):
	}
	stop(errDrained)
	select {
	case <-done:
		return nil
	case <-time.After(l.deps.Patience):
		return fmt.Errorf("consumer %s: %d handlers did not end with their context; their messages come again after their AckWait",
			l.spec.Durable, l.spec.Workers-len(l.idle))
	}
}

var errDrained = errors.New("the process is stopping")

// release tells that n workers are idle.
func (l *Loop) release(n int) {
	for range n {
		l.idle <- struct{}{}
	}
}

func (l *Loop) setUnready(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unready = err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
