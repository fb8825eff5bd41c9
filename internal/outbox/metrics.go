package outbox

import (
	"sync"
	"time"

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
	ages map[string]float64 // by stream, when the table was read last; zero of one that had nothing
	read time.Time
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
		oldest:    gauge("oldest_unpublished_seconds", "Age of the oldest message that its stream has not acknowledged, for all this process knows.", "service", "stream"),
		published: counter("published_total", "Messages acknowledged by their stream and marked.", "service", "stream"),
		retries:   counter("retries_total", "Messages that were not acknowledged and are tried again.", "service", "stream", "reason"),
		refused:   counter("refused_total", "Alarms about messages that their stream refuses for what they are.", "service", "stream"),
		leases:    gauge("leases", "Parts of the outbox that this process relays.", "service"),
		ages:      map[string]float64{},
	}
}

// setOldest tells how long each stream's oldest message waits; a stream that has none any more shows zero.
func (m *metrics) setOldest(now time.Time, waiting []db.WaitingRow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for stream := range m.ages {
		m.ages[stream] = 0
	}
	for _, w := range waiting {
		m.ages[w.Stream] = w.AgeSeconds
	}
	m.read = now
	for stream, age := range m.ages {
		m.oldest.WithLabelValues(m.service, stream).Set(age)
	}
}

// unread is setOldest when the table cannot be read: what waited goes on waiting until somebody sees that it does not. A figure that
// stood still would hide what is stuck from the alarm for as long as the database is away.
func (m *metrics) unread(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for stream, age := range m.ages {
		if age > 0 {
			m.oldest.WithLabelValues(m.service, stream).Set(age + now.Sub(m.read).Seconds())
		}
	}
}
