package delivery

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/services/notifier/internal/channel"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// Metrics count pushes and show what waits.
type Metrics struct {
	pushes        *prometheus.CounterVec
	notifications *prometheus.CounterVec
	removed       prometheus.Counter
	faults        *prometheus.GaugeVec
	pending       prometheus.Gauge
	oldest        prometheus.Gauge
}

// NewMetrics registers delivery's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_notifier_pushes_total", Help: "Pushes by what the push service answered.",
		}, []string{"result"}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_notifier_finished_total", Help: "Notifications whose last push is done, by state.",
		}, []string{"state"}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agogo_notifier_devices_removed_total", Help: "Devices removed because their token is dead.",
		}),
		faults: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agogo_notifier_channel_down", Help: "1 while the push service takes nothing, by its code. HTTP_401, HTTP_403 and THIRD_PARTY_AUTH_ERROR need a person.",
		}, []string{"code"}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agogo_notifier_queue_pushes", Help: "Pushes that wait.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agogo_notifier_queue_age_seconds", Help: "Age of the oldest push that waits.",
		}),
	}
	r.MustRegister(m.pushes, m.notifications, m.removed, m.faults, m.pending, m.oldest)
	for _, o := range []channel.Outcome{channel.Sent, channel.Dead, channel.Invalid, channel.Later, channel.Refused} {
		m.pushes.WithLabelValues(o.String()) // so that alerts see 0 and not nothing
	}
	return m
}

func (m *Metrics) results(results []channel.Result) {
	for _, r := range results {
		m.pushes.WithLabelValues(r.Outcome.String()).Inc()
	}
}

func (m *Metrics) finished(f store.Finished) {
	for state, n := range f.Notifications {
		m.notifications.WithLabelValues(state).Add(float64(n))
	}
	m.removed.Add(float64(f.DevicesRemoved))
}

func (m *Metrics) down(code string) {
	m.faults.Reset()
	m.faults.WithLabelValues(code).Set(1)
}

func (m *Metrics) up() { m.faults.Reset() }

// sampleEvery is how often the queue is measured.
const sampleEvery = 15 * time.Second

// Sample measures the queue until ctx ends.
func (w *Worker) Sample(ctx context.Context) error {
	for {
		if b, err := w.deps.Store.Backlog(ctx); err == nil {
			w.deps.Metrics.pending.Set(float64(b.Pending))
			w.deps.Metrics.oldest.Set(b.Oldest.Seconds())
		} else if ctx.Err() == nil {
			w.deps.Logger.WarnContext(ctx, "the push queue cannot be measured", "error", err)
		}
		select {
		case <-time.After(sampleEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
