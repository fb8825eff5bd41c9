// Package recurrencestest gives tests of the recurrences service a schema of its own, a tenant as in the sample data, a
// gateway with a book, whole senders in front of it, and views of what the service wrote. It is imported by tests only.
package recurrencestest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/outbox/outboxtest"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/collect"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/migrations"
)

// Tenant is the tenant of the sample data.
const Tenant = "wallclub"

// Env is the service's parts on a fresh schema, without streams: tests hand messages over themselves. Its Sender is one
// replica; further ones are made with [Env.Replica].
type Env struct {
	*Sender
	*outboxtest.Schema
	Clock   *clock.Virtual
	Outbox  *outbox.Outbox
	Tenants *config.File
	Store   *store.Store
	Runs    *run.Store
	States  *provider.States
	Gateway *Gateway
	Ticks   *run.Ticks
	Exec    *run.Exec
	Sweeper *run.Sweeper
	Brand   string // of cards that Agree stores

	t testing.TB
}

// Sender is one replica of the service: what sends, what reconciles, and what people decide by.
type Sender struct {
	*dispatch.Dispatcher
	Worker     *reconcile.Worker
	Prechecks  *precheck.Worker
	Outcomes   *outcome.Outcomes
	Book       *collect.Book
	Resolver   *resolve.Resolver
	Connectors *connector.Set
	Connector  *connector.Connector
}

// New makes an environment whose clock shows the morning of the sample data.
func New(t testing.TB) *Env {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, inbox.Migrations, auth.Migrations, ledger.Migrations, provider.Migrations, attempt.Migrations,
		webhook.Migrations, run.Migrations, reconcile.Migrations, review.Migrations, restore.Migrations,
		precheck.Migrations, migrations.Set)
	e := &Env{
		Schema: outboxtest.New(t, pool), Clock: clock.NewVirtual(At("2025-10-30T11:00:05Z")), Tenants: Wallclub(t), Gateway: &Gateway{}, Brand: "visa", t: t,
		Outbox: outbox.New(outbox.Config{Service: store.Service}, outbox.Deps{Pool: pool}),
	}
	e.States = &provider.States{Service: store.Service, Outbox: e.Outbox, Clock: e.Clock}
	e.Store = &store.Store{
		Pool: pool, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants,
		Stopped: func(ctx context.Context, tx pgx.Tx) ([]string, error) { return e.States.Stopped(ctx, tx) },
	}
	e.Runs = &run.Store{Service: store.Service, Pool: pool, Outbox: e.Outbox, Clock: e.Clock, Items: e.Store}
	e.Sender = e.Replica()
	logger := e.logger()
	jobs := (&plan.Planner{Store: e.Store, Runs: e.Runs}).Jobs()
	e.Ticks = &run.Ticks{Runs: e.Runs, Jobs: jobs, Tenants: e.Tenants, Logger: logger}
	e.Exec = &run.Exec{Runs: e.Runs, Jobs: jobs, Logger: logger, Dispatch: e.Dispatch, Settle: e.Runs.Settle}
	stuck := run.StuckGauge(store.Service, nil)
	e.Sweeper = &run.Sweeper{Runs: e.Runs, Logger: logger, Settle: e.Runs.Settle, Stuck: stuck, Steps: []run.Step{e.Book.Standing(), e.Resolver.Ending(logger, stuck), e.Resolver.Found(logger, stuck)}}
	return e
}

// Wallclub is the tenants file of the sample data.
func Wallclub(t testing.TB) *config.File {
	t.Helper()
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	return &config.File{Tenants: []config.Tenant{{
		ID: Tenant, Timezone: "America/Sao_Paulo", Location: saoPaulo, Currency: "BRL", Locale: "pt-BR", Mode: "sandbox",
		Recurrences: &config.Recurrences{
			MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, BusinessDay: recurrence.Following, CardFailureLimit: 5,
			CleanupAfterDays: 180, DefaultGateway: "cielo",
		},
		Providers: map[string]config.Provider{"cielo": {Name: "cielo", Kind: "cielo"}},
	}}}
}

// Rules are the tenant's rules, to be changed before the first use.
func (e *Env) Rules() *config.Recurrences { return e.Tenants.Tenants[0].Recurrences }

// Replica makes a sender with its own connector and identity, before the environment's gateway.
func (e *Env) Replica() *Sender {
	e.t.Helper()
	conn := connector.New(Tenant, config.Provider{
		Name: "cielo", Kind: "cielo", Timeout: 500 * time.Millisecond, QuietTime: 2 * time.Second, Concurrency: 4,
		LookupAfter: []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}, ReviewAfter: 24 * time.Hour,
	}, e.Gateway)
	s := &Sender{Connectors: &connector.Set{}, Connector: conn}
	s.Connectors.Add(conn)
	logger := e.logger()
	var err error
	s.Outcomes, err = outcome.New(outcome.Deps{
		Store: e.Store, Runs: e.Runs, Clock: e.Clock, Tenants: e.Tenants, Connectors: s.Connectors, Logger: logger,
		Findings: &reconcile.Findings{Service: store.Service, Outbox: e.Outbox, Clock: e.Clock, Account: outcome.Account, Collects: true},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	s.Book = &collect.Book{Store: e.Store, Runs: e.Runs, Outcomes: s.Outcomes, Clock: e.Clock, Logger: logger}
	gate := &precheck.Gate{Clock: e.Clock, Reference: charge.Reference, MustTell: attempt.MustTellAmount}
	s.Dispatcher = dispatch.New(dispatch.Config{Service: store.Service, Item: "charge", Owner: uuid.NewString()}, dispatch.Deps{
		Pool: e.Pool, Runs: e.Runs, Outbox: e.Outbox, Clock: e.Clock, Connectors: s.Connectors, States: e.States, Book: s.Book, Logger: logger,
		Prechecks: gate,
	})
	s.Prechecks = &precheck.Worker{
		Service: store.Service, Pool: e.Pool, Outbox: e.Outbox, Clock: e.Clock, Connectors: s.Connectors, Runs: e.Runs, Gate: gate, Logger: logger,
	}
	s.Worker = reconcile.New(reconcile.Config{Service: store.Service, Item: "charge"}, reconcile.Deps{
		Pool: e.Pool, Outbox: e.Outbox, Clock: e.Clock, Connectors: s.Connectors, Book: s.Outcomes, Logger: logger,
	})
	s.Resolver = &resolve.Resolver{Store: e.Store, Runs: e.Runs, Outcomes: s.Outcomes, Clock: e.Clock, Gate: gate}
	return s
}

// Unlimited is the throttle of a connector with many slots and no rate.
func Unlimited() *provider.Throttle { return provider.NewThrottle(0, 64) }

func (e *Env) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{e.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil { // a sender that was left for dead may speak after its test
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// At parses an RFC 3339 time.
func At(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return at
}

// On parses a date.
func On(s string) recurrence.Date {
	d, err := recurrence.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// Recurrence is a monthly one over R$ 49,90 whose next cycle is on a date.
func (e *Env) Recurrence(id, next, token string) store.Recurrence {
	calendar, err := recurrence.NewCalendar(e.Rules().BusinessDay, e.Rules().Holidays)
	if err != nil {
		e.t.Fatal(err)
	}
	date := On(next)
	return store.Recurrence{
		Key: store.Key{Tenant: Tenant, ID: id}, CustomerID: "cus-" + id, CustomerName: "Cliente", SellerID: "seller-1",
		Amount: money.Amount{Minor: 4990, Currency: "BRL"},
		Terms:  recurrence.Terms{Rhythm: recurrence.Rhythm{Period: recurrence.Monthly, Day: date.Time().Day()}},
		At:     recurrence.Position{Next: recurrence.Cycle{Date: date, ChargeOn: calendar.Move(date)}},
		CardID: store.CardID(Tenant, token), State: recurrence.Active,
	}
}

// Agree stores a monthly recurrence, changed as a test needs it, with its card.
func (e *Env) Agree(id, next, token string, change ...func(*store.Recurrence)) {
	e.t.Helper()
	r := e.Recurrence(id, next, token)
	for _, f := range change {
		f(&r)
	}
	e.InTx(func(tx pgx.Tx) error {
		if err := e.Store.InsertCards(e.Ctx(), tx, []store.Card{{Tenant: Tenant, Token: token, Brand: e.Brand}}); err != nil {
			return err
		}
		in, err := e.Store.InsertRecurrences(e.Ctx(), tx, []store.Recurrence{r})
		if err == nil && len(in) != 1 {
			err = fmt.Errorf("recurrence %s is there already", id)
		}
		return err
	})
}

// Tick is a tick of a job at a nominal time.
func Tick(job, nominal string) *eventsv1.Tick {
	at := At(nominal)
	schedule := strings.TrimPrefix(job, store.Service+"/")
	return &eventsv1.Tick{
		TickId: fmt.Sprintf("%s/%s/%s@%s", Tenant, store.Service, schedule, nominal), Tenant: Tenant, Service: store.Service, Schedule: schedule, Job: job,
		NominalTime: timestamppb.New(at), LocalDate: at.Add(-3 * time.Hour).Format(time.DateOnly), WindowStart: timestamppb.New(at.AddDate(0, 0, -1)),
		WindowEnd: timestamppb.New(at), Timezone: "America/Sao_Paulo", Trigger: "cron", State: "fired",
	}
}

// Morning charges what is due on a local date, at 08:00; Retry tries again what was declined, at 10:00. Both set the clock and
// do all the work that follows.
func (e *Env) Morning(date string) uuid.UUID {
	return e.Run(Tick(plan.JobChargeDue, date+"T11:00:00Z"))
}

// Retry is the 10:00 job of a local date; see [Env.Morning].
func (e *Env) Retry(date string) uuid.UUID {
	return e.Run(Tick(plan.JobRetryFailed, date+"T13:00:00Z"))
}

// Run fires a tick, a moment after its time, and hands over the commands that follow until there are none.
func (e *Env) Run(tick *eventsv1.Tick) uuid.UUID {
	e.t.Helper()
	if at := tick.GetNominalTime().AsTime().Add(5 * time.Second); at.After(e.Clock.Now()) {
		e.Clock.Set(at)
	}
	if err := e.Fire(tick); err != nil {
		e.t.Fatal(err)
	}
	e.Work()
	return run.ID(tick.GetTickId())
}

// Fire hands a tick to its consumer.
func (e *Env) Fire(tick *eventsv1.Tick) error {
	return e.Schema.Fire(e.Ticks.Handle, tick, tick.GetTickId())
}

// Work hands over commands from the outbox until there are none left.
func (e *Env) Work() {
	e.t.Helper()
	e.Schema.Work(e.Exec.Handle)
}

// Hand gives a command to its handler.
func (e *Env) Hand(m outboxtest.Message) error { return e.Schema.Hand(e.Exec.Handle, m) }

// LookUp advances the clock by a span and asks the gateway about everything that is due then.
func (e *Env) LookUp(after time.Duration) {
	e.t.Helper()
	e.Clock.Advance(after)
	for more := true; more; {
		var err error
		if more, err = e.Worker.Pass(e.Ctx()); err != nil {
			e.t.Fatal(err)
		}
	}
	e.Work()
}

// Webhook is news from the gateway about an attempt.
func (e *Env) Webhook(reference string) {
	e.t.Helper()
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.Worker.Match(e.Ctx(), tx, Tenant, "cielo", []webhook.Notice{{Reference: reference}})
		return err
	})
}

// Hooks takes in webhooks as the service does.
func (e *Env) Hooks() *webhook.Receiver {
	return webhook.New(store.Service, nil, webhook.Deps{
		Pool: e.Pool, Clock: e.Clock, Logger: e.logger(), Registry: prometheus.NewRegistry(),
		Match: webhook.ByProviderID(attempt.OfProviderIDs, e.Worker.Match),
	})
}

// Post stores a webhook of the gateway that names a sale by its id, as if it had come some time ago, and has it tried.
func (e *Env) Post(id string, ago time.Duration) {
	e.t.Helper()
	e.SQL("INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at) VALUES ($1, 'cielo', sha256(convert_to($2, 'UTF8')), '', ARRAY[$2], $3)",
		Tenant, id, e.Clock.Now().Add(-ago))
	e.SQL("INSERT INTO webhook_queue (webhook_id, next_try_at) SELECT id, received_at FROM webhooks WHERE refs = ARRAY[$1]", id)
	e.Try()
}

// Try tries the webhooks that are due.
func (e *Env) Try() {
	e.t.Helper()
	if _, err := e.Hooks().Step(e.Ctx()); err != nil {
		e.t.Fatal(err)
	}
}

// Sweep advances the clock past the sweeper's patience, sweeps, and does what it found.
func (e *Env) Sweep() {
	e.t.Helper()
	e.Clock.Advance(time.Minute)
	if err := e.Sweeper.Once(e.Ctx()); err != nil {
		e.t.Fatal(err)
	}
	for _, step := range []string{"start_run", "settle_run", "wake_planning", "end_charge", "close_lost"} {
		if n := testutil.ToFloat64(e.Sweeper.Stuck.WithLabelValues(step)); n != 0 {
			e.t.Fatalf("an error keeps %v from %s", n, step)
		}
	}
	e.Work()
}

// Decide runs what a person does, and returns its error.
func (e *Env) Decide(fn func(ctx context.Context, tx pgx.Tx) error) error {
	ctx := e.Ctx()
	err := pg.InTx(ctx, e.Pool, func(tx pgx.Tx) error { return fn(ctx, tx) })
	e.Work()
	return err
}

// WhileTimePasses runs fn while the clock moves on whenever somebody waits for it.
func (e *Env) WhileTimePasses(fn func()) {
	e.t.Helper()
	ctx, stop := context.WithCancel(e.t.Context())
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for e.Clock.BlockUntil(ctx, 1) == nil {
			e.Clock.Advance(time.Second)
		}
	}()
	fn()
	stop()
	<-moved
}
