package rpc

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/telemetry"
)

// metrics are those of a process: servers that share a registry share them.
type metrics struct {
	handled *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{
		handled: telemetry.Shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_rpc_handled_total", Help: "gRPC calls that ended, by method and status code.",
		}, []string{"method", "code"})),
		seconds: telemetry.Shared(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "agogo_rpc_seconds", Help: "How long unary gRPC calls took.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method"})),
	}
}

// The measurements count in a defer with INTERNAL as the code so far, so that a panic on its way out is counted too.

func (g *guard) measureUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	timer := prometheus.NewTimer(g.metrics.seconds.WithLabelValues(info.FullMethod))
	code := codes.Internal
	defer func() {
		timer.ObserveDuration()
		g.metrics.handled.WithLabelValues(info.FullMethod, code.String()).Inc()
	}()
	resp, err := next(ctx, req)
	code = status.Code(err)
	return resp, err
}

func (g *guard) measureStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	method := info.FullMethod
	if srv == nil { // no such method: its name is the caller's, and names from outside would fill the registry
		method = "unknown"
	}
	code := codes.Internal
	defer func() { g.metrics.handled.WithLabelValues(method, code.String()).Inc() }()
	err := next(srv, ss)
	code = status.Code(err)
	return err
}
