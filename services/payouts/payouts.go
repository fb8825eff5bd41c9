// Package payouts pays a tenant's payees what they have earned: it takes payments in, turns each evening's ticks into
// payouts, sends them through the tenant's providers, follows every one until its outcome is proven, and keeps the books.
package payouts

import (
	"context"
	"fmt"
	"log/slog"
	"time"
	_ "time/tzdata" // the same zones on a machine without its own

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/audit"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/deadletter"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/lifecycle"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/retention"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/internal/web"
	"github.com/agogopay/agogo/internal/webhook"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/adapter"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/migrations"
)

// name is the service's name and that of its schema.
const name = "payouts"

// item is what one row of its work is called in metrics.
const item = "payout"

// maxConns is for as many pages, outcomes and lookups at once as a process works on; sends hold no connection.
const maxConns = 12

// Config is what an installation decides.
type Config struct {
	File    *config.File
	Process config.Process
}

// Deps are given by the process.
type Deps struct {
	NATS      *nats.Conn
	Auth      auth.Authenticator
	Clock     clock.Clock
	Telemetry *telemetry.Telemetry
}

// Service is the payouts service.
type Service struct {
	cfg        Config
	deps       Deps
	log        *slog.Logger
	js         jetstream.JetStream
	connectors *connector.Set
	owner      string // of leases: another one after each start
	grpc       *rpc.Server
	http       *web.Server
	epoch      *event.Epoch // of the tables; all parts share it
}

// Check reports what the service would refuse to run with, of a file that is right in itself.
func Check(file *config.File) error {
	_, err := build(file, clock.Real())
	return err
}

// build makes the tenants' connectors, if all that is asked of the file is there.
func build(file *config.File, clk clock.Clock) (*connector.Set, error) {
	connectors, err := connector.Build(file, clk, adapter.Use())
	if err != nil {
		return nil, err
	}
	return connectors, signs(file)
}

// New builds the tenants' connectors and prepares the servers. It connects to nothing.
func New(c Config, d Deps) (*Service, error) {
	connectors, err := build(c.File, d.Clock)
	if err != nil {
		return nil, err
	}
	js, err := stream.JetStream(d.NATS)
	if err != nil {
		return nil, err
	}
	transport, err := rpc.ServerTLS(c.Process.TLSCert, c.Process.TLSKey)
	if err != nil {
		return nil, err
	}
	server, err := rpc.NewServer(rpc.ServerConfig{
		Addr: c.Process.GRPCAddr, Auth: d.Auth, Policy: audit.WithPolicy(restore.WithPolicy(books.WithPolicy(admin.Policy()))), Telemetry: d.Telemetry, TLS: transport,
	})
	if err != nil {
		return nil, err
	}
	return &Service{
		epoch: &event.Epoch{}, cfg: c, deps: d, log: d.Telemetry.Logger, js: js, connectors: connectors, owner: uuid.NewString(), grpc: server,
		http: &web.Server{Address: c.Process.HTTPAddr},
	}, nil
}

// signs checks that days which a schedule closes can be signed.
func signs(file *config.File) error {
	for _, t := range file.Tenants {
		for _, sc := range t.Schedules {
			if sc.Job == runs.JobClose && file.Reports.SigningKey == nil {
				return fmt.Errorf("tenant %s: schedule %s closes days, and there is no key to sign reports with: name one as reports.signing_key", t.ID, sc.Name)
			}
		}
	}
	return nil
}

// GRPCAddr is where the admin service listens once Run has called ready.
func (s *Service) GRPCAddr() string { return s.grpc.Addr() }

// HTTPAddr is where health, metrics and webhooks are served once Run has called ready.
func (s *Service) HTTPAddr() string { return s.http.Addr() }

// Migrations are the tables of the service's schema, shared mechanism first.
func Migrations() []pg.Set {
	return []pg.Set{
		outbox.Migrations, inbox.Migrations, auth.Migrations, ledger.Migrations, provider.Migrations, attempt.Migrations,
		webhook.Migrations, run.Migrations, reconcile.Migrations, review.Migrations, restore.Migrations,
		precheck.Migrations, migrations.Set,
	}
}

// Run brings the tables up to date, then pays until ctx ends or a part fails. ready (may be nil) is called when everything
// is up.
func (s *Service) Run(ctx context.Context, ready func()) error {
	database := pg.Config{DSN: s.cfg.Process.PostgresDSN, Schema: name, AppName: "agogo-" + name, MaxConns: maxConns}
	if err := pg.Await(ctx, database, s.log); err != nil {
		return err
	}
	if err := pg.Migrate(ctx, database, Migrations()...); err != nil {
		return err
	}
	pool, err := pg.Open(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close() // when every part that uses it has ended
	p := s.assemble(pool)
	payoutsv1.RegisterPayoutsServiceServer(s.grpc, p.admin)
	audit.Register(s.grpc, pool)
	restore.Register(s.grpc, p.marker)
	if err := p.guard.Start(ctx); err != nil {
		return err
	}
	books.Register(s.grpc, pool, sources())

	// The group stops what it started in reverse: first nothing new is begun, then what is under way ends, at last nobody
	// is left to answer.
	g := lifecycle.New(s.log, 0)
	s.http.Handler = p.mux(s.deps.Telemetry.Handler(g.Ready))
	g.Add("health, metrics and webhooks", s.http.Start, s.http.Stop)
	g.Check("postgres", pool.Ping)
	g.Check("nats", stream.Connected(s.deps.NATS))
	g.Add("grpc", s.grpc.Start, s.grpc.Stop)
	g.Go("outbox relay", p.outbox.Run)
	g.Go("restore guard", p.guard.Run)
	g.Check("restore guard", p.guard.Ready)
	g.Add("replicas", p.replicas.Start, nil)
	g.Go("replicas' heartbeat", p.replicas.Run)
	g.Check("replicas", p.replicas.Ready)
	g.Go("webhooks", p.guard.Before(p.webhooks.Run))
	g.Go("reconcile", p.guard.Before(p.reconcile.Run))
	g.Go("prechecks", p.guard.Before(p.prechecks.Run))
	g.Go("recipients", p.guard.Before(p.recipients.Run))
	g.Go("daily close", p.guard.Before(p.closer.Run))
	for _, l := range s.loops(p) {
		g.Go(l.Name(), p.guard.Before(l.Run))
		g.Check(l.Name(), p.guard.ReadyAfter(l.Ready))
	}
	old := []retention.Rule{inbox.Retention(pool, keepInbox), auth.Retention(pool), p.webhooks.Retention(), p.prechecks.Gate.Retention(pool), p.closer.Retention(), p.float.Retention()}
	g.Go("retention", retention.New(s.deps.Clock, s.log, old...).Run)
	g.Go("float", p.guard.Before(p.float.Run))
	g.Go("sweeper", p.guard.Before(p.sweeper.Run))
	return g.Run(ctx, ready)
}

// loops handle ticks and commands. A dead letter of either comes back, replayed, among the commands.
func (s *Service) loops(p *parts) []*stream.Loop {
	teller := &deadletter.Teller{
		Service: name, Pool: p.store.Runs.Pool, Outbox: p.outbox, Clock: s.deps.Clock, Epoch: s.epoch, Tenant: p.store.Runs.TenantOf,
	}
	deps := stream.Deps{
		JS: s.js, Service: name, Logger: s.log, DeadLettered: teller.Tell, Registry: s.deps.Telemetry.Registry,
		Traces: s.deps.Telemetry.Traces,
	}
	// A page may take minutes, so it is not waited for: a stop ends its claims at once, and the calls that are under way are
	// seen to their answers, or else their payouts would be in doubt.
	exec := deps
	exec.DrainBudget, exec.Patience = drainPages, drainCalls
	commands := stream.Route(p.exec.Handle, map[string]stream.Handler{
		stream.PayoutsTicks: p.ticks.Handle, stream.PayoutsExec: p.exec.Handle,
	})
	return []*stream.Loop{
		stream.NewLoop(stream.Consumer(stream.PayoutsTicks), p.ticks.Handle, deps),
		stream.NewLoop(stream.Consumer(stream.PayoutsExec), commands, exec),
	}
}

const (
	drainPages = 500 * time.Millisecond
	drainCalls = 15 * time.Second
)

// keepInbox exceeds the age of TICKS by far. A tick that comes back after that still finds its run.
const keepInbox = 60 * 24 * time.Hour
