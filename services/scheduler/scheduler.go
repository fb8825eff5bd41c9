// Package scheduler fires the ticks of every tenant's schedules and shows the runs that they started. It decides when
// something is due, never what is to be done then.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"
	_ "time/tzdata" // the same zones on a machine without its own

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/audit"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/deadletter"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/lifecycle"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/retention"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/internal/web"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/admin"
	"github.com/agogopay/agogo/services/scheduler/internal/metrics"
	"github.com/agogopay/agogo/services/scheduler/internal/runs"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
	"github.com/agogopay/agogo/services/scheduler/internal/ticker"
	"github.com/agogopay/agogo/services/scheduler/migrations"
)

// name is the service's name and that of its schema.
const name = "scheduler"

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

// Service is the scheduler.
type Service struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	js    jetstream.JetStream
	rules map[schedule.Key]schedule.Rule
	grpc  *rpc.Server
	http  *web.Server
	epoch *event.Epoch // of the tables; all parts share it
}

// Check reports what the service would refuse to run with, of a file that is right in itself.
func Check(file *config.File) error {
	_, err := rulesOf(file)
	return err
}

// New checks the schedules of the tenants file and prepares the servers. It connects to nothing.
func New(c Config, d Deps) (*Service, error) {
	rules, err := rulesOf(c.File)
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
	server, err := rpc.NewServer(rpc.ServerConfig{Addr: c.Process.GRPCAddr, Auth: d.Auth, Policy: audit.WithPolicy(restore.WithPolicy(admin.Policy())), Telemetry: d.Telemetry, TLS: transport})
	if err != nil {
		return nil, err
	}
	return &Service{
		epoch: &event.Epoch{}, cfg: c, deps: d, log: d.Telemetry.Logger, js: js, rules: rules, grpc: server,
		http: &web.Server{Address: c.Process.HTTPAddr},
	}, nil
}

// GRPCAddr is where the admin service listens once Run has called ready.
func (s *Service) GRPCAddr() string { return s.grpc.Addr() }

// HTTPAddr is where health and metrics are served once Run has called ready.
func (s *Service) HTTPAddr() string { return s.http.Addr() }

// Migrations are the tables of the service's schema, shared mechanism first.
func Migrations() []pg.Set {
	return []pg.Set{outbox.Migrations, inbox.Migrations, auth.Migrations, restore.Migrations, migrations.Set}
}

// Run brings the tables and the stored schedules up to date, then schedules until ctx ends or a part fails. ready (may be
// nil) is called when everything is up.
func (s *Service) Run(ctx context.Context, ready func()) error {
	database := pg.Config{DSN: s.cfg.Process.PostgresDSN, Schema: name, AppName: "agogo-" + name}
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
	guard := restore.NewGuard(restore.Deps{Service: name, Pool: pool, JS: s.js, Epoch: s.epoch, Logger: s.log, Registry: s.deps.Telemetry.Registry})
	relay := outbox.New(outbox.Config{Service: name}, outbox.Deps{
		Pool: pool, JS: s.js, Logger: s.log, Registerer: s.deps.Telemetry.Registry, Refuse: guard.Refuse,
	})
	st := &store.Store{Pool: pool, Outbox: relay, Clock: s.deps.Clock, Logger: s.log, Epoch: s.epoch}
	wakes := ticker.New(st.Fire, s.log)
	lease := ticker.NewLease(st, uuid.NewString(), clock.Real().Now, wakes.Wake, s.log)
	measured, err := metrics.New(s.deps.Telemetry.Registry, lease.Leads)
	if err != nil {
		return err
	}
	st.Settled = measured.Settled
	if err := guard.Start(ctx); err != nil {
		return err
	}
	synced := false // now, so that who reads the schedules as soon as all is up sees them, or when a restore is marked
	if guard.State() == restore.Running {
		if err := s.sync(ctx, st); err != nil {
			return err
		}
		synced = true
	}

	watchers := runs.NewWatchers()
	loops := s.loops(st, &runs.Consumer{DB: pool, Recorder: st, Watchers: watchers})
	schedulerv1.RegisterSchedulerServiceServer(s.grpc, admin.New(st, watchers, s.js, s.cfg.File, s.deps.Clock, s.log))
	audit.Register(s.grpc, pool)
	restore.Register(s.grpc, &restore.Marker{Guard: guard, Outbox: relay, Clock: s.deps.Clock, Tenants: s.cfg.File.IDs()})

	// The group stops what it started in reverse: first nothing new is begun, at last nobody is left to answer.
	g := lifecycle.New(s.log, 0)
	s.http.Handler = s.deps.Telemetry.Handler(g.Ready)
	g.Add("health and metrics", s.http.Start, s.http.Stop)
	g.Check("postgres", pool.Ping)
	g.Check("nats", stream.Connected(s.deps.NATS))
	g.Add("grpc", s.grpc.Start, s.grpc.Stop)
	g.Go("outbox relay", relay.Run)
	g.Go("restore guard", guard.Run)
	g.Check("restore guard", guard.Ready)
	for _, l := range loops {
		g.Go(l.Name(), guard.Before(l.Run))
		g.Check(l.Name(), guard.ReadyAfter(l.Ready))
	}
	g.Go("retention", retention.New(s.deps.Clock, s.log, inbox.Retention(pool, keepInbox), auth.Retention(pool)).Run)
	g.Go("metrics", func(ctx context.Context) error {
		return measured.Watch(ctx, watchEvery, s.deps.Clock, st.OldestDue, s.log)
	})
	g.Go("lease", lease.Run)
	g.Go("ticker", guard.Before(func(ctx context.Context) error {
		if !synced {
			if err := s.sync(ctx, st); err != nil {
				return err
			}
		}
		return wakes.Run(ctx, lease, s.rules)
	}))
	return g.Run(ctx, ready)
}

// sync makes the stored schedules those of the tenants file.
func (s *Service) sync(ctx context.Context, st *store.Store) error {
	changes, err := st.Sync(ctx, s.rules)
	if err != nil {
		return err
	}
	for _, c := range changes {
		s.log.InfoContext(ctx, "schedule changed", "schedule", c.String(), "event", string(c.Event), "cron", c.Cron.String(), "timezone", c.Zone.String())
	}
	return nil
}

// loops follow the runs of all services, replay the dead letters of that, and keep watch over everybody's.
func (s *Service) loops(st *store.Store, reports *runs.Consumer) []*stream.Loop {
	teller := &deadletter.Teller{Service: name, Pool: st.Pool, Outbox: st.Outbox, Clock: s.deps.Clock, Epoch: s.epoch}
	deps := stream.Deps{
		JS: s.js, Service: name, Logger: s.log, DeadLettered: teller.Tell, Registry: s.deps.Telemetry.Registry, Traces: s.deps.Telemetry.Traces,
	}
	unknown := func(_ context.Context, m stream.Message) error {
		return stream.Permanent(fmt.Errorf("%s: the scheduler takes no commands", m.Subject))
	}
	replays := stream.Route(unknown, map[string]stream.Handler{stream.SchedulerRuns: reports.Handle})
	return []*stream.Loop{
		stream.NewLoop(stream.Consumer(stream.SchedulerRuns), reports.Handle, deps),
		stream.NewLoop(stream.Consumer(stream.SchedulerExec), replays, deps),
		stream.NewKeeper(deps),
	}
}

const (
	watchEvery = 5 * time.Second
	// keepInbox exceeds the age of EVENTS by far. A report that comes back after that is still compared by its version.
	keepInbox = 60 * 24 * time.Hour
)
