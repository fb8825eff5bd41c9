package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
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
}

const (
	defaultDrainBudget = 15 * time.Second
	handlerPatience    = 2 * time.Second  // for a handler to notice that its context ended
	maxHandling        = 30 * time.Minute // of a handler that heartbeats; one that takes longer hangs
	pullExpiry         = 30 * time.Second
	pullHeartbeat      = 5 * time.Second        // two missed ones mean that the server forgot the pull
	linger             = 250 * time.Millisecond // for messages on their way when a pull is given up
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
	idle    chan struct{} // one token per idle worker
	running sync.WaitGroup

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
	if d.Traces == nil {
		d.Traces = noop.NewTracerProvider()
	}
	spec.Workers = max(spec.Workers, 1)
	l := &Loop{
		spec: spec, handler: h, deps: d, log: d.Logger.With("consumer", spec.Durable), metrics: newMetrics(d.Registry, spec.Durable),
		tracer: d.Traces.Tracer("github.com/agogopay/agogo/internal/stream"), idle: make(chan struct{}, spec.Workers),
		unready: fmt.Errorf("consumer %s: not bound yet", spec.Durable),
	}
	l.release(spec.Workers)
	return l
}

// Ready reports whether the loop is bound and delivering.
func (l *Loop) Ready(context.Context) error {
	if nc := l.deps.JS.Conn(); !nc.IsConnected() {
		return fmt.Errorf("consumer %s: not connected to NATS (%s)", l.spec.Durable, nc.Status())
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
	wait := rebindMin
	for ctx.Err() == nil {
		b, err := l.bind(ctx)
		if err == nil {
			wait = rebindMin
			err = l.pull(ctx, handlers, b)
		}
		if ctx.Err() != nil {
			break
		}
		if l.deps.JS.Conn().IsClosed() {
			return fmt.Errorf("consumer %s: connection to NATS is closed: %w", l.spec.Durable, err)
		}
		l.setUnready(err)
		l.log.ErrorContext(ctx, "cannot consume, trying again", "error", err, "in", wait)
		pause(ctx, wait+rand.N(wait/2))
		wait = min(2*wait, rebindMax)
	}
	return nil
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

// pull asks for messages until ctx ends, or until something is wrong that binding again may cure.
func (l *Loop) pull(ctx, handlers context.Context, b *binding) error {
	reconnected := l.deps.JS.Conn().StatusChanged(nats.CONNECTED)
	defer l.deps.JS.Conn().RemoveStatusListener(reconnected)
	w := newWatchdog(2 * b.ackWait)
	for {
		n := l.acquire(ctx)
		if n == 0 {
			return nil
		}
		got, err := l.fetch(ctx, handlers, b, n, reconnected)
		l.release(n - got)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !passingPullError(err) {
			return fmt.Errorf("consumer %s: pull: %w", l.spec.Durable, err)
		}
		l.pulled(ctx, err)
		if err := w.check(ctx, b.consumer, got > 0); err != nil {
			return err
		}
	}
}

// pulled notes how a pull ended. A server refuses a pull without permission in silence, so that looks like a server that
// forgot it.
func (l *Loop) pulled(ctx context.Context, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		l.setUnready(nil)
		return
	}
	l.setUnready(fmt.Errorf("consumer %s: pull: %w (server away, or no permission for $JS.API.CONSUMER.MSG.NEXT)", l.spec.Durable, err))
	l.log.WarnContext(ctx, "pull ended early", "error", err)
	pause(ctx, rand.N(rebindMin))
}

// passingPullError names ends of a pull that the next pull cures.
func passingPullError(err error) bool {
	return errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, jetstream.ErrConsumerLeadershipChanged) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fetch asks for n messages, starts a handler for each as it comes, and tells how many it started. When ctx ends or the
// connection was a new one meanwhile, it waits a moment for messages already on their way, for nobody else would get them
// before their AckWait is over: after ctx's end it gives them back.
func (l *Loop) fetch(ctx, handlers context.Context, b *binding, n int, reconnected <-chan nats.Status) (int, error) {
	pulling, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullExpiry+time.Second)
	defer cancel()
	batch, err := b.consumer.Fetch(n, jetstream.FetchContext(pulling), jetstream.FetchHeartbeat(pullHeartbeat))
	if err != nil {
		return 0, err
	}
	started, giveUp, end := 0, (<-chan time.Time)(nil), ctx.Done()
	for {
		select {
		case m, ok := <-batch.Messages():
			switch {
			case !ok:
				if started == 0 && ctx.Err() == nil {
					l.metrics.lag.Set(0)
				}
				return started, batch.Error()
			case ctx.Err() != nil:
				l.giveBack(m)
			default:
				started++
				l.running.Go(func() {
					defer l.release(1)
					l.handle(handlers, b, m)
				})
			}
			if giveUp != nil {
				giveUp = time.After(linger)
			}
		case <-end:
			end, giveUp = nil, time.After(linger)
		case <-reconnected:
			giveUp = time.After(linger)
		case <-giveUp:
			cancel()
			giveUp = nil
		}
	}
}

func (l *Loop) giveBack(m jetstream.Msg) {
	l.metrics.results.WithLabelValues(l.spec.Durable, resultGivenBack).Inc()
	if err := m.Nak(); err != nil {
		l.log.Warn("cannot give a message back; it comes again after its AckWait", "error", err)
	}
}

// drain waits for handlers that still run. After the budget it ends their contexts, and after a moment more gives them up.
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
	case <-time.After(handlerPatience):
		return fmt.Errorf("consumer %s: %d handlers did not end with their context; their messages come again after their AckWait",
			l.spec.Durable, l.spec.Workers-len(l.idle))
	}
}

var errDrained = errors.New("the process is stopping")

// acquire waits for an idle worker and takes all that are idle; 0 means that ctx ended.
func (l *Loop) acquire(ctx context.Context) int {
	select {
	case <-l.idle:
	case <-ctx.Done():
		return 0
	}
	n := 1
	for {
		select {
		case <-l.idle:
			n++
		default:
			return n
		}
	}
}

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
