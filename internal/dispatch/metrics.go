package dispatch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
)

type metrics struct {
	seconds *prometheus.HistogramVec
	sends   *prometheus.CounterVec
	claimed prometheus.Histogram
}

func newMetrics(c Config, r prometheus.Registerer, connectors *connector.Set) *metrics {
	prefix, item := "agogo_"+c.Service, c.Item
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "_send_seconds", Help: "How long providers take to answer a " + item + ".",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"tenant", "provider"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "_sends_total", Help: "Calls that were to move money, by what is known after them.",
		}, []string{"tenant", "provider", "class"}),
		claimed: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "_claimed", Help: "How many " + item + "s one transaction claims.", Buckets: []float64{0, 1, 2, 4, 8, 16, 32, 64, 128},
		}),
	}
	if r == nil {
		return m
	}
	r.MustRegister(m.seconds, m.sends, m.claimed)
	for _, c := range connectors.All() {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "_slots_in_use", Help: "How many " + item + "s a crash would leave in doubt now.",
			ConstLabels: prometheus.Labels{"tenant": c.Tenant, "provider": c.Provider},
		}, func() float64 { return float64(c.Throttle.InUse()) }))
	}
	return m
}

func (m *metrics) sent(c provider.Connector, class provider.Class, took time.Duration) {
	m.seconds.WithLabelValues(c.Tenant, c.Provider).Observe(took.Seconds())
	m.sends.WithLabelValues(c.Tenant, c.Provider, string(class)).Inc()
}
