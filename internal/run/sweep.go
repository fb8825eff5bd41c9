package run

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run/db"
)

const (
	defaultEvery    = 2 * time.Second
	defaultPatience = 30 * time.Second
	pageLimit       = 500
	// lockWait is for how long a step waits for a lock. Whoever has it for longer hangs, or has much to do, and all other steps would wait too.
	lockWait = "1s"
)

// The locks of the sweeper's own steps; those of a service's steps are others.
const (
	lockStart  = 7111
	lockSettle = 7114
	lockWake   = 7115
)

// Sweeper finds work that nobody has and gives it to somebody. The database is the queue of record: whatever a lost
// command, a crash or a lifted hold leaves behind is found here by looking at rows. It runs in every replica; each step is
// done by whoever comes first and left alone by the others.
type Sweeper struct {
	Runs   *Store
	Logger *slog.Logger
	// Settle is [Store.Settle], or what a service has around it.
	Settle func(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error
	// Steps are the service's own, done between starting and settling runs.
	Steps []Step
	// Stuck shows what the steps cannot move, as [StuckGauge] makes it; nil: nobody.
	Stuck *prometheus.GaugeVec
	// Every is the pause between sweeps (0: 2 s). Patience is how long a page may stand still before its command is taken
	// for lost (0: 30 s).
	Every    time.Duration
	Patience time.Duration

	woken time.Time // when lost commands were last looked for
	own   []Step    // those of every service: starting, settling and waking runs
}

// Step is one thing to look after, in bounded pages.
type Step struct {
	Name string
	Lock int64 // advisory, one per step, so that one replica does it at a time
	// Wakes is set for a step that emits lost commands again: it is done once per patience, after all others.
	Wakes bool
	Do    func(ctx context.Context, tx pgx.Tx, t Turn) error
	// More is asked after each commit, and may be nil: while it reports true the step goes on, each time in a transaction of its
	// own, so that what it locks for one tenant is not kept while it looks after the others.
	More func() bool
}

// Turn is what a step is given.
type Turn struct {
	Since time.Time // what has rested since before then has rested for a patience
	Nonce string    // tells a re-emitted command from its earlier emissions
	Limit int       // rows of a page
}

// Run sweeps until ctx ends. A step that fails is logged and done again with the next sweep.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		if err := s.Runs.Clock.Sleep(ctx, s.every()); err != nil {
			return nil //nolint:nilerr // the context ended, which is how a sweeper stops
		}
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.Logger.ErrorContext(ctx, "sweep failed, trying again", "error", err)
		}
	}
}

// Once does every step once.
func (s *Sweeper) Once(ctx context.Context) error {
	ctx = event.WithCause(ctx, event.Cause{Actor: Actor(s.Runs.Service), CorrelationID: "sweep"})
	now, patience := s.Runs.Clock.Now(), s.patience()
	steps := s.steps(false)
	if now.Sub(s.woken) >= patience {
		if s.woken.IsZero() {
			// The process before this one may have died with commands that JetStream gives nobody else for another minute.
			patience = min(patience, s.every())
		}
		steps = append(steps, s.steps(true)...)
		s.woken = now
	}
	var first error
	for _, st := range steps {
		if err := s.do(ctx, st, s.turn(st, patience)); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", st.Name, err)
		}
	}
	s.Runs.Outbox.Nudge()
	return first
}

// steps lists those that wake, or the others, in their order.
func (s *Sweeper) steps(wakes bool) []Step {
	if s.own == nil {
		s.own = s.errands()
	}
	start, others := s.own[0], s.own[1:]
	var some []Step
	for _, st := range slices.Concat([]Step{start}, s.Steps, others) {
		if st.Wakes == wakes {
			some = append(some, st)
		}
	}
	return some
}

// turn makes what a step is given. Replicas that re-emit a command within the same span agree on its nonce.
func (s *Sweeper) turn(st Step, waking time.Duration) Turn {
	span := s.patience()
	if st.Wakes {
		span = waking
	}
	now := s.Runs.Clock.Now()
	return Turn{Since: now.Add(-span), Nonce: strconv.FormatInt(now.UnixMilli()/span.Milliseconds(), 36), Limit: pageLimit}
}

// do runs a step, in as many transactions as it wants.
func (s *Sweeper) do(ctx context.Context, st Step, t Turn) error {
	for {
		if mine, err := s.once(ctx, st, t); err != nil || !mine || st.More == nil || !st.More() {
			return err
		}
	}
}

// once runs a step unless another replica is at it.
func (s *Sweeper) once(ctx context.Context, st Step, t Turn) (mine bool, err error) {
	err = pg.InTx(ctx, s.Runs.Pool, func(tx pgx.Tx) error {
		turn, err := db.New(tx).TakeTurn(ctx, db.TakeTurnParams{Key: st.Lock, LockWait: lockWait})
		if err != nil {
			return fmt.Errorf("advisory lock %d: %w", st.Lock, err)
		}
		if mine = turn.Mine; !mine {
			return nil
		}
		return st.Do(ctx, tx, t)
	})
	return mine, err
}

func (s *Sweeper) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return defaultEvery
}

func (s *Sweeper) patience() time.Duration {
	if s.Patience > 0 {
		return s.Patience
	}
	return defaultPatience
}
