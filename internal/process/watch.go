package process

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/renewal"
)

const (
	watchEvery = 2 * time.Second
	// unreadable is how many looks in a row a file may be away: an exchange takes no time, so after half a minute it is gone.
	unreadable = int(30 * time.Second / watchEvery)
)

// errChanged ends a process that is to be started again; it has not failed.
var errChanged = errors.New("files of AGOGO_WATCH have changed: ending, to be started again with them")

// watch looks at files that are read when the process starts, and ends it when they have changed: whoever runs it starts it
// again. To change a running process's tokens, keys and providers one after the other would be a second way to start, which
// nobody tests.
type watch struct {
	paths  []string
	spread time.Duration // the longest wait, so that replicas do not end together
	began  renewal.Print // what the process was started with
	usable func() error  // whether it could be started with what is there now
	stale  prometheus.Gauge
	away   int // looks in a row that could not read the files
	log    *slog.Logger
}

func newWatch(paths []string, began renewal.Print, spread time.Duration, usable func() error, log *slog.Logger) *watch {
	return &watch{paths: paths, began: began, spread: spread, usable: usable, log: log, stale: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "agogo_settings_stale", Help: "1 while files of AGOGO_WATCH hold what the process could not be started with: it goes on with what they held before.",
	})}
}

func (w *watch) register(r prometheus.Registerer) error { return r.Register(w.stale) }

// run returns errChanged when it is time to end, or nil with ctx.
func (w *watch) run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	told := w.began
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := renewal.Take(w.paths)
		if err != nil {
			w.missing(ctx, err)
			continue
		}
		w.away = 0
		if w.startable(ctx, now, told != now) && w.settled(ctx, now) {
			return errChanged
		}
		told = now
	}
}

// missing tells of files that stay away: the next start would fail for them, and nobody has noticed yet.
func (w *watch) missing(ctx context.Context, err error) {
	if w.away++; w.away == unreadable {
		w.stale.Set(1)
		w.log.ErrorContext(ctx, "files of AGOGO_WATCH cannot be read: going on with what they held before", "error", err)
	}
}

// startable reports whether the files have changed to what the process can be started with. A typing error in a Secret must not
// take all replicas down.
func (w *watch) startable(ctx context.Context, now renewal.Print, tell bool) bool {
	if now == w.began { // or taken back
		w.stale.Set(0)
		return false
	}
	err := w.usable()
	if err == nil {
		return true
	}
	w.stale.Set(1)
	if tell {
		w.log.ErrorContext(ctx, "files have changed to what nothing can be started with: going on with what they held before", "error", err)
	}
	return false
}

// settled waits for this replica's turn, and reports whether the files still are what they were then.
func (w *watch) settled(ctx context.Context, now renewal.Print) bool {
	if w.spread > 0 {
		wait := rand.N(w.spread)
		w.log.InfoContext(ctx, "files have changed: ending soon, to be started again with them", "in", wait)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
	again, err := renewal.Take(w.paths)
	return err == nil && again == now
}
