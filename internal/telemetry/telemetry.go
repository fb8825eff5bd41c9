// Package telemetry sets up logs (slog), metrics (Prometheus) and traces (OpenTelemetry) of a process, and carries trace
// context through outbox rows and NATS headers.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"
)

// Telemetry is what a service gets.
type Telemetry struct {
	Logger   *slog.Logger
	Registry *prometheus.Registry
	// Traces makes tracers. It is given along, never set as OpenTelemetry's global, so that several services in one
	// process keep their names apart.
	Traces   trace.TracerProvider
	shutdown func(context.Context) error
}

// New reads OpenTelemetry's standard variables; without OTEL_EXPORTER_OTLP_ENDPOINT spans are made and dropped.
// log is "level" or "level,format" with format text or json. Values of keys that name secrets are never written.
func New(ctx context.Context, service, log string, w io.Writer) (*Telemetry, error) {
	return build(ctx, service, log, w, true)
}

// NewSealed is New for a demonstration: its spans never leave the process, whatever the environment says.
func NewSealed(ctx context.Context, service, log string, w io.Writer) (*Telemetry, error) {
	return build(ctx, service, log, w, false)
}

func build(ctx context.Context, service, log string, w io.Writer, export bool) (*Telemetry, error) {
	handler, err := newHandler(log, w)
	if err != nil {
		return nil, err
	}
	logger := slog.New(handler).With("service", service)
	traces, err := newTraces(ctx, service, logger, export)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register a process metric: %w", err)
		}
	}
	return &Telemetry{Logger: logger, Registry: registry, Traces: traces, shutdown: traces.Shutdown}, nil
}

// Shutdown flushes spans.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.shutdown(ctx) }

// Handler serves /metrics, /healthz (alive) and /readyz (ready says why not).
func (t *Telemetry) Handler(ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{
		Registry: t.Registry,
		ErrorLog: slog.NewLogLogger(t.Logger.Handler(), slog.LevelError),
	}))
	// Liveness asks nothing of the outside: restarting a process does not repair its database.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if ready != nil {
			if err := ready(r.Context()); err != nil {
				answer(w, http.StatusServiceUnavailable, Mask(err.Error()))
				return
			}
		}
		answer(w, http.StatusOK, "ready")
	})
	return mux
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A prober that hung up has nothing more to be told.
	_, _ = io.WriteString(w, text+"\n")
}
