package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/clock"
)

// handle calls the handler and tells the server how it went.
func (l *Loop) handle(ctx context.Context, b *binding, raw jetstream.Msg) {
	m, err := l.message(raw)
	if err != nil {
		l.log.ErrorContext(ctx, "message without JetStream metadata ignored", "error", err)
		return
	}
	l.observe(m)
	stop := l.heartbeat(ctx, b, raw)
	defer stop()
	ctx, span := l.context(ctx, m)
	defer span.End()
	began := clock.Real().Now()
	err = l.call(ctx, b, m)
	l.metrics.seconds.Observe(clock.Real().Now().Sub(began).Seconds())
	if err != nil {
		span.RecordError(err)
	}
	l.settle(ctx, b, raw, m, err)
}

// message reads what the handler sees.
func (l *Loop) message(raw jetstream.Msg) (Message, error) {
	meta, err := raw.Metadata()
	if err != nil {
		return Message{}, err
	}
	h := raw.Headers()
	m := Message{
		Stream: meta.Stream, Subject: raw.Subject(), ID: messageID(h.Get, meta.Stream, meta.Sequence.Stream), Header: h.Get, Data: raw.Data(),
		Seq: meta.Sequence.Stream, Published: meta.Timestamp, Delivered: int(meta.NumDelivered),
	}
	m.Origin = Origin{Stream: m.Stream, Subject: m.Subject, Consumer: l.spec.Durable}
	if h.Get(headerReplayStream) != "" {
		m.Origin = Origin{Stream: h.Get(headerReplayStream), Subject: h.Get(headerReplaySubject), Consumer: h.Get(headerReplayConsumer)}
	}
	return m, nil
}

// messageID is the id that survives re-emission: ce-id, else Nats-Msg-Id, else the place in the stream.
func messageID(header func(string) string, stream string, seq uint64) string {
	if id := unescaped(header("ce-id")); id != "" {
		return id
	}
	if id := header(jetstream.MsgIDHeader); id != "" {
		return id
	}
	return stream + ":" + strconv.FormatUint(seq, 10)
}

// unescaped undoes the percent-encoding of CloudEvents headers.
func unescaped(v string) string {
	if strings.IndexByte(v, '%') < 0 {
		return v
	}
	if s, err := url.PathUnescape(v); err == nil {
		return s
	}
	return v
}

// call runs the handler within its time. A panic is an error like any other: its message must not take the process, and
// with it everybody else's messages, down again and again.
func (l *Loop) call(ctx context.Context, b *binding, m Message) (err error) {
	ctx, cancel := context.WithTimeout(ctx, handling(b.ackWait, l.spec.Heartbeat))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			l.log.ErrorContext(ctx, "handler panicked", "panic", fmt.Sprint(p), "id", m.ID, "stack", string(debug.Stack()))
			err = fmt.Errorf("handler panicked: %v", p)
		}
	}()
	return l.handler(ctx, m)
}

// heartbeat keeps the server from delivering the message to somebody else while it is being handled.
func (l *Loop) heartbeat(ctx context.Context, b *binding, raw jetstream.Msg) (stop func()) {
	if !l.spec.Heartbeat {
		return func() {}
	}
	done := make(chan struct{})
	l.running.Go(func() {
		tick := time.NewTicker(b.ackWait / 3)
		defer tick.Stop()
		end := time.NewTimer(maxHandling)
		defer end.Stop()
		for {
			select {
			case <-tick.C:
				if err := raw.InProgress(); err != nil {
					l.log.WarnContext(ctx, "heartbeat failed; the message may be delivered again", "error", err)
				}
			case <-end.C:
				return // the handler hangs; somebody else may try
			case <-done:
				return
			}
		}
	})
	return func() { close(done) }
}

// settle acknowledges, delays or dead-letters. Its context outlives the handler's, which may have run out.
func (l *Loop) settle(ctx context.Context, b *binding, raw jetstream.Msg, m Message, err error) {
	if err == nil {
		l.answer(ctx, m, resultHandled, raw.Ack())
		return
	}
	var (
		permanent *permanentError
		after     *afterError
	)
	switch {
	case errors.Is(context.Cause(ctx), errDrained):
		// Not the message's fault: somebody else may have it at once.
		l.answer(ctx, m, resultGivenBack, raw.Nak())
	case errors.As(err, &permanent) || m.Delivered >= lastDelivery(b.maxDeliver):
		l.bury(ctx, b, raw, m, err)
	case errors.As(err, &after):
		l.log.DebugContext(ctx, "delayed", "id", m.ID, "in", after.delay, "reason", err)
		l.answer(ctx, m, resultDelayed, raw.NakWithDelay(after.delay))
	default:
		l.retry(ctx, b, raw, m, err)
	}
}

func (l *Loop) retry(ctx context.Context, b *binding, raw jetstream.Msg, m Message, err error) {
	in := retryDelay(b.backOff, m.Delivered)
	l.log.WarnContext(ctx, "failed, will be delivered again", "id", m.ID, "subject", m.Subject, "delivered", m.Delivered, "in", in, "error", err)
	l.answer(ctx, m, resultFailed, raw.NakWithDelay(in))
}

// bury copies a message to DLQ, tells the service, and only then terminates it: on a work queue that deletes it. Whatever
// fails on the way makes it come again; the copy's message id keeps it single.
func (l *Loop) bury(ctx context.Context, b *binding, raw jetstream.Msg, m Message, cause error) {
	// The rest of AckWait that the handler left, with a little to spare.
	ctx, cancel := context.WithTimeout(ctx, b.ackWait/6)
	defer cancel()
	err := publishDeadLetter(ctx, l.deps.JS, deadLetter{
		service: l.service(), consumer: l.spec.Durable, stream: m.Stream, subject: m.Subject, seq: m.Seq, header: raw.Headers(),
		data: m.Data, reason: cause.Error(), deliveries: m.Delivered, published: m.Published, id: m.ID,
	})
	if err == nil && l.deps.DeadLettered != nil {
		err = l.deps.DeadLettered(ctx, m, cause)
	}
	if err != nil {
		l.retry(ctx, b, raw, m, fmt.Errorf("dead-letter: %w (because of: %w)", err, cause))
		return
	}
	l.log.ErrorContext(ctx, "dead-lettered", "id", m.ID, "subject", m.Subject, "seq", m.Seq, "delivered", m.Delivered, "error", cause)
	l.answer(ctx, m, resultDeadLettered, raw.TermWithReason("copied to "+DLQ))
}

func (l *Loop) service() string {
	if l.spec.Service != "" {
		return l.spec.Service
	}
	return l.deps.Service
}

// answer records how a message ended. An answer that the server does not get is not an error of the message: it is
// delivered again, and the inbox knows it.
func (l *Loop) answer(ctx context.Context, m Message, result string, err error) {
	l.metrics.results.WithLabelValues(l.spec.Durable, result).Inc()
	if err != nil {
		l.log.WarnContext(ctx, "the server did not get the answer; the message comes again", "id", m.ID, "answer", result, "error", err)
	}
}

func (l *Loop) observe(m Message) {
	l.metrics.lag.Set(max(0, clock.Real().Now().Sub(m.Published).Seconds()))
	if m.Delivered > 1 {
		l.metrics.redelivered.Inc()
	}
}

// lastDelivery is the delivery whose failure dead-letters. It leaves a quarter of the consumer's deliveries for processes
// that die with the message, and for copies that do not reach DLQ.
func lastDelivery(maxDeliver int) int {
	if maxDeliver <= 0 {
		return defaultLastDelivery
	}
	return max(1, maxDeliver-maxDeliver/4)
}

const defaultLastDelivery = 10

// retryDelay grows with the deliveries: two short ones, because most faults pass at once, then the consumer's BackOff,
// which JetStream itself applies to silence only, not to a nak. A quarter of jitter keeps a crowd from coming back as one.
func retryDelay(backOff []time.Duration, delivered int) time.Duration {
	steps := append([]time.Duration{backOff[0] / 30, backOff[0] / 6}, backOff...)
	d := steps[min(max(delivered, 1), len(steps))-1]
	return d - d/8 + rand.N(d/4+1)
}
