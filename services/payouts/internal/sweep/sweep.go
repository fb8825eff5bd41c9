// Package sweep finds work that nobody has and gives it to somebody. The database is the queue of record: whatever a lost
// command, a crash or a lifted hold leaves behind is found here by looking at rows.
package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	defaultEvery    = 2 * time.Second
	defaultPatience = 30 * time.Second
	pageLimit       = 500
)

// Sweeper runs in every replica; each step is done by whoever comes first and left alone by the others.
type Sweeper struct {
	Pool    *pgxpool.Pool
	Store   *store.Store
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Tenants *config.File
	Logger  *slog.Logger
	// Every is the pause between sweeps (0: 2 s). Patience is how long a page may stand still before its command is taken
	// for lost (0: 30 s).
	Every    time.Duration
	Patience time.Duration

	after map[store.Queue]store.Place // how far each queue of held payouts was looked at
	batch uuid.UUID                   // how far open batches were looked at
	woken time.Time                   // when lost commands were last looked for
}

// Run sweeps until ctx ends. A step that fails is logged and done again with the next sweep.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		if err := s.Clock.Sleep(ctx, s.every()); err != nil {
			return nil //nolint:nilerr // the context ended, which is how a sweeper stops
		}
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.Logger.ErrorContext(ctx, "sweep failed, trying again", "error", err)
		}
	}
}

// step is one thing to look after, in bounded pages.
type step struct {
	name string
	lock int64 // advisory, so that one replica does the step at a time
	do   func(ctx context.Context, tx pgx.Tx) error
}

// Once does every step once.
func (s *Sweeper) Once(ctx context.Context) error {
	ctx = event.WithCause(ctx, event.Cause{Actor: store.Actor, CorrelationID: "sweep"})
	steps := []step{
		{"start queued runs", 7111, s.start},
		{"retry failed payouts", 7112, s.retry},
		{"release held payouts", 7113, s.release},
		{"settle runs", 7114, s.settle},
	}
	if now := s.Clock.Now(); now.Sub(s.woken) >= s.patience() {
		patience := s.patience()
		if s.woken.IsZero() {
			// The process before this one may have died with commands that JetStream gives nobody else for another minute.
			patience = min(patience, s.every())
		}
		steps = append(steps, step{"wake standing pages", 7115, func(ctx context.Context, tx pgx.Tx) error { return s.wake(ctx, tx, patience) }})
		s.woken = now
	}
	var first error
	for _, st := range steps {
		if err := s.do(ctx, st); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", st.name, err)
		}
	}
	s.Outbox.Nudge()
	return first
}

// do runs a step unless another replica is at it.
func (s *Sweeper) do(ctx context.Context, st step) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		mine, err := s.Store.TryLock(ctx, tx, st.lock)
		if err != nil || !mine {
			return err
		}
		return st.do(ctx, tx)
	})
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

// nonce tells a re-emitted command from its earlier emissions; replicas that re-emit it within the same span agree on it.
func (s *Sweeper) nonce(within time.Duration) string {
	return strconv.FormatInt(s.Clock.Now().UnixMilli()/within.Milliseconds(), 36)
}
