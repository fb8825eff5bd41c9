// Package telemetry sets up logs (slog), metrics (Prometheus) and traces (OpenTelemetry) of a process, and carries trace
// context through outbox rows and NATS headers.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Telemetry is what a service gets.
type Telemetry struct {
	Logger   *slog.Logger
	Registry *prometheus.Registry
	shutdown func(context.Context) error
}

// New reads OpenTelemetry's standard variables; without OTEL_EXPORTER_OTLP_ENDPOINT spans are made and dropped.
// log is "level" or "level,format" with format text or json. Values of keys that name secrets are never written.
func New(ctx context.Context, service, log string, w io.Writer) (*Telemetry, error) {
	panic("contract")
}

// Shutdown flushes spans.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.shutdown(ctx) }

// Handler serves /metrics, /healthz (alive) and /readyz (ready says why not).
func (t *Telemetry) Handler(ready func(context.Context) error) http.Handler { panic("contract") }

// Traceparent is ctx's W3C trace context, or "".
func Traceparent(ctx context.Context) string { panic("contract") }

// WithTraceparent returns a context whose spans continue tp.
func WithTraceparent(ctx context.Context, tp string) context.Context { panic("contract") }
