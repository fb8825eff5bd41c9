package consumer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// Metrics count what was told.
type Metrics struct {
	notifications *prometheus.CounterVec
	sizes         prometheus.Histogram
	seconds       prometheus.Histogram
}

// NewMetrics registers the consumer's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_notifier_notifications_total", Help: "Notifications written, by kind and the state in which they began.",
		}, []string{"kind", "state"}),
		sizes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "agogo_notifier_batch_events", Help: "Events written in one transaction.", Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000},
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "agogo_notifier_batch_seconds", Help: "How long such a transaction took.", Buckets: prometheus.ExponentialBuckets(.001, 2, 12),
		}),
	}
	r.MustRegister(m.notifications, m.sizes, m.seconds)
	return m
}

func (m *Metrics) told(t store.Told) {
	for key, n := range t {
		m.notifications.WithLabelValues(key.Kind, key.State).Add(float64(n))
	}
}

func (m *Metrics) batch(events int, took time.Duration) {
	m.sizes.Observe(float64(events))
	m.seconds.Observe(took.Seconds())
}
