package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxPulls hides the round trip of one pull behind another. More of them would only make them smaller. A pull that
	// stays open means that the server has nothing for us, so idle workers without a pull of their own miss nothing.
	maxPulls      = 2
	pullExpiry    = 30 * time.Second
	pullHeartbeat = 2 * time.Second        // two missed ones mean that the server forgot the pull, or is gone
	linger        = 250 * time.Millisecond // for messages on their way when a pull is given up
	// alive is when a pull that did not end has shown that the server keeps it: the client gives up after two beats.
	alive = 2*pullHeartbeat + pullHeartbeat/4
)

// pulls are the requests that a binding has open.
type pulls struct {
	loop     *Loop
	binding  *binding
	handlers context.Context // of the handlers, which outlive the pulls
	results  chan pulled
	open     int
}

// pulled is how a pull ended.
type pulled struct {
	messages int
	err      error
}

// pull asks for messages until ctx ends, or until something is wrong that binding again may cure.
func (l *Loop) pull(ctx, handlers context.Context, b *binding) error {
	closed := l.deps.JS.Conn().StatusChanged(nats.CLOSED)
	defer l.deps.JS.Conn().RemoveStatusListener(closed)
	ctx, cancel := context.WithCancel(ctx)
	p := &pulls{loop: l, binding: b, handlers: handlers, results: make(chan pulled)}
	defer p.finish()
	defer cancel()
	w := newWatchdog(2 * b.ackWait)
	for {
		idle := l.idle
		if p.open == maxPulls {
			idle = nil
		}
		select {
		case <-idle:
			p.start(ctx, 1+l.takeIdle())
		case <-closed:
			return nats.ErrConnectionClosed
		case r := <-p.results:
			p.open--
			if err := l.judge(ctx, r); err != nil {
				return err
			}
			if err := w.check(ctx, b.consumer, r.messages > 0); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *pulls) start(ctx context.Context, n int) {
	p.open++
	go func() {
		got, err := p.fetch(ctx, n)
		p.loop.release(n - got)
		p.results <- pulled{got, err}
	}()
}

// finish waits for the open pulls, whose context has ended.
func (p *pulls) finish() {
	for ; p.open > 0; p.open-- {
		<-p.results
	}
}

// judge makes of a pull's end what the loop says of itself, and returns an error when it must bind again. A server refuses
// a pull without permission in silence, so that looks like a server that forgot it.
func (l *Loop) judge(ctx context.Context, r pulled) error {
	switch {
	case r.err == nil || errors.Is(r.err, context.Canceled):
		l.setUnready(nil)
		return nil
	case !passingPullError(r.err):
		return fmt.Errorf("consumer %s: pull: %w", l.spec.Durable, r.err)
	}
	l.setUnready(fmt.Errorf("consumer %s: pull: %w (server away, or no permission for $JS.API.CONSUMER.MSG.NEXT)", l.spec.Durable, r.err))
	l.log.WarnContext(ctx, "pull ended early", "error", r.err)
	pause(ctx, rand.N(rebindMin))
	return nil
}

// passingPullError names ends of a pull that the next pull cures.
func passingPullError(err error) bool {
	return errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, jetstream.ErrConsumerLeadershipChanged) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded)
}

// fetch asks for n messages, starts a handler for each as it comes, and tells how many it started. When ctx ends the pull is
// given up, but not before messages that may be on their way had a moment to arrive: nobody else would get them before
// their AckWait is over. They are given back.
func (p *pulls) fetch(ctx context.Context, n int) (int, error) {
	pulling, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullExpiry+time.Second)
	defer cancel()
	batch, err := p.binding.consumer.Fetch(n, jetstream.FetchContext(pulling), jetstream.FetchHeartbeat(pullHeartbeat))
	if err != nil {
		return 0, err
	}
	started, giveUp, end := 0, (<-chan time.Time)(nil), ctx.Done()
	kept := time.NewTimer(alive)
	defer kept.Stop()
	for {
		select {
		case m, ok := <-batch.Messages():
			if !ok {
				if started == 0 {
					p.loop.metrics.lag.Set(0)
				}
				return started, batch.Error()
			}
			if giveUp != nil {
				giveUp = time.After(linger)
			}
			if ctx.Err() != nil {
				p.loop.giveBack(m)
				continue
			}
			started++
			p.loop.begin(p.handlers, p.binding, m)
		case <-kept.C:
			p.loop.setUnready(nil) // or an idle loop would say until the end of this pull what was wrong with the one before
		case <-end:
			end, giveUp = nil, time.After(linger)
		case <-giveUp:
			cancel()
			giveUp = nil
		}
	}
}

// begin hands a message to an idle worker.
func (l *Loop) begin(ctx context.Context, b *binding, m jetstream.Msg) {
	l.running.Add(1)
	l.workers.Go(func() {
		defer l.running.Done()
		defer l.release(1)
		l.handle(ctx, b, m)
	})
}

func (l *Loop) giveBack(m jetstream.Msg) {
	l.metrics.results.WithLabelValues(l.spec.Durable, resultGivenBack).Inc()
	if err := m.Nak(); err != nil {
		l.log.Warn("cannot give a message back; it comes again after its AckWait", "error", err)
	}
}

// takeIdle takes the workers that are idle at this moment.
func (l *Loop) takeIdle() int {
	for n := 0; ; n++ {
		select {
		case <-l.idle:
		default:
			return n
		}
	}
}
