package run

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Ticks handles the consumer <service>-ticks.
type Ticks struct {
	Runs    *Store
	Jobs    Jobs
	Tenants *config.File
	Logger  *slog.Logger
}

// Handle inserts the tick's run and starts it unless an earlier one of its schedule is still running. A tick that comes
// again finds its run and does nothing.
func (t *Ticks) Handle(ctx context.Context, m stream.Message) error {
	var tick eventsv1.Tick
	if err := event.Decode(m.Data, &tick); err != nil {
		return stream.Permanent(fmt.Errorf("tick %s is not protojson of a Tick: %w", m.ID, err))
	}
	if err := t.check(&tick); err != nil {
		return stream.Permanent(err)
	}
	r := runOf(ctx, &tick)
	err := pg.InTx(ctx, t.Runs.Pool, func(tx pgx.Tx) error {
		fresh, err := inbox.Accept(ctx, tx, t.Runs.Service+"-ticks", m.ID)
		if err != nil || len(fresh) == 0 {
			return err
		}
		return t.queue(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("tick %s: %w", tick.GetTickId(), err)
	}
	crashpoint.Hit(t.Runs.Service + ".after_run_commit")
	t.Runs.Outbox.Nudge()
	return nil
}

// queue inserts the run. The inbox knows messages, this unique key knows ticks: one that was published anew under another
// id, after a restore say, is still the same tick.
func (t *Ticks) queue(ctx context.Context, tx pgx.Tx, r Run) error {
	inserted, err := t.Runs.Insert(ctx, tx, r)
	if err != nil {
		return err
	}
	if !inserted {
		t.Logger.InfoContext(ctx, "tick has a run already", "tick", r.TickID, "run", r.ID)
		return nil
	}
	if _, known := t.Jobs[r.Job]; !known {
		r.State = Queued
		return t.Runs.Finish(ctx, tx, r, Failed, codeUnknownJob)
	}
	return t.Runs.StartNext(ctx, tx, r.Tenant, r.Schedule)
}

func (t *Ticks) check(tick *eventsv1.Tick) error {
	switch {
	case tick.GetTickId() == "" || tick.GetSchedule() == "" || tick.GetNominalTime() == nil:
		return fmt.Errorf("tick %q lacks its id, schedule or nominal time", tick.GetTickId())
	case tick.GetService() != t.Runs.Service:
		return fmt.Errorf("tick %s is for service %q", tick.GetTickId(), tick.GetService())
	}
	if _, err := time.Parse(time.DateOnly, tick.GetLocalDate()); err != nil {
		return fmt.Errorf("tick %s: local date: %w", tick.GetTickId(), err)
	}
	if _, ok := t.Tenants.Tenant(tick.GetTenant()); !ok {
		return fmt.Errorf("tick %s: tenant %q is not in the tenants file", tick.GetTickId(), tick.GetTenant())
	}
	return nil
}

func runOf(ctx context.Context, tick *eventsv1.Tick) Run {
	c := event.CauseFrom(ctx)
	return Run{
		Service: tick.GetService(), ID: ID(tick.GetTickId()), TickID: tick.GetTickId(), Tenant: tick.GetTenant(),
		Schedule: tick.GetSchedule(), Job: tick.GetJob(), NominalTime: tick.GetNominalTime().AsTime(), LocalDate: tick.GetLocalDate(),
		WindowStart: tick.GetWindowStart().AsTime(), WindowEnd: tick.GetWindowEnd().AsTime(), Timezone: tick.GetTimezone(),
		Trigger: tick.GetTrigger(), Requester: requester(tick.GetTrigger(), c.Actor), Correlation: c.CorrelationID, Causation: c.CausationID,
	}
}

// requester is who asked for a tick. A schedule's own ticks are nobody's, whoever's message they came with.
func requester(trigger, actor string) string {
	if trigger == "cron" || trigger == "catch_up" {
		return ""
	}
	return actor
}
