package stream

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
)

// traceAge is how old a message may be to continue its publisher's trace. An older one begins a trace of its own, with a
// link: traces that last for hours cannot be read.
const traceAge = time.Minute

// context carries the message's cause and trace. What describes the span is put together only for one that is recorded.
func (l *Loop) context(ctx context.Context, m Message) (context.Context, trace.Span) {
	ctx = event.WithCause(ctx, cause(m, l.deps.Service))
	waited := clock.Real().Now().Sub(m.Published)
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if from := (propagation.TraceContext{}).Extract(ctx, carrier(m.Header)); waited <= traceAge {
		ctx = from
	} else if sc := trace.SpanContextFromContext(from); sc.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sc}))
	}
	ctx, span := l.tracer.Start(ctx, l.span, opts...)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", m.Subject),
			attribute.String("messaging.consumer.group.name", l.spec.Durable), attribute.String("messaging.message.id", m.ID),
			attribute.Int64("agogo.stream_seq", int64(m.Seq)), attribute.Int("agogo.delivered", m.Delivered),
			attribute.Int64("agogo.waited_ms", waited.Milliseconds()))
	}
	return ctx, span
}

// carrier is a message's headers as OpenTelemetry reads them.
type carrier func(name string) string

// Get implements [propagation.TextMapCarrier].
func (c carrier) Get(name string) string { return c(name) }

// Set implements [propagation.TextMapCarrier]; nothing is sent with a message that has come.
func (carrier) Set(string, string) {}

// Keys implements [propagation.TextMapCarrier].
func (carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// cause continues a chain: the same correlation, led on by this message. Without a person behind it the service acts.
func cause(m Message, service string) event.Cause {
	c := event.Cause{Actor: unescaped(m.Header("ce-actor")), CorrelationID: unescaped(m.Header("ce-correlationid")), CausationID: m.ID}
	if c.Actor == "" {
		c.Actor = "service:" + service
	}
	if c.CorrelationID == "" {
		c.CorrelationID = m.ID
	}
	return c
}
