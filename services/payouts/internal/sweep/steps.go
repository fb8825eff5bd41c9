// Package sweep says what the payouts service looks after beside its runs: payouts whose retry is due, held ones whose cause
// is gone, batches that ended after their run, and approved payouts that nobody sends.
package sweep

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// steps are what the service's steps are made of.
type steps struct {
	store *store.Store
	log   *slog.Logger
	stuck *prometheus.GaugeVec
}

// New makes the service's sweeper. Without a registry it is not measured.
func New(st *store.Store, outcomes *outcome.Outcomes, gate *precheck.Gate, log *slog.Logger, registry prometheus.Registerer) *run.Sweeper {
	asker := &resting.Asker{Store: st, Outcomes: outcomes, Gate: gate}
	s := &steps{store: st, log: log, stuck: run.StuckGauge(store.Service, registry)}
	return &run.Sweeper{Runs: st.Runs, Logger: log, Settle: st.Settle, Stuck: s.stuck, Steps: []run.Step{
		s.retrying(),
		newReleasing(s).step(),
		s.expiring(),
		s.expiringBatches(),
		s.asking(asker),
		s.forgetting(asker),
		s.closingLost(asker),
		s.cancelling(outcomes, registry),
		s.ending(),
		s.closing(),
		s.waking(),
	}}
}
