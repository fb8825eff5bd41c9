package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/command"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Actor is who acts when no person does.
const Actor = "service:payouts"

// The states of a run; the table of transitions is event.Run.
const (
	RunQueued    = "queued"
	RunRunning   = "running"
	RunCompleted = "completed"
	RunFailed    = "failed"
)

// Run is the execution of one tick.
type Run struct {
	ID          uuid.UUID
	TickID      string
	Tenant      string
	Schedule    string
	Job         string
	NominalTime time.Time
	LocalDate   string // YYYY-MM-DD in Timezone
	WindowStart time.Time
	WindowEnd   time.Time
	Timezone    string
	Trigger     string
	Correlation string
	Causation   string
	State       string
	Reason      string
	Cursor      string // where planning goes on
	Page        int    // the next page to plan
	Planned     bool
	Asked       int64
	Version     int64
	MovedAt     *time.Time
}

// RunID is the identity of a tick's run.
func RunID(tickID string) uuid.UUID { return event.UUID("run", tickID) }

// ErrNoRun means that a run does not exist.
var ErrNoRun = errors.New("no such run")

// InsertRun queues a tick's run; it reports false when the tick has one already.
func (s *Store) InsertRun(ctx context.Context, tx pgx.Tx, r Run) (bool, error) {
	n, err := db.New(tx).InsertRun(ctx, db.InsertRunParams{
		RunID: r.ID, TickID: r.TickID, Tenant: r.Tenant, Schedule: r.Schedule, Job: r.Job, NominalTime: r.NominalTime,
		LocalDate: r.LocalDate, WindowStart: r.WindowStart, WindowEnd: r.WindowEnd, Timezone: r.Timezone, Trigger: r.Trigger,
		Correlation: r.Correlation, Causation: r.Causation, Now: s.Clock.Now(),
	})
	if err != nil {
		return false, fmt.Errorf("insert run of %s: %w", r.TickID, err)
	}
	return n == 1, nil
}

// Run reads a run, or returns [ErrNoRun].
func (s *Store) Run(ctx context.Context, tx db.DBTX, id uuid.UUID) (Run, error) {
	r, err := db.New(tx).GetRun(ctx, id)
	return runOrErr(db.LockRunRow(r), id, err)
}

// LockRun reads a run and holds its row until the transaction ends, or returns [ErrNoRun].
func (s *Store) LockRun(ctx context.Context, tx pgx.Tx, id uuid.UUID) (Run, error) {
	r, err := db.New(tx).LockRun(ctx, id)
	return runOrErr(r, id, err)
}

func runOrErr(r db.LockRunRow, id uuid.UUID, err error) (Run, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return Run{}, fmt.Errorf("run %s: %w", id, ErrNoRun)
	}
	if err != nil {
		return Run{}, fmt.Errorf("read run %s: %w", id, err)
	}
	return runFromRow(r), nil
}

// Advance moves a running run to its next page; planned says that this was the last one. The caller holds the row.
func (s *Store) Advance(ctx context.Context, tx pgx.Tx, id uuid.UUID, cursor string, planned bool, asked int) error {
	err := db.New(tx).AdvanceRun(ctx, db.AdvanceRunParams{
		RunID: id, Cursor: cursor, Planned: planned, Asked: int64(asked), Now: s.Clock.Now(),
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
	for _, row := range rows {
		r := runFromRow(db.LockRunRow(row))
		ctx := r.Cause(ctx)
		msg, err := s.Event(ctx, r.Tenant, "run.started", r.ID.String(), r.Version, r.Snapshot(RunQueued, nil))
		if err != nil {
			return err
		}
		first := command.Plan{RunID: r.ID, Page: r.Page}.Message(ctx, s.Epoch, "")
		if err := s.Outbox.Append(ctx, tx, msg, first); err != nil {
			return err
		}
	}
	return nil
}

// FinishRun closes a run as completed, or as failed with a reason, and starts the schedule's next one. The caller holds the
// row; a run that is closed already is left alone.
func (s *Store) FinishRun(ctx context.Context, tx pgx.Tx, r Run, state, reason string) error {
	t, err := eventOf(event.Run, r.State, state)
	if err != nil {
		return err
	}
	q := db.New(tx)
	n, err := q.FinishRun(ctx, db.FinishRunParams{State: state, Reason: reason, Now: s.Clock.Now(), RunID: r.ID, FromState: r.State})
	if err != nil {
		return fmt.Errorf("finish run %s: %w", r.ID, err)
	}
	if n == 0 {
		return nil
	}
	counts, err := q.RunCounts(ctx, r.ID)
	if err != nil {
		return fmt.Errorf("count payouts of run %s: %w", r.ID, err)
	}
	from := r.State
	r.State, r.Reason, r.Version = state, reason, r.Version+1
	msg, err := s.Event(r.Cause(ctx), r.Tenant, t, r.ID.String(), r.Version, r.Snapshot(from, counts))
	if err != nil {
		return err
	}
	if err := s.Outbox.Append(ctx, tx, msg); err != nil {
		return err
	}
	return s.StartNext(ctx, tx, r.Tenant, r.Schedule)
}

// Cause is the context of what a run does on its own: it stems from the run's tick, whoever finds it to do.
func (r Run) Cause(ctx context.Context) context.Context {
	return event.WithCause(ctx, event.Cause{Actor: Actor, CorrelationID: r.Correlation, CausationID: r.Causation})
}

// Snapshot is the body of a run's events.
func (r Run) Snapshot(previous string, counts []db.RunCountsRow) *eventsv1.Run {
	body := &eventsv1.Run{
		RunId: r.ID.String(), TickId: r.TickID, Tenant: r.Tenant, Service: command.Service, Schedule: r.Schedule, Job: r.Job,
		NominalTime: timestamppb.New(r.NominalTime), LocalDate: r.LocalDate, State: r.State, PreviousState: previous,
	}
	if r.Reason != "" {
		body.Reason = &eventsv1.Reason{Code: r.Reason}
	}
	body.Counts, body.Totals = Totals(counts)
	if r.Asked > 0 {
		body.Counts["asked"] = r.Asked
	}
	return body
}

// Totals sums a run's payouts by state. "waiting" counts those that the run was not kept open for although they are not
// paid: approved ones behind a pause, a stop or a provider fault, and held ones.
func Totals(counts []db.RunCountsRow) (map[string]int64, map[string]*eventsv1.Money) {
	n, sums := map[string]int64{}, map[string]*eventsv1.Money{}
	for _, c := range counts {
		n[c.State] = c.Count
		sums[c.State] = MoneyProto(money.Amount{Minor: c.Net, Currency: money.Currency(c.Currency)})
	}
	if waiting := n[string(payout.Approved)] + n[string(payout.Held)]; waiting > 0 {
		n["waiting"] = waiting
	}
	return n, sums
}

func runFromRow(r db.LockRunRow) Run {
	return Run{
		ID: r.RunID, TickID: r.TickID, Tenant: r.Tenant, Schedule: r.Schedule, Job: r.Job, NominalTime: r.NominalTime,
		LocalDate: r.LocalDate, WindowStart: r.WindowStart, WindowEnd: r.WindowEnd, Timezone: r.Timezone, Trigger: r.Trigger,
		Correlation: r.Correlation, Causation: r.Causation, State: r.State, Reason: r.Reason, Cursor: r.Cursor, Page: int(r.Page),
		Planned: r.Planned, Asked: r.Asked, Version: r.Version, MovedAt: r.MovedAt,
	}
}
