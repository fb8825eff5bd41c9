package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/run/db"
)

// CodeCancelled is the reason of runs that people have cancelled.
const CodeCancelled = "cancelled"

// ErrBusy means that another run of the schedule is running: runs of one schedule follow each other.
var ErrBusy = errors.New("another run of the schedule is running")

// Resume has a failed run planned further, from the page at which it failed. The caller holds its row. Every page is still planned once:
// the run's own page counter decides, as ever.
func (s *Store) Resume(ctx context.Context, tx pgx.Tx, r Run) (Run, error) {
	t, ok := event.Run.Event(r.State, Running)
	if !ok || r.State != Failed {
		return r, fmt.Errorf("run %s: only a failed run is resumed, and it is %s", r.ID, r.State)
	}
	q := db.New(tx)
	if err := q.LockSchedule(ctx, db.LockScheduleParams{Tenant: r.Tenant, Schedule: r.Schedule}); err != nil {
		return r, fmt.Errorf("lock schedule %s/%s: %w", r.Tenant, r.Schedule, err)
	}
	others, err := q.OtherRunning(ctx, db.OtherRunningParams{Tenant: r.Tenant, Schedule: r.Schedule, RunID: r.ID})
	if err != nil {
		return r, fmt.Errorf("find running runs of %s/%s: %w", r.Tenant, r.Schedule, err)
	}
	if len(others) > 0 {
		return r, fmt.Errorf("run %s: %w", others[0], ErrBusy)
	}
	if n, err := q.ResumeRun(ctx, db.ResumeRunParams{RunID: r.ID, Now: s.Clock.Now()}); err != nil || n != 1 {
		return r, errors.Join(err, fmt.Errorf("resume run %s: %d rows", r.ID, n))
	}
	r.State, r.Reason, r.Planned, r.FinishedAt, r.Version = Running, "", false, nil, r.Version+1
	msg, err := s.event(ctx, r, t, r.snapshot(Failed))
	if err != nil {
		return r, err
	}
	// The page's command went out before: this is another one, which the stream must not take for it.
	next := s.message(ctx, VerbPlan, r.Tenant, Place{Run: r.ID, Page: r.Page}, fmt.Sprintf("v%d", r.Version))
	return r, s.Outbox.Append(ctx, tx, msg, next)
}

// Cancel ends a run's planning. One that has not begun is over; one that is running ends, as soon as nothing of it is on its way, with what
// it has done. The caller holds its row, and so no page is being planned.
func (s *Store) Cancel(ctx context.Context, tx pgx.Tx, r Run) error {
	switch r.State {
	case Queued:
		return s.Finish(ctx, tx, r, Completed, CodeCancelled)
	case Running:
		if err := db.New(tx).StopPlanning(ctx, db.StopPlanningParams{Reason: CodeCancelled, RunID: r.ID}); err != nil {
			return fmt.Errorf("end the planning of run %s: %w", r.ID, err)
		}
	}
	return nil
}
