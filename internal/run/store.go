package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run/db"
	"github.com/agogopay/agogo/internal/stream"
)

// Store reads and moves a service's runs.
type Store struct {
	Service string // third token of its commands' subjects, and what its events come from
	Pool    *pgxpool.Pool
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Epoch   *event.Epoch
	Items   Items
}

// Insert queues a tick's run; it reports false when the tick has one already.
func (s *Store) Insert(ctx context.Context, tx pgx.Tx, r Run) (bool, error) {
	n, err := db.New(tx).InsertRun(ctx, db.InsertRunParams{
		RunID: r.ID, TickID: r.TickID, Tenant: r.Tenant, Schedule: r.Schedule, Job: r.Job, NominalTime: r.NominalTime,
		LocalDate: r.LocalDate, WindowStart: r.WindowStart, WindowEnd: r.WindowEnd, Timezone: r.Timezone, Trigger: r.Trigger, Requester: r.Requester,
		Correlation: r.Correlation, Causation: r.Causation, Now: s.Clock.Now(),
	})
	if err != nil {
		return false, fmt.Errorf("insert run of %s: %w", r.TickID, err)
	}
	return n == 1, nil
}

// Get reads a run, or returns [ErrNoRun].
func (s *Store) Get(ctx context.Context, q db.DBTX, id uuid.UUID) (Run, error) {
	r, err := db.New(q).GetRun(ctx, id)
	return s.runOrErr(db.LockRunRow(r), id.String(), err)
}

// Lock reads a run and holds its row until the transaction ends, or returns [ErrNoRun].
func (s *Store) Lock(ctx context.Context, tx pgx.Tx, id uuid.UUID) (Run, error) {
	r, err := db.New(tx).LockRun(ctx, id)
	return s.runOrErr(r, id.String(), err)
}

func (s *Store) runOrErr(r db.LockRunRow, id string, err error) (Run, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return Run{}, fmt.Errorf("run %s: %w", id, ErrNoRun)
	}
	if err != nil {
		return Run{}, fmt.Errorf("read run %s: %w", id, err)
	}
	return fromRow(s.Service, r), nil
}

// Advance moves a running run past a page. The caller holds the row.
func (s *Store) Advance(ctx context.Context, tx pgx.Tx, id uuid.UUID, p Page) error {
	err := db.New(tx).AdvanceRun(ctx, db.AdvanceRunParams{
		RunID: id, Cursor: p.Cursor, Planned: p.Last, Done: int64(p.Done), Now: s.Clock.Now(),
	})
	if err != nil {
		return fmt.Errorf("advance run %s: %w", id, err)
	}
	return nil
}

// StartNext starts the schedule's earliest queued run if none of it is running, and gives it its first plan command.
func (s *Store) StartNext(ctx context.Context, tx pgx.Tx, tenant, schedule string) error {
	q := db.New(tx)
	if err := q.LockSchedule(ctx, db.LockScheduleParams{Tenant: tenant, Schedule: schedule}); err != nil {
		return fmt.Errorf("lock schedule %s/%s: %w", tenant, schedule, err)
	}
	rows, err := q.StartNextRun(ctx, db.StartNextRunParams{Now: s.Clock.Now(), Tenant: tenant, Schedule: schedule})
	if err != nil {
		return fmt.Errorf("start next run of %s/%s: %w", tenant, schedule, err)
	}
	for _, row := range rows { // one at most
		r := fromRow(s.Service, db.LockRunRow(row))
		ctx := r.Cause(ctx)

		msg, err := s.event(ctx, r, "run.started", r.snapshot(Queued))
		if err != nil {
			return err
		}
		first := s.message(ctx, VerbPlan, r.Tenant, Place{Run: r.ID, Page: r.Page}, "")
		if err := s.Outbox.Append(ctx, tx, msg, first); err != nil {
			return err
		}
	}
	return nil
}

// Finish closes a run as completed, or as failed with a reason, and starts the schedule's next one. The caller holds the
// row; a run that is closed already is left alone.
func (s *Store) Finish(ctx context.Context, tx pgx.Tx, r Run, state, reason string) error {
	t, ok := event.Run.Event(r.State, state)
	if !ok {
		return fmt.Errorf("run %s: the state table has no way from %q to %q", r.ID, r.State, state)
	}
	n, err := db.New(tx).FinishRun(ctx, db.FinishRunParams{State: state, Reason: reason, Now: s.Clock.Now(), RunID: r.ID, FromState: r.State})
	if err != nil {
		return fmt.Errorf("finish run %s: %w", r.ID, err)
	}
	if n == 0 {
		return nil
	}
	from := r.State
	r.State, r.Reason, r.Version = state, reason, r.Version+1
	body := r.snapshot(from)
	if body.Counts, body.Totals, err = s.Items.Sums(ctx, tx, r); err != nil {
		return fmt.Errorf("sum up run %s: %w", r.ID, err)
	}
	msg, err := s.event(r.Cause(ctx), r, t, body)
	if err != nil {
		return err
	}
	if err := s.Outbox.Append(ctx, tx, msg); err != nil {
		return err
	}
	return s.follow(ctx, tx, r)
}

// follow starts the run after one that is closed. One that cannot be started does not keep the one before it open: the sweeper starts it, or tells
// why it cannot.
func (s *Store) follow(ctx context.Context, tx pgx.Tx, r Run) error {
	err := pg.InTx(ctx, tx, func(tx pgx.Tx) error { return s.StartNext(ctx, tx, r.Tenant, r.Schedule) })
	if err != nil && isolable(err) && ctx.Err() == nil {
		return nil
	}
	return err
}

// Settle completes those of the runs that are planned and through, and starts what waited for them. It is idempotent.
// Called in the transaction of an outcome it cannot see what another replica is about to commit; the sweeper's call closes
// that gap.
func (s *Store) Settle(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error {
	if len(runs) == 0 {
		return nil
	}
	done, err := s.Items.Finishable(ctx, tx, runs)
	if err != nil {
		return fmt.Errorf("find finished runs: %w", err)
	}
	for _, id := range done { // as many as schedules fire, not as items there are
		r, err := s.Lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if r.State != Running || !r.Planned {
			continue
		}
		if err := s.Finish(ctx, tx, r, Completed, r.Reason); err != nil { // the reason is that of a run that was cancelled
			return err
		}
	}
	return nil
}

// Queued lists a page of the schedules that have a run queued and none running, after one, and returns the next place.
func (s *Store) Queued(ctx context.Context, tx pgx.Tx, after Line, limit int) (lines []Line, next Line, err error) {
	rows, err := db.New(tx).QueuedSchedules(ctx, db.QueuedSchedulesParams{AfterTenant: after.Tenant, AfterSchedule: after.Schedule, PageLimit: int32(limit)})
	if err != nil {
		return nil, Line{}, fmt.Errorf("find queued runs: %w", err)
	}
	for _, r := range rows {
		lines = append(lines, Line(r))
	}
	if len(lines) == limit {
		next = lines[limit-1]
	}
	return lines, next, nil
}

// StartQueued starts the next run of each of the schedules, if it has one queued and none running.
func (s *Store) StartQueued(ctx context.Context, tx pgx.Tx, lines []Line) error {
	for _, l := range lines { // as many as there are schedules
		if err := s.StartNext(ctx, tx, l.Tenant, l.Schedule); err != nil {
			return err
		}
	}
	return nil
}

// Planned lists a page of the runs that are planned and still running, after one, and returns the next place: as many at most as there are
// schedules.
func (s *Store) Planned(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (ids []uuid.UUID, next uuid.UUID, err error) {
	ids, err = db.New(tx).PlannedRuns(ctx, db.PlannedRunsParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find planned runs: %w", err)
	}
	if len(ids) == limit {
		next = ids[limit-1]
	}
	return ids, next, nil
}

// StandingStill lists a page of the runs whose planning has not moved since a time, after a place, and returns the next one.
func (s *Store) StandingStill(ctx context.Context, tx pgx.Tx, since time.Time, after Standing, limit int) (ids []uuid.UUID, next Standing, err error) {
	rows, err := db.New(tx).StandingRuns(ctx, db.StandingRunsParams{MovedBefore: since, AfterMoved: after.Since, AfterID: after.Run, PageLimit: int32(limit)})
	if err != nil {
		return nil, Standing{}, fmt.Errorf("find runs that stand still: %w", err)
	}
	for _, r := range rows {
		ids = append(ids, r.RunID)
	}
	if len(rows) == limit {
		next = Standing{Since: rows[limit-1].MovedAt, Run: rows[limit-1].RunID}
	}
	return ids, next, nil
}

// WakePlanning emits the plan command of those of the runs that have not moved since a time.
func (s *Store) WakePlanning(ctx context.Context, tx pgx.Tx, since time.Time, nonce string, runs []uuid.UUID) error {
	rows, err := db.New(tx).TouchStandingRuns(ctx, db.TouchStandingRunsParams{Now: s.Clock.Now(), MovedBefore: since, Ids: runs})
	if err != nil {
		return fmt.Errorf("touch runs that stand still: %w", err)
	}
	msgs := make([]outbox.Message, len(rows))
	for i, r := range rows {
		msgs[i] = s.message(ctx, VerbPlan, r.Tenant, Place{Run: r.RunID, Page: int(r.Page)}, nonce)
	}
	return s.Outbox.Append(ctx, tx, msgs...)
}

// WakeDispatch emits one dispatch command for each of the places.
func (s *Store) WakeDispatch(ctx context.Context, tx pgx.Tx, nonce string, at ...Place) error {
	if len(at) == 0 {
		return nil
	}
	tenants, err := s.tenants(ctx, tx, at)
	if err != nil {
		return err
	}
	seen := make(map[Place]bool, len(at))
	msgs := make([]outbox.Message, 0, len(at))
	for _, p := range at {
		if !seen[p] {
			seen[p] = true
			msgs = append(msgs, s.message(ctx, VerbDispatch, tenants[p.Run], p, nonce))
		}
	}
	return s.Outbox.Append(ctx, tx, msgs...)
}

// tenants says whose the runs of places are.
func (s *Store) tenants(ctx context.Context, tx pgx.Tx, at []Place) (map[uuid.UUID]string, error) {
	tenants := map[uuid.UUID]string{}
	for _, p := range at {
		tenants[p.Run] = ""
	}
	rows, err := db.New(tx).TenantsOfRuns(ctx, slices.Collect(maps.Keys(tenants)))
	if err != nil {
		return nil, fmt.Errorf("find whose runs are woken: %w", err)
	}
	for _, r := range rows {
		tenants[r.RunID] = r.Tenant
	}
	return tenants, nil
}

// TenantOf finds whose message a command is that does not say so itself; "" when there is no such run.
func (s *Store) TenantOf(ctx context.Context, m stream.Message) string {
	c, err := Decode(s.Service, m.Origin.Subject, m.Data)
	if err != nil {
		return ""
	}
	r, err := s.Get(ctx, s.Pool, c.Run)
	if err != nil {
		return ""
	}
	return r.Tenant
}

func (s *Store) message(ctx context.Context, verb, tenant string, at Place, nonce string) outbox.Message {
	return Command{Verb: verb, Place: at, Tenant: tenant}.Message(ctx, s.Service, s.Epoch.Now(), nonce)
}
