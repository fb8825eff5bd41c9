package process

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/renewal"
)

const (
	watchEvery = 2 * time.Second
	// unreadable is how long a file may be away: an exchange takes no time, so after half a minute it is gone.
	unreadable = 30 * time.Second
	// impatient is how long a replica waits for its turn, and at most as long again by chance: who has it may hang, and the
	// database may be away, or swallow what is asked of it. Then a look takes its time, so time counts and not looks.
	impatient = 10 * time.Minute
)

// errChanged ends a process that is to be started again; it has not failed.
var errChanged = errors.New("files of AGOGO_WATCH have changed: ending, to be started again with them")

// watch looks at files that are read when the process starts, and ends it when they have changed: whoever runs it starts it
// again. To change a running process's tokens, keys and providers one after the other would be a second way to start, which
// nobody tests.
type watch struct {
	paths  []string
	spread time.Duration // how long its turn lasts before it ends: the one before it is ready again by then. 0: it ends at once
	turn   turn
	// shutOut reports that the broker refuses this process as it is: it does nothing, and nobody is better off while it waits.
	shutOut func() bool
	began   renewal.Print // what the process was started with
	usable  func() error  // whether it could be started with what is there now
	stale   prometheus.Gauge
	// Zero times are of what is not so by the last look.
	away   time.Time // since when the files cannot be read
	lost   bool      // that was told
	giveUp time.Time // it could end, and waits for its turn no longer than this
	held   time.Time // since when it is its turn
	log    *slog.Logger
}

// turn is what one replica of a service has at a time. It is not given back by who ends: its end does that.
type turn interface {
	Take(ctx context.Context) (mine bool, err error)
	Return(ctx context.Context) error
}

func newWatch(paths []string, began renewal.Print, spread time.Duration, turn turn, shutOut func() bool, usable func() error, log *slog.Logger) *watch {
	return &watch{paths: paths, began: began, spread: spread, turn: turn, shutOut: shutOut, usable: usable, log: log, stale: prometheus.NewGauge(prometheus.GaugeOpts{
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
			w.stay(ctx)
			continue
		}
		w.away, w.lost = time.Time{}, false
		if !w.startable(ctx, now, told != now) {
			w.stay(ctx)
		} else if w.due(ctx) {
			return errChanged
		}
		told = now
	}
}

// missing tells of files that stay away: the next start would fail for them, and nobody has noticed yet.
func (w *watch) missing(ctx context.Context, err error) {
	now := clock.Real().Now()
	if w.away.IsZero() {
		w.away = now
	}
	if !w.lost && now.Sub(w.away) >= unreadable {
		w.lost = true
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
		w.stale.Set(0)
		return true
	}
	w.stale.Set(1)
	if tell {
		w.log.ErrorContext(ctx, "files have changed to what nothing can be started with: going on with what they held before", "error", err)
	}
	return false
}

// due reports whether this replica is to end now. All see the change at nearly the same moment, and the files are the same: they
// end one after another, each when the one before it has ended and had time to be ready again.
func (w *watch) due(ctx context.Context) bool {
	if w.spread == 0 || w.shutOut() {
		return true
	}
	if w.giveUp.IsZero() {
		w.giveUp = clock.Real().Now().Add(impatient + rand.N(impatient)) // lest all that wait in vain end together
		w.log.InfoContext(ctx, "files have changed: ending when it is this replica's turn, to be started again with them")
	}
	mine, err := w.turn.Take(ctx)
	now := clock.Real().Now() // after the answer, which may have taken its time
	if !mine {
		w.held = time.Time{}
		return w.gaveUp(ctx, now, err)
	}
	if w.held.IsZero() {
		w.held = now
	}
	return now.Sub(w.held) >= w.spread
}

// gaveUp reports whether the turn was waited for in vain.
func (w *watch) gaveUp(ctx context.Context, now time.Time, err error) bool {
	if now.Before(w.giveUp) {
		return false
	}
	w.log.WarnContext(ctx, "it was never this replica's turn to end: ending now", "error", err)
	return true
}

// stay lets others have the turn: there is nothing to end for, or not any more.
func (w *watch) stay(ctx context.Context) {
	w.giveUp, w.held = time.Time{}, time.Time{}
	if err := w.turn.Return(ctx); err != nil {
		w.log.DebugContext(ctx, "a turn that is not used was not returned well", "error", err)
	}
}
