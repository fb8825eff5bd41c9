// Package run turns a service's ticks into runs and carries them through their pages. Each page is one command and one
// transaction that moves the run's own page counter, so a command that comes late or twice finds the counter elsewhere and
// does nothing. What a page is about, and when a run is through, the service says: see [Job] and [Items].
package run

import (
	"context"
	"embed"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run/db"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the table of runs, which a service's own tables may refer to.
var Migrations = pg.Set{Name: "run", FS: migrations, Dir: "migrations"}

// The states of a run; the table of transitions is event.Run.
const (
	Queued    = "queued"
	Running   = "running"
	Completed = "completed"
	Failed    = "failed"
)

// Run is the execution of one tick.
type Run struct {
	Service     string
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
	Requester   string // who asked for it by hand; "" when the schedule did
	Correlation string
	Causation   string
	State       string
	Reason      string
	Cursor      string // where planning goes on
	Page        int    // the next page to plan
	Planned     bool
	Done        int64 // what its pages say they did
	Version     int64
	StartedAt   *time.Time
	MovedAt     *time.Time
	FinishedAt  *time.Time
}

// ID is the identity of a tick's run.
func ID(tickID string) uuid.UUID { return event.UUID("run", tickID) }

// ErrNoRun means that a run does not exist.
var ErrNoRun = errors.New("no such run")

// Actor is who acts for a service when no person does.
func Actor(service string) string { return "service:" + service }

// Cause is the context of what a run does on its own: it stems from the run's tick, whoever finds it to do.
func (r Run) Cause(ctx context.Context) context.Context {
	return event.WithCause(ctx, event.Cause{Actor: Actor(r.Service), CorrelationID: r.Correlation, CausationID: r.Causation})
}

// Items is what a service's runs are about: payouts, say.
type Items interface {
	// Finishable returns those of the runs that are running, planned, and not kept open by any of their items.
	Finishable(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) ([]uuid.UUID, error)
	// Sums counts a run's items and adds up their money by state, for the run's last event. "waiting" counts those that it
	// was not kept open for although they are not through.
	Sums(ctx context.Context, tx pgx.Tx, r Run) (counts map[string]int64, totals map[string]*eventsv1.Money, err error)
}

// snapshot is the body of a run's events.
func (r Run) snapshot(previous string) *eventsv1.Run {
	body := &eventsv1.Run{
		RunId: r.ID.String(), TickId: r.TickID, Tenant: r.Tenant, Service: r.Service, Schedule: r.Schedule, Job: r.Job,
		NominalTime: timestamppb.New(r.NominalTime), LocalDate: r.LocalDate, State: r.State, PreviousState: previous,
	}
	if r.Reason != "" {
		body.Reason = &eventsv1.Reason{Code: r.Reason}
	}
	return body
}

func fromRow(service string, r db.LockRunRow) Run {
	return Run{
		Service: service, ID: r.RunID, TickID: r.TickID, Tenant: r.Tenant, Schedule: r.Schedule, Job: r.Job, NominalTime: r.NominalTime,
		LocalDate: r.LocalDate, WindowStart: r.WindowStart, WindowEnd: r.WindowEnd, Timezone: r.Timezone, Trigger: r.Trigger, Requester: r.Requester,
		Correlation: r.Correlation, Causation: r.Causation, State: r.State, Reason: r.Reason, Cursor: r.Cursor, Page: int(r.Page),
		Planned: r.Planned, Done: r.Done, Version: r.Version, StartedAt: r.StartedAt, MovedAt: r.MovedAt, FinishedAt: r.FinishedAt,
	}
}
