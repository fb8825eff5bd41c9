// Package store keeps schedules, ticks and what is known of their runs in Postgres. Every tick and every change of a
// schedule is written together with its events and orders, in one transaction.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

// Errors that callers ask for.
var (
	// ErrNotFound means that there is no such schedule, tick or run.
	ErrNotFound = errors.New("not found")
	// ErrFuture means that a tick was asked for whose time has not come.
	ErrFuture = errors.New("the nominal time lies in the future")
	// ErrBacklog means that more ticks are due than one transaction settles: settle them first.
	ErrBacklog = errors.New("too many ticks are due at once")
)

// Limits of one transaction, so that its locks are short however long the outage was.
const (
	schedulesPerTx = 100
	ticksPerTx     = 1000
)

// Store reads and writes the scheduler's tables.
type Store struct {
	Pool   *pgxpool.Pool
	Outbox *outbox.Outbox
	Clock  clock.Clock
	Logger *slog.Logger
	Epoch  *event.Epoch // rises after a restore
	// Settled is told which ticks were settled, after commit; may be nil.
	Settled func(ctx context.Context, settled []Settled)
}

// Settled is a tick together with its schedule's key and the moment it was decided about.
type Settled struct {
	schedule.Key
	schedule.Tick
	At time.Time
}

// View is a schedule as it is shown.
type View struct {
	schedule.Schedule
	NextTime   time.Time // zero: never again
	LastTickID string
}

// Committed must be called after the commit of a transaction that settled ticks: it wakes the relay and counts.
func (s *Store) Committed(ctx context.Context, settled []Settled) {
	if len(settled) > 0 {
		crashpoint.Hit("scheduler.after_tick_commit")
		if s.Settled != nil {
			s.Settled(ctx, settled)
		}
	}
	s.Outbox.Nudge()
}

// Get returns a schedule that is not deleted.
func (s *Store) Get(ctx context.Context, key schedule.Key) (View, error) {
	return get(ctx, s.Pool, key)
}

// GetIn is Get inside a transaction, with what it changed.
func (s *Store) GetIn(ctx context.Context, tx pgx.Tx, key schedule.Key) (View, error) {
	return get(ctx, tx, key)
}

func get(ctx context.Context, q db.DBTX, key schedule.Key) (View, error) {
	row, err := db.New(q).GetSchedule(ctx, db.GetScheduleParams{Tenant: key.Tenant, Service: key.Service, Name: key.Name})
	if err != nil {
		return View{}, notFound(err, "schedule", key.String())
	}
	return viewOf(row)
}

// Tenants limits a list: to the named ones, or not at all.
type Tenants struct {
	All   bool
	Names []string
}

// List returns the schedules that are not deleted, by name, after a key.
func (s *Store) List(ctx context.Context, of Tenants, after schedule.Key, size int) ([]View, error) {
	rows, err := db.New(s.Pool).ListSchedules(ctx, db.ListSchedulesParams{
		EveryTenant: of.All, Tenants: of.Names,
		AfterTenant: after.Tenant, AfterService: after.Service, AfterName: after.Name, MaxRows: int32(size),
	})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	views := make([]View, 0, len(rows))
	for _, row := range rows {
		v, err := viewOf(row)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// OldestDue is the oldest nominal time that nobody has settled yet; zero when nothing is due.
func (s *Store) OldestDue(ctx context.Context) (time.Time, error) {
	now := s.Clock.Now()
	oldest, err := db.New(s.Pool).OldestDue(ctx, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return oldest, err
}

func viewOf(row db.Schedule) (View, error) {
	sch, err := scheduleOf(row)
	v := View{Schedule: sch, LastTickID: row.LastTickID}
	if row.NextTime != nil {
		v.NextTime = *row.NextTime
	}
	return v, err
}

// scheduleOf reads a row. It fails on what this binary cannot follow, such as a zone that its time zone data lacks.
func scheduleOf(row db.Schedule) (schedule.Schedule, error) {
	key := schedule.Key{Tenant: row.Tenant, Service: row.Service, Name: row.Name}
	times, err := cron.Parse(row.Cron)
	if err != nil {
		return schedule.Schedule{Key: key}, fmt.Errorf("stored schedule %s: cron: %w", key, err)
	}
	zone, err := time.LoadLocation(row.Timezone)
	if err != nil {
		return schedule.Schedule{Key: key}, fmt.Errorf("stored schedule %s: %w", key, err)
	}
	return schedule.Schedule{
		Key: key,
		Rule: schedule.Rule{Job: row.Job, Cron: times, Zone: zone, CatchUp: schedule.CatchUp{
			Mode: schedule.Mode(row.CatchUp), Window: time.Duration(row.CatchUpWindow), Cap: int(row.CatchUpCap),
		}},
		State: schedule.State(row.State), PauseReason: row.PauseReason, Cursor: row.CursorAt.UTC(), Version: row.Version,
	}, nil
}

func notFound(err error, kind, name string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s %s: %w", kind, name, ErrNotFound)
	}
	return fmt.Errorf("read %s %s: %w", kind, name, err)
}

// now is the service clock to the precision that Postgres keeps, so that what is computed equals what is stored.
func (s *Store) now() time.Time { return s.Clock.Now().UTC().Truncate(time.Microsecond) }
