// Package runs follows what the services report about the runs that ticks started, and tells those who watch one.
package runs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
)

// Recorder applies a report in the caller's transaction.
type Recorder interface {
	Report(ctx context.Context, tx pgx.Tx, e event.Envelope, run *eventsv1.Run) error
}

// Consumer handles run events. It is the handler of the durable consumer [stream.SchedulerRuns].
type Consumer struct {
	DB       pg.Beginner
	Recorder Recorder
	Watchers *Watchers
}

// Handle records one run event, once.
func (c *Consumer) Handle(ctx context.Context, m stream.Message) error {
	e, run, err := read(m)
	if err != nil {
		return stream.Permanent(err)
	}
	err = pg.InTx(ctx, c.DB, func(tx pgx.Tx) error {
		fresh, err := inbox.Accept(ctx, tx, stream.SchedulerRuns, e.ID)
		if err != nil || len(fresh) == 0 {
			return err
		}
		return c.Recorder.Report(ctx, tx, e, run)
	})
	if err != nil {
		return err
	}
	c.Watchers.Changed(run.GetTickId())
	return nil
}

// read refuses what no repetition can make readable.
func read(m stream.Message) (event.Envelope, *eventsv1.Run, error) {
	e, err := event.ParseHeaders(m.Header)
	if err != nil {
		return event.Envelope{}, nil, fmt.Errorf("run event %s: %w", m.ID, err)
	}
	if e.Type.Aggregate() != event.Run.Aggregate {
		return event.Envelope{}, nil, fmt.Errorf("event %s is a %s, not a run's", e.ID, e.Type)
	}
	run := &eventsv1.Run{}
	if err := event.Decode(m.Data, run); err != nil {
		return event.Envelope{}, nil, fmt.Errorf("body of event %s: %w", e.ID, err)
	}
	key, err := schedule.TickKey(run.GetTickId())
	if err != nil {
		return event.Envelope{}, nil, fmt.Errorf("event %s: %w", e.ID, err)
	}
	if key.Tenant != e.Tenant || run.GetRunId() == "" || run.GetState() == "" || run.GetNominalTime() == nil {
		return event.Envelope{}, nil, fmt.Errorf("event %s: a run has an id, a state, a nominal time and its tick's tenant", e.ID)
	}
	return e, run, nil
}
