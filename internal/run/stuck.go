package run

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/telemetry"
)

// Stuck is what cannot be moved, and until when it is passed over.
type Stuck[K comparable] struct {
	clock clock.Clock
	until map[K]time.Time
}

// NewStuck has nothing.
func NewStuck[K comparable](c clock.Clock) *Stuck[K] {
	return &Stuck[K]{clock: c, until: map[K]time.Time{}}
}

// Failed notes that one cannot be moved, and returns for how long it is passed over.
func (s *Stuck[K]) Failed(k K, err error) time.Duration {
	span := stuckFor
	if pg.LockTimedOut(err) {
		span = lockedFor
	}
	s.until[k] = s.clock.Now().Add(span)
	return span
}

// Moved notes that one was moved, or need not be.
func (s *Stuck[K]) Moved(k K) { delete(s.until, k) }

// Passed reports whether one is to be passed over now.
func (s *Stuck[K]) Passed(k K) bool { return s.clock.Now().Before(s.until[k]) }

// Knows reports whether one could not be moved when it was last tried.
func (s *Stuck[K]) Knows(k K) bool {
	_, knows := s.until[k]
	return knows
}

// Keep forgets all but some.
func (s *Stuck[K]) Keep(some func(k K) bool) {
	maps.DeleteFunc(s.until, func(k K, _ time.Time) bool { return !some(k) })
}

// Forget forgets those that were to be tried again long ago, and have not been: they are gone.
func (s *Stuck[K]) Forget() {
	now := s.clock.Now()
	maps.DeleteFunc(s.until, func(_ K, until time.Time) bool { return now.Sub(until) > stuckFor })
}

// Len is how many there are.
func (s *Stuck[K]) Len() int { return len(s.until) }

// StuckGauge shows what the steps of a service's sweeps cannot move. Without a registry it counts for nobody.
func StuckGauge(service string, registry prometheus.Registerer) *prometheus.GaugeVec {
	return telemetry.Shared(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "agogo_" + service + "_sweep_stuck", Help: "What an error keeps from what is due for it, by what that is.",
	}, []string{"step"}))
}

// isolable reports whether a failure may be the fault of what it is about, so that others may be moved without it.
func isolable(err error) bool {
	return !pg.Transient(err) || pg.LockTimedOut(err) || pg.TimedOut(err)
}

// cost is how many failures one counts as.
func cost(err error) int {
	switch {
	case pg.LockTimedOut(err):
		return lockCosts
	case pg.TimedOut(err):
		return timeCosts
	default:
		return 1
	}
}

// Apart moves items in the transaction as [Walk] does, in their order, for whoever has to move a page in one: those that fail are found by halves,
// after savepoints, undone alone and told to stuck. It reports false when so many fail that the last ones were not tried.
func Apart[T any](ctx context.Context, tx pgx.Tx, items []T, do func(ctx context.Context, tx pgx.Tx, items []T) error, stuck func(T, error)) (all bool, err error) {
	parts, failures, found := [][]T{items}, 0, false
	for len(parts) > 0 && len(items) > 0 {
		first := parts[0]
		parts = parts[1:]
		err := pg.InTx(ctx, tx, func(tx pgx.Tx) error { return do(ctx, tx, first) })
		if err == nil {
			continue
		}
		failures += cost(err)
		switch {
		case !isolable(err) || ctx.Err() != nil:
			return false, err
		case len(first) == 1:
			stuck(first[0], err)
			found = true
		case failures < mostFailures:
			parts = slices.Concat([][]T{first[:len(first)/2], first[len(first)/2:]}, parts)
		}
		if failures >= mostFailures && found {
			return len(parts) == 0 && len(first) == 1, nil
		}
		if failures >= mostFailures {
			return false, err
		}
	}
	return true, nil
}
