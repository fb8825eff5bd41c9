// Package metrics counts what the scheduler settles and measures how late it is.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

// Metrics are the scheduler's own. Schedules are few, so they may be labels.
type Metrics struct {
	ticks    *prometheus.CounterVec
	lateness *prometheus.HistogramVec
	overdue  prometheus.Gauge
}

// New makes and registers the metrics; leads asks whether this replica is the one that wakes.
func New(r prometheus.Registerer, leads func() bool) (*Metrics, error) {
	m := &Metrics{
		ticks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_scheduler_ticks_total", Help: "Nominal times settled, by what became of them (fired, missed, skipped) and what made them (cron, catch_up, manual).",
		}, []string{"tenant", "service", "schedule", "state", "trigger"}),
		lateness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "agogo_scheduler_tick_lateness_seconds", Help: "How long after its nominal time a tick of the schedule fired.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 600, 3600, 86400},
		}, []string{"tenant", "service", "schedule"}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agogo_scheduler_overdue_seconds", Help: "Age of the oldest nominal time that nobody has settled, 0 when nothing is due. Alarm above 60.",
		}),
	}
	leader := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "agogo_scheduler_leader", Help: "1 on the replica that wakes. The sum over all replicas should be 1.",
	}, func() float64 {
		if leads() {
			return 1
		}
		return 0
	})
	for _, c := range []prometheus.Collector{m.ticks, m.lateness, m.overdue, leader} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register scheduler metrics: %w", err)
		}
	}
	return m, nil
}

// Settled counts ticks after their commit. Ticks by hand have no lateness: somebody chose their time.
func (m *Metrics) Settled(_ context.Context, settled []store.Settled) {
	for _, t := range settled {
		m.ticks.WithLabelValues(t.Tenant, t.Service, t.Name, string(t.State), string(t.Trigger)).Inc()
		if t.State == schedule.Fired && t.Trigger != schedule.ByHand {
			m.lateness.WithLabelValues(t.Tenant, t.Service, t.Name).Observe(t.At.Sub(t.Nominal).Seconds())
		}
	}
}

// Watch measures how long something has been due, until ctx ends. Every replica watches, so that an installation in which
// nobody fires is seen too.
func (m *Metrics) Watch(ctx context.Context, every time.Duration, c clock.Clock, oldestDue func(context.Context) (time.Time, error), log *slog.Logger) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		oldest, err := oldestDue(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.WarnContext(ctx, "cannot tell how late the schedules are", "error", err)
		case oldest.IsZero():
			m.overdue.Set(0)
		default:
			m.overdue.Set(c.Now().Sub(oldest).Seconds())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
