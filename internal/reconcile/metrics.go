package reconcile

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
)

type metrics struct {
	lookups   *prometheus.CounterVec
	takeovers prometheus.Counter
	open      *prometheus.GaugeVec
	oldest    *prometheus.GaugeVec
}

func newMetrics(service string, r prometheus.Registerer) *metrics {
	m := &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_" + service + "_lookups_total", Help: "Questions about the outcome of attempts, by what was answered.",
		}, []string{"tenant", "provider", "answer"}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agogo_" + service + "_takeovers_total", Help: "Attempts whose sender was gone before it recorded an outcome.",
		}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agogo_" + service + "_attempts_open", Help: "Attempts whose outcome is outstanding.",
		}, []string{"tenant", "provider", "state"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agogo_" + service + "_attempts_oldest_seconds", Help: "How long the oldest of them has been open.",
		}, []string{"tenant", "provider", "state"}),
	}
	if r != nil {
		r.MustRegister(m.lookups, m.takeovers, m.open, m.oldest)
	}
	return m
}

func (m *metrics) lookup(c provider.Connector, ans attempt.Answer) {
	answer := "none"
	switch {
	case ans.Err != nil:
	case !ans.Found.Exists:
		answer = "absent"
	default:
		answer = string(ans.Found.Result.Class)
	}
	m.lookups.WithLabelValues(c.Tenant, c.Provider, answer).Inc()
}

// measure tells how many attempts are open and how old the oldest is. Failing to read it is not worth a failed pass.
func (w *Worker) measure(ctx context.Context) {
	ages, err := attempt.Ageing(ctx, w.Pool)
	if err != nil {
		w.Logger.DebugContext(ctx, w.Service+": ages of open attempts are not known", "error", err)
		return
	}
	w.metrics.open.Reset()
	w.metrics.oldest.Reset()
	now := w.Clock.Now()
	for _, a := range ages {
		w.metrics.open.WithLabelValues(a.Tenant, a.Provider, string(a.State)).Set(float64(a.Count))
		w.metrics.oldest.WithLabelValues(a.Tenant, a.Provider, string(a.State)).Set(now.Sub(a.Oldest).Seconds())
	}
}
