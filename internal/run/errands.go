package run

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// errands are what is done about the runs of every service: starting first.
func (s *Sweeper) errands() []Step {
	if s.Stuck == nil {
		s.Stuck = StuckGauge(s.Runs.Service, nil)
	}
	return []Step{s.starting(), s.settling(), s.waking()}
}

// starting starts queued runs whose start was lost.
func (s *Sweeper) starting() Step {
	return NewWalk(s.Runs.Clock, s.Logger, Errand[Line, Line]{
		List: func(ctx context.Context, tx pgx.Tx, t Turn, after Line) ([]Line, Line, error) {
			return s.Runs.Queued(ctx, tx, after, t.Limit)
		},
		Do: func(ctx context.Context, tx pgx.Tx, _ Turn, lines []Line) error {
			return s.Runs.StartQueued(ctx, tx, lines)
		},
		Stuck: s.Stuck.WithLabelValues("start_run"),
		Item:  "schedule", Words: "the next run of a schedule cannot be started; the others are, and it is tried again",
	}).Step("start queued runs", lockStart)
}

// settling completes runs that are through.
func (s *Sweeper) settling() Step {
	return NewWalk(s.Runs.Clock, s.Logger, Errand[uuid.UUID, uuid.UUID]{
		List: func(ctx context.Context, tx pgx.Tx, t Turn, after uuid.UUID) ([]uuid.UUID, uuid.UUID, error) {
			return s.Runs.Planned(ctx, tx, after, t.Limit)
		},
		Do: func(ctx context.Context, tx pgx.Tx, _ Turn, runs []uuid.UUID) error {
			return s.Settle(ctx, tx, runs...)
		},
		Stuck: s.Stuck.WithLabelValues("settle_run"),
		Item:  "run", Words: "a run that may be through cannot be completed; the others are, and it is tried again",
	}).Step("settle runs", lockSettle)
}

// waking emits the commands of pages once more whose planning has stood still.
func (s *Sweeper) waking() Step {
	st := NewWalk(s.Runs.Clock, s.Logger, Errand[uuid.UUID, Standing]{
		List: func(ctx context.Context, tx pgx.Tx, t Turn, after Standing) ([]uuid.UUID, Standing, error) {
			return s.Runs.StandingStill(ctx, tx, t.Since, after, t.Limit)
		},
		Do: func(ctx context.Context, tx pgx.Tx, t Turn, runs []uuid.UUID) error {
			return s.Runs.WakePlanning(ctx, tx, t.Since, t.Nonce, runs)
		},
		Stuck: s.Stuck.WithLabelValues("wake_planning"),
		Item:  "run", Words: "a run whose planning stands still cannot be woken; the others are, and it is tried again",
	}).Step("wake planning", lockWake)
	st.Wakes = true
	return st
}

// Line is a schedule, whose runs follow each other. The zero Line is both the beginning and the end of all of them.
type Line struct{ Tenant, Schedule string }

// Standing is a place among runs whose planning stands still; the zero Standing is both the beginning and the end.
type Standing struct {
	Since time.Time
	Run   uuid.UUID
}
