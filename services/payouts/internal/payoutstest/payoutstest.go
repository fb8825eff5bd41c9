// Package payoutstest gives tests of the payouts service a schema of its own, a tenant as in the sample data, and views of
// what the service wrote. It is imported by tests only.
package payoutstest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/outbox/outboxtest"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/imports"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/migrations"
)

// Tenant is the tenant of the sample data.
const Tenant = "lebenis"

// Env is the service's parts on a fresh schema, without streams: tests hand messages over themselves.
type Env struct {
	*outboxtest.Schema
	Clock    *clock.Virtual
	Outbox   *outbox.Outbox
	Tenants  *config.File
	Store    *store.Store
	Importer *imports.Importer
	Planner  *plan.Planner
	Breaks   *breaks.Breaks
	Ticks    *run.Ticks
	Exec     *run.Exec

	t       testing.TB
	stopped []string
}

// New makes an environment whose clock shows the evening of the sample data. Change tenants before the first import.
func New(t testing.TB) *Env {
	t.Helper()
	return On(t, Pool(t))
}

// Pool opens a fresh schema with all tables of the service.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return pgtest.Pool(t, outbox.Migrations, inbox.Migrations, auth.Migrations, ledger.Migrations, provider.Migrations, attempt.Migrations,
		webhook.Migrations, run.Migrations, reconcile.Migrations, review.Migrations, restore.Migrations,
		precheck.Migrations, migrations.Set)
}

// On is New on a schema that is there already: one with empty tables, for tests that need very many environments.
func On(t testing.TB, pool *pgxpool.Pool) *Env {
	t.Helper()
	e := &Env{
		Schema: outboxtest.New(t, pool), Clock: clock.NewVirtual(At("2025-01-24T23:59:05Z")), Tenants: Lebenis(), t: t,
		Outbox: outbox.New(outbox.Config{Service: store.Service}, outbox.Deps{Pool: pool}),
	}
	logger := slog.New(slog.DiscardHandler)
	e.Store = &store.Store{
		Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants,
		Runs: &run.Store{Service: store.Service, Pool: pool, Outbox: e.Outbox, Clock: e.Clock},
	}
	stopped := func(context.Context, pgx.Tx) ([]string, error) { return append([]string{}, e.stopped...), nil }
	e.StoppedBy(stopped, stopped)
	e.Importer = &imports.Importer{Pool: pool, Store: e.Store, Outbox: e.Outbox, Clock: e.Clock}
	e.Planner = &plan.Planner{Store: e.Store, Outbox: e.Outbox, Tenants: e.Tenants}
	e.Breaks = &breaks.Breaks{Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants}
	nothing := func(context.Context, pgx.Tx, run.Run) (run.Page, error) { return run.Page{Last: true}, nil }
	jobs := runs.Jobs(e.Planner, e.Breaks, nothing, nothing)
	e.Ticks = &run.Ticks{Runs: e.Store.Runs, Jobs: jobs, Tenants: e.Tenants, Logger: logger}
	e.Exec = &run.Exec{
		Runs: e.Store.Runs, Jobs: jobs, Logger: logger, Settle: e.Store.Settle,
		Dispatch: func(context.Context, uuid.UUID, int) error { return nil },
	}
	return e
}

// Lebenis is the tenants file of the sample data.
func Lebenis() *config.File {
	abidjan, err := time.LoadLocation("Africa/Abidjan")
	if err != nil {
		panic(err)
	}
	return &config.File{Tenants: []config.Tenant{{
		ID: Tenant, Timezone: "Africa/Abidjan", Location: abidjan, Currency: "XOF", Locale: "fr-CI", Mode: "sandbox",
		Payouts: &config.Payouts{
			CommissionBPS: 2000, Minimum: 100, DefaultProvider: "orange", PayableMethods: []string{"orange_money"},
			MaxPerPayout: 2_000_000, DailyCap: 50_000_000, AcceptFrom: "2025-01-01", PauseAboveFailureRate: 0.2,
			PausePayeeAfter: 3, MaxAttempts: 3,
		},
		Providers: map[string]config.Provider{"orange": {Name: "orange", Kind: "orange_omr"}},
	}}}
}

// Rules are the tenant's rules, to be changed before the first use.
func (e *Env) Rules() *config.Payouts { return e.Tenants.Tenants[0].Payouts }

// At parses an RFC 3339 time.
func At(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return at
}

// Tick is the tick of a schedule at a nominal time (Abidjan is on UTC).
func Tick(schedule, job, nominal string) *eventsv1.Tick {
	at := At(nominal)
	return &eventsv1.Tick{
		TickId: fmt.Sprintf("%s/payouts/%s@%s", Tenant, schedule, nominal), Tenant: Tenant, Service: "payouts", Schedule: schedule, Job: job,
		NominalTime: timestamppb.New(at), LocalDate: at.Format(time.DateOnly), WindowStart: timestamppb.New(at.AddDate(0, 0, -1)),
		WindowEnd: timestamppb.New(at), Timezone: "Africa/Abidjan", Trigger: "cron", State: "fired",
	}
}

// Daily is the tick of the daily payouts.
func Daily(nominal string) *eventsv1.Tick { return Tick("daily", runs.JobDaily, nominal) }

// Fire hands a tick to its consumer, as a message with an id.
func (e *Env) Fire(tick *eventsv1.Tick, id string) error {
	return e.Schema.Fire(e.Ticks.Handle, tick, id)
}

// Run fires a tick and hands over the commands that follow until there are none, and returns the run's id.
func (e *Env) Run(tick *eventsv1.Tick) uuid.UUID {
	e.t.Helper()
	if err := e.Fire(tick, tick.GetTickId()); err != nil {
		e.t.Fatal(err)
	}
	e.Work()
	return run.ID(tick.GetTickId())
}

// Work hands over commands from the outbox until there are none left.
func (e *Env) Work() {
	e.t.Helper()
	e.Schema.Work(e.Exec.Handle)
}

// Hand gives a command to its handler.
func (e *Env) Hand(m outboxtest.Message) error { return e.Schema.Hand(e.Exec.Handle, m) }

// Finish completes the running runs although their payouts were not sent, so that the schedule's next one can start.
func (e *Env) Finish() {
	e.t.Helper()
	rows, err := e.Pool.Query(e.t.Context(), "SELECT run_id FROM runs WHERE state = 'running'")
	if err != nil {
		e.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		e.t.Fatal(err)
	}
	e.InTx(func(tx pgx.Tx) error {
		for _, id := range ids {
			r, err := e.Store.Runs.Lock(e.Ctx(), tx, id)
			if err != nil {
				return err
			}
			if err := e.Store.Runs.Finish(e.Ctx(), tx, r, run.Completed, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// StoppedBy has functions say which connectors are stopped, and behind which of these what is approved stays so.
func (e *Env) StoppedBy(stopped, barred func(ctx context.Context, tx pgx.Tx) ([]string, error)) {
	e.Store.Stopped, e.Store.Barred, e.Store.Runs.Items = stopped, barred, store.Items{Clock: e.Clock, Barred: barred}
}

// StopProviders stops connectors, named "<tenant>/<provider>", and opens all others.
func (e *Env) StopProviders(names ...string) { e.stopped = names }
