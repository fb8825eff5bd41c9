package outbox

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/outbox/db"
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

func newMetrics(service string, r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agogo_outbox_" + name, Help: help}, labels))
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "agogo_outbox_" + name, Help: help}, labels))
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

// register shares a collector with the other outboxes of the process. A conflict with something else is left alone: the
// outbox then counts for nobody, but it works.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var taken prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &taken) {
		if existing, ok := taken.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
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
