// Package runs turns ticks into runs and carries them through their pages. Each page is one command and one transaction that
// moves the run's own page counter, so a command that comes late or twice finds the counter elsewhere and does nothing.
package runs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/command"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// The jobs of this service, as schedules name them.
const (
	JobDaily        = "payouts/daily"
	JobCheckPending = "payouts/check-pending"
	JobResetBreaks  = "payouts/reset-breaks"
)

// Jobs lists them.
func Jobs() []string { return []string{JobDaily, JobCheckPending, JobResetBreaks} }

// Ticks handles the consumer payouts-ticks.
type Ticks struct {
	Pool    *pgxpool.Pool
	Store   *store.Store
	Outbox  *outbox.Outbox
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
	err := pg.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		fresh, err := inbox.Accept(ctx, tx, stream.PayoutsTicks, m.ID)
		if err != nil || len(fresh) == 0 {
			return err
		}
		return t.queue(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("tick %s: %w", tick.GetTickId(), err)
	}
	crashpoint.Hit("payouts.after_run_commit")
	t.Outbox.Nudge()
	return nil
}

// queue inserts the run. The inbox knows messages, this unique key knows ticks: one that was published anew under another
// id, after a restore say, is still the same tick.
func (t *Ticks) queue(ctx context.Context, tx pgx.Tx, r store.Run) error {
	inserted, err := t.Store.InsertRun(ctx, tx, r)
	if err != nil {
		return err
	}
	if !inserted {
		t.Logger.InfoContext(ctx, "tick has a run already", "tick", r.TickID, "run", r.ID)
		return nil
	}
	if !slices.Contains(Jobs(), r.Job) {
		r.State = store.RunQueued
		return t.Store.FinishRun(ctx, tx, r, store.RunFailed, "unknown_job")
	}
	return t.Store.StartNext(ctx, tx, r.Tenant, r.Schedule)
}

func (t *Ticks) check(tick *eventsv1.Tick) error {
	switch {
	case tick.GetTickId() == "" || tick.GetSchedule() == "" || tick.GetNominalTime() == nil:
		return fmt.Errorf("tick %q lacks its id, schedule or nominal time", tick.GetTickId())
	case tick.GetService() != command.Service:
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

func runOf(ctx context.Context, tick *eventsv1.Tick) store.Run {
	c := event.CauseFrom(ctx)
	return store.Run{
		ID: store.RunID(tick.GetTickId()), TickID: tick.GetTickId(), Tenant: tick.GetTenant(), Schedule: tick.GetSchedule(), Job: tick.GetJob(),
		NominalTime: tick.GetNominalTime().AsTime(), LocalDate: tick.GetLocalDate(), WindowStart: tick.GetWindowStart().AsTime(),
		WindowEnd: tick.GetWindowEnd().AsTime(), Timezone: tick.GetTimezone(), Trigger: tick.GetTrigger(),
		Correlation: c.CorrelationID, Causation: c.CausationID,
	}
}
