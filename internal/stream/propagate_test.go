package stream_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

const (
	publisherTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	publisherSpan  = "00f067aa0ba902b7"
)

func TestAYoungMessageContinuesItsTraceAndAnOldOneLinksToIt(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	l := stream.NewLoop(spec(nil), nil, stream.Deps{
		JS: natstest.Server(t).JS, Service: "test", Traces: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	header := nats.Header{"traceparent": {"00-" + publisherTrace + "-" + publisherSpan + "-01"}}
	for _, age := range []time.Duration{0, time.Hour} {
		_, span := l.Context(t.Context(), stream.Message{Header: header.Get, Published: time.Now().Add(-age)})
		span.End()
	}
	_, span := l.Context(t.Context(), stream.Message{Header: nats.Header{"traceparent": {"nonsense"}}.Get, Published: time.Now().Add(-time.Hour)})
	span.End()

	ended := spans.Ended()
	young, old, without := ended[0], ended[1], ended[2]
	if got := young.SpanContext().TraceID().String(); got != publisherTrace || young.Parent().SpanID().String() != publisherSpan || len(young.Links()) != 0 {
		t.Errorf("young: trace %s, parent %s, links %v", got, young.Parent().SpanID(), young.Links())
	}
	if got := old.SpanContext().TraceID().String(); got == publisherTrace || old.Parent().IsValid() {
		t.Errorf("old: trace %s, parent %s", got, old.Parent().SpanID())
	}
	if len(old.Links()) != 1 || old.Links()[0].SpanContext.TraceID().String() != publisherTrace {
		t.Errorf("old: links %v", old.Links())
	}
	if len(without.Links()) != 0 || without.Parent().IsValid() {
		t.Errorf("without: links %v, parent %s", without.Links(), without.Parent().SpanID())
	}
}
