package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const traceparent = "traceparent"

// Traceparent is ctx's W3C trace context, or "".
func Traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + (sc.TraceFlags() & trace.FlagsSampled).String()
}

// WithTraceparent returns a context whose spans continue tp. What is no trace context changes nothing: a bad header must
// not stop the message that carries it.
func WithTraceparent(ctx context.Context, tp string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: tp})
}

// newTraces makes a provider whose spans always have ids, so that logs and events can be joined by them, and sends them
// away only where export is wanted and a collector is configured.
func newTraces(ctx context.Context, service string, logger *slog.Logger, export bool) (*sdktrace.TracerProvider, error) {
	// The environment comes last and so wins over the built-in name.
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", service)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	if export && endpointSet() {
		exporter, err := newExporter(ctx, logger)
		if err != nil {
			return nil, err
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	} else {
		// Nobody records these spans, and their flags say so: a server that finds "sampled" in a message's header takes all its
		// headers apart to trace its way. Who comes with a sampled trace of their own keeps it.
		options = append(options, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	}
	return sdktrace.NewTracerProvider(options...), nil
}

func endpointSet() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

func newExporter(ctx context.Context, logger *slog.Logger) (sdktrace.SpanExporter, error) {
	for _, key := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(key); p != "" && p != "grpc" {
			return nil, fmt.Errorf("%s=%s: only grpc is spoken here: unset it and give the collector's gRPC port", key, p)
		}
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	return &loggedExporter{SpanExporter: exporter, logger: logger}, nil
}

// loggedExporter says in the process's own log that spans were lost. Left to itself the SDK prints that past slog, in a
// format that no log collector expects.
type loggedExporter struct {
	sdktrace.SpanExporter
	logger *slog.Logger
}

func (e *loggedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.logger.WarnContext(ctx, "spans were lost: check the collector", "spans", len(spans), "error", err)
	}
	return nil
}
