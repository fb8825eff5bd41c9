package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/telemetry"
)

func newTelemetry(t *testing.T, log string) (*telemetry.Telemetry, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	tel, err := telemetry.New(t.Context(), "payouts", log, &out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return tel, &out
}

func TestLogFormats(t *testing.T) {
	t.Parallel()
	tel, out := newTelemetry(t, "warn,json")
	tel.Logger.InfoContext(t.Context(), "below the level")
	tel.Logger.WarnContext(t.Context(), "float is low", "tenant", "lebenis", "minor", 24000)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("not one line of JSON: %v\n%s", err, out)
	}
	for key, want := range map[string]any{
		"level": "WARN", "msg": "float is low", "service": "payouts", "tenant": "lebenis", "minor": float64(24000),
	} {
		if line[key] != want {
			t.Errorf("%s = %v, want %v", key, line[key], want)
		}
	}
	tel, out = newTelemetry(t, "")
	tel.Logger.DebugContext(t.Context(), "below the level")
	tel.Logger.InfoContext(t.Context(), "up")
	if got := out.String(); !strings.Contains(got, "level=INFO msg=up service=payouts") || strings.Contains(got, "below") {
		t.Errorf("the default is not text at level info: %s", got)
	}
	for log, want := range map[string]string{
		"loud":     `AGOGO_LOG: level "loud" is not debug, info, warn or error`,
		"info,xml": `AGOGO_LOG: format "xml" is not text or json`,
	} {
		if _, err := telemetry.New(t.Context(), "payouts", log, io.Discard); err == nil || err.Error() != want {
			t.Errorf("New(%q): %v, want %s", log, err, want)
		}
	}
}

func TestLogCarriesTraceAndCorrelation(t *testing.T) {
	t.Parallel()
	tel, out := newTelemetry(t, "info,json")
	ctx := event.WithCause(t.Context(), event.Cause{CorrelationID: "lebenis/payouts/daily@2025-01-24T23:59:00Z"})
	ctx, span := tel.Traces.Tracer("test").Start(ctx, "plan")
	defer span.End()
	tel.Logger.With("run", 7).InfoContext(ctx, "planned")
	var line map[string]string
	if err := json.Unmarshal(bytes.Replace(out.Bytes(), []byte(`"run":7,`), nil, 1), &line); err != nil {
		t.Fatal(err)
	}
	if line["trace_id"] != span.SpanContext().TraceID().String() || line["span_id"] != span.SpanContext().SpanID().String() ||
		line["correlation_id"] != "lebenis/payouts/daily@2025-01-24T23:59:00Z" {
		t.Errorf("trace or correlation is missing: %s", out)
	}
}

func TestTraceparentGoesThroughText(t *testing.T) {
	t.Parallel()
	tel, _ := newTelemetry(t, "")
	if tp := telemetry.Traceparent(t.Context()); tp != "" {
		t.Errorf("a context without a span has traceparent %q", tp)
	}
	ctx, span := tel.Traces.Tracer("test").Start(t.Context(), "publish")
	defer span.End()
	far := telemetry.WithTraceparent(t.Context(), telemetry.Traceparent(ctx))
	got := trace.SpanContextFromContext(far)
	if got.TraceID() != span.SpanContext().TraceID() || got.SpanID() != span.SpanContext().SpanID() || !got.IsRemote() {
		t.Errorf("got %v, want the trace of %v", got, span.SpanContext())
	}
	_, child := tel.Traces.Tracer("test").Start(far, "consume")
	defer child.End()
	if child.SpanContext().TraceID() != span.SpanContext().TraceID() {
		t.Error("the consumer's span is of another trace")
	}
	if tp := telemetry.Traceparent(ctx); !strings.HasSuffix(tp, "-00") {
		t.Errorf("traceparent %s says that somebody records its spans", tp)
	}
	ctx, theirs := tel.Traces.Tracer("test").Start(telemetry.WithTraceparent(t.Context(), "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"), "asked")
	defer theirs.End()
	if tp := telemetry.Traceparent(ctx); !strings.HasSuffix(tp, "-01") {
		t.Errorf("a caller's trace goes on as %s", tp)
	}
	for _, bad := range []string{"", "nonsense", "00-0-0-0"} {
		if sc := trace.SpanContextFromContext(telemetry.WithTraceparent(t.Context(), bad)); sc.IsValid() {
			t.Errorf("traceparent %q gave %v", bad, sc)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	tel, _ := newTelemetry(t, "")
	var unready error
	h := tel.Handler(func(context.Context) error { return unready })
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return rec.Code, rec.Body.String()
	}
	if code, body := get("/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("/readyz: %d %s", code, body)
	}
	unready = errors.New("nats: dial nats://agogo:hunter2@127.0.0.1:4222: refused")
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable ||
		body != "nats: dial nats://agogo:[redacted]@127.0.0.1:4222: refused\n" {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := get("/healthz"); code != http.StatusOK || body != "alive\n" {
		t.Errorf("/healthz while unready: %d %s", code, body)
	}
	code, body := get("/metrics")
	if code != http.StatusOK || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_open_fds") {
		t.Errorf("/metrics: %d without go and process metrics", code)
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("/: %d", code)
	}
}

// spans is a collector that hands over the names of the spans it was sent.
type spans struct {
	collector.UnimplementedTraceServiceServer
	got chan string
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, rs := range r.GetResourceSpans() {
		service := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				s.got <- service + " " + span.GetName()
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestSpansGoToTheConfiguredCollector(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	received := &spans{got: make(chan string, 1)}
	collector.RegisterTraceServiceServer(srv, received)
	go func() { _ = srv.Serve(listener) }()
	t.Cleanup(srv.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	tel, err := telemetry.New(t.Context(), "payouts", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := tel.Traces.Tracer("test").Start(t.Context(), "plan")
	span.End()
	if tp := telemetry.Traceparent(ctx); !strings.HasSuffix(tp, "-01") {
		t.Errorf("a span that is sent has traceparent %s", tp)
	}
	if err := tel.Shutdown(t.Context()); err != nil { // flushes
		t.Fatal(err)
	}
	select {
	case got := <-received.got:
		if got != "payouts plan" {
			t.Errorf("got span %q", got)
		}
	default:
		t.Error("no span arrived before Shutdown returned")
	}
}

func TestLostSpansAreLogged(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
	tel, out := newTelemetry(t, "info,json")
	_, span := tel.Traces.Tracer("test").Start(t.Context(), "plan")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"msg":"spans were lost: check the collector"`) {
		t.Errorf("log: %s", out)
	}
}

func TestOnlyGRPCIsSpoken(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	_, err := telemetry.New(t.Context(), "payouts", "", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf: only grpc") {
		t.Errorf("New: %v", err)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	tel, err := telemetry.New(t.Context(), "payouts", "", io.Discard)
	if err != nil {
		t.Fatalf("with OTEL_SDK_DISABLED: %v", err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHandlersOfOneLoggerShareNothing(t *testing.T) {
	t.Parallel()
	tel, out := newTelemetry(t, "info")
	tel.Logger.WithGroup("call").InfoContext(t.Context(), "sent", slog.String("code", "timeout"))
	if !strings.Contains(out.String(), "call.code=timeout") {
		t.Errorf("the group is lost: %s", out)
	}
}
