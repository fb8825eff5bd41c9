// Package ticker wakes the scheduler when a nominal time comes. gocron keeps the timers; it is given our own nominal times,
// and neither it nor the lease decides what fires: waking too often, late, or on two replicas at once is harmless.
package ticker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
)

const (
	// Sweep finds what no timer announced: a tick whose timer rang while nobody led, or whose clock is not the machine's.
	Sweep = 5 * time.Second
	// after keeps a timer from ringing before the service clock shows the nominal time: the two are read apart.
	after = 10 * time.Millisecond
	// gocron spins while it waits at its end, so it waits for little. Its tasks only wake, and never run long.
	stopTimeout = time.Second
)

// Ticker calls fire when something may be due.
type Ticker struct {
	fire  func(context.Context) error
	log   *slog.Logger
	wakes chan struct{}
}

// New makes a ticker; fire settles everything that is due.
func New(fire func(context.Context) error, log *slog.Logger) *Ticker {
	return &Ticker{fire: fire, log: log, wakes: make(chan struct{}, 1)}
}

// Wake makes the ticker fire soon. Wakes that come while it fires make it fire once more.
func (t *Ticker) Wake() {
	select {
	case t.wakes <- struct{}{}:
	default:
	}
}

// Run keeps one timer per schedule and a sweep, and fires whenever one of them rings on the leader, until ctx ends.
func (t *Ticker) Run(ctx context.Context, leader gocron.Elector, schedules map[schedule.Key]schedule.Rule) error {
	timers, err := gocron.NewScheduler(
		gocron.WithDistributedElector(leader), gocron.WithLocation(time.UTC), gocron.WithStopTimeout(stopTimeout),
		gocron.WithLogger(gocronLog{t.log}),
	)
	if err != nil {
		return fmt.Errorf("make timers: %w", err)
	}
	if err := t.addTimers(timers, schedules); err != nil {
		return err
	}
	timers.Start()
	t.loop(ctx)
	if err := timers.Shutdown(); err != nil {
		return fmt.Errorf("stop timers: %w", err)
	}
	return nil
}

func (t *Ticker) addTimers(timers gocron.Scheduler, schedules map[schedule.Key]schedule.Rule) error {
	for key, rule := range schedules {
		_, err := timers.NewJob(gocron.CronJob(rule.Cron.String(), false), gocron.NewTask(t.Wake),
			gocron.WithCronImplementation(nominal{rule}), gocron.WithName(key.String()))
		if err != nil {
			return fmt.Errorf("timer of %s: %w", key, err)
		}
	}
	_, err := timers.NewJob(gocron.DurationJob(Sweep), gocron.NewTask(t.Wake), gocron.WithName("sweep"))
	if err != nil {
		return fmt.Errorf("timer of the sweep: %w", err)
	}
	return nil
}

// loop fires one at a time: schedules that share a minute are settled together.
func (t *Ticker) loop(ctx context.Context) {
	for ctx.Err() == nil { // asked anew each time: with a wake waiting as well, select takes either
		select {
		case <-ctx.Done():
			return
		case <-t.wakes:
		}
		if err := t.fire(ctx); err != nil && ctx.Err() == nil {
			t.log.ErrorContext(ctx, "not everything that is due was fired; the next sweep tries again", "error", err)
		}
	}
}

// nominal gives gocron our nominal times. They are in UTC, where gocron's own care for shifted clocks finds nothing to do.
type nominal struct{ rule schedule.Rule }

// IsValid accepts: the expression was parsed before.
func (n nominal) IsValid(string, *time.Location, time.Time) error { return nil }

// Next is when to wake for the next nominal time.
func (n nominal) Next(last time.Time) time.Time {
	next := n.rule.Cron.Next(last, n.rule.Zone)
	if next.IsZero() {
		return next
	}
	return next.Add(after)
}

// gocronLog passes gocron's complaints on; what it does in detail is not our users' business.
type gocronLog struct{ log *slog.Logger }

func (g gocronLog) Debug(string, ...any)         {}
func (g gocronLog) Info(string, ...any)          {}
func (g gocronLog) Warn(msg string, args ...any) { g.log.Warn(msg, args...) }

func (g gocronLog) Error(msg string, args ...any) { g.log.Error(msg, args...) }
