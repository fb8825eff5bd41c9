package outbox

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/outbox/db"
	"github.com/agogopay/agogo/internal/telemetry"
)

type metrics struct {
	service   string
	oldest    *prometheus.GaugeVec
	published *prometheus.CounterVec
	retries   *prometheus.CounterVec
	refused   *prometheus.CounterVec
	leases    *prometheus.GaugeVec

	mu   sync.Mutex
	seen map[string]bool
}

// newMetrics shares its collectors with the other outboxes on the registry.
func newMetrics(service string, r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return telemetry.Shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agogo_outbox_" + name, Help: help}, labels))
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return telemetry.Shared(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "agogo_outbox_" + name, Help: help}, labels))
	}
	return &metrics{
		service:   service,
		oldest:    gauge("oldest_unpublished_seconds", "Age of the oldest message that its stream has not acknowledged.", "service", "stream"),
		published: counter("published_total", "Messages acknowledged by their stream and marked.", "service", "stream"),
		retries:   counter("retries_total", "Messages that were not acknowledged and are tried again.", "service", "stream", "reason"),
		refused:   counter("refused_total", "Alarms about messages that their stream refuses for what they are.", "service", "stream"),
		leases:    gauge("leases", "Parts of the outbox that this process relays.", "service"),
		seen:      map[string]bool{},
	}
}

// setOldest tells how long each stream's oldest message waits; a stream that has none any more shows zero.
func (m *metrics) setOldest(waiting []db.WaitingRow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ages := map[string]float64{}
	for _, w := range waiting {
		ages[w.Stream] = w.AgeSeconds
		m.seen[w.Stream] = true
	}
	for stream := range m.seen {
		m.oldest.WithLabelValues(m.service, stream).Set(ages[stream])
	}
}
