package stream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/telemetry"
)

// Results that a delivery can have.
const (
	resultHandled      = "handled"
	resultFailed       = "failed"
	resultDelayed      = "delayed"
	resultDeadLettered = "dead_lettered"
	resultGivenBack    = "given_back"
)

type metrics struct {
	results     *prometheus.CounterVec
	redelivered prometheus.Counter
	seconds     prometheus.Observer
	lag         prometheus.Gauge
}

// newMetrics shares its collectors with the other loops on the registry.
func newMetrics(r prometheus.Registerer, consumer string) *metrics {
	results := telemetry.Shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "agogo_stream_deliveries_total", Help: "Deliveries by consumer and how they ended.",
	}, []string{"consumer", "result"}))
	redelivered := telemetry.Shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "agogo_stream_redeliveries_total", Help: "Deliveries that were not a message's first.",
	}, []string{"consumer"}))
	seconds := telemetry.Shared(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "agogo_stream_handler_seconds", Help: "Time that handlers took.", Buckets: prometheus.ExponentialBuckets(.001, 4, 10),
	}, []string{"consumer"}))
	lag := telemetry.Shared(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "agogo_stream_lag_seconds", Help: "Age of the message taken last; 0 when none waits.",
	}, []string{"consumer"}))
	for _, result := range []string{resultHandled, resultFailed, resultDelayed, resultDeadLettered, resultGivenBack} {
		results.WithLabelValues(consumer, result) // so that alerts see 0 and not nothing
	}
	return &metrics{
		results: results, redelivered: redelivered.WithLabelValues(consumer), seconds: seconds.WithLabelValues(consumer),
		lag: lag.WithLabelValues(consumer),
	}
}
