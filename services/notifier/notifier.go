// Package notifier tells people what happened to their money: it listens to events, keeps what was told to whom, and pushes
// it to their devices. It only listens, so nothing that moves money ever waits for it.
package notifier

import (
	"context"
	"fmt"
	"log/slog"
	"time"
	_ "time/tzdata" // the same zones on a machine without its own

	"github.com/jackc/pgx/v5/pgxpool"
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
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	"github.com/agogopay/agogo/services/notifier/internal/admin"
	"github.com/agogopay/agogo/services/notifier/internal/channel/fcm"
	"github.com/agogopay/agogo/services/notifier/internal/consumer"
	"github.com/agogopay/agogo/services/notifier/internal/delivery"
	"github.com/agogopay/agogo/services/notifier/internal/store"
	"github.com/agogopay/agogo/services/notifier/internal/text"
	"github.com/agogopay/agogo/services/notifier/migrations"
)

// name is the service's name and that of its schema.
const name = store.Service

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

// Service is the notifier.
type Service struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	js    jetstream.JetStream
	texts *text.Texts
	// sender is nil where no push service is configured: rows are written, and nothing is pushed.
	sender delivery.Sender
	grpc   *rpc.Server
	http   *web.Server
	epoch  *event.Epoch // of the tables; all parts share it
}

// Check reports what the service would refuse to run with, of a file that is right in itself.
func Check(file *config.File) error {
	_, err := channel(context.Background(), file) //nolint:forbidigo // it is asked when a file has changed too; nothing is called, and nothing goes on after this
	return err
}

// channel is the way to the push service, nil where none is configured. Nothing is sent yet.
func channel(ctx context.Context, file *config.File) (*fcm.Channel, error) {
	c := file.Notifier.FCM
	if c.ProjectID == "" {
		return nil, nil //nolint:nilnil // no push service is no failure
	}
	return fcm.New(ctx, fcm.Config{ProjectID: c.ProjectID, Endpoint: c.Endpoint, Credentials: c.Credentials})
}

// New checks the texts and the push service's configuration and prepares the servers. It connects to nothing.
func New(c Config, d Deps) (*Service, error) {
	if err := Check(c.File); err != nil {
		return nil, err
	}
	texts, err := text.New()
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
		epoch: &event.Epoch{}, cfg: c, deps: d, log: d.Telemetry.Logger, js: js, texts: texts, grpc: server, http: &web.Server{Address: c.Process.HTTPAddr},
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

// Run brings the tables up to date, then listens, tells and pushes until ctx ends or a part fails. ready (may be nil) is
// called when everything is up.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
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
	registry := s.deps.Telemetry.Registry
	guard := restore.NewGuard(restore.Deps{Service: name, Pool: pool, JS: s.js, Epoch: s.epoch, Logger: s.log, Registry: registry})
	relay := outbox.New(outbox.Config{Service: name}, outbox.Deps{Pool: pool, JS: s.js, Logger: s.log, Registerer: registry, Refuse: guard.Refuse})
	st := &store.Store{Pool: pool, Outbox: relay, Clock: s.deps.Clock, Epoch: s.epoch}
	pushes := delivery.New(delivery.Config{}, delivery.Deps{
		Store: st, Sender: s.sender, Clock: s.deps.Clock, Metrics: delivery.NewMetrics(registry), Logger: s.log,
	})
	listener := consumer.New(consumer.Config{Durable: stream.Notifier, Pushes: s.sender != nil}, consumer.Deps{
		Store: st, Texts: s.texts, Tenants: s.cfg.File, Metrics: consumer.NewMetrics(registry), Logger: s.log, Queued: pushes.Nudge,
	})
	notifierv1.RegisterNotifierServiceServer(s.grpc, admin.New(st, s.cfg.File))
	audit.Register(s.grpc, pool)
	restore.Register(s.grpc, &restore.Marker{Guard: guard, Outbox: relay, Clock: s.deps.Clock, Tenants: s.cfg.File.IDs()})
	if err := guard.Start(ctx); err != nil {
		pool.Close()
		return err
	}
	return s.group(pool, relay, guard, listener, pushes, s.loops(st, listener)).Run(ctx, ready)
}

// connect makes the channel to the push service; nothing is sent yet.
func (s *Service) connect(ctx context.Context) error {
	sender, err := channel(ctx, s.cfg.File)
	if err != nil {
		return err
	}
	if sender == nil {
		s.log.WarnContext(ctx, "no push service is configured (notifier.fcm): notifications are kept and not pushed")
		return nil
	}
	s.sender = sender
	return nil
}

// group orders the parts. It stops them in reverse: no push is begun any more, events that are being handled get their
// transaction, the relay publishes what it has, and at last the pool is closed.
func (s *Service) group(
	pool *pgxpool.Pool, relay *outbox.Outbox, guard *restore.Guard, listener *consumer.Consumer, pushes *delivery.Worker, loops []*stream.Loop,
) *lifecycle.Group {
	g := lifecycle.New(s.log, 0)
	s.http.Handler = s.deps.Telemetry.Handler(g.Ready)
	g.Add("health and metrics", s.http.Start, s.http.Stop)
	g.Add("postgres", nil, func(context.Context) error { pool.Close(); return nil })
	g.Check("postgres", pool.Ping)
	g.Check("nats", stream.Connected(s.deps.NATS))
	g.Add("grpc", s.grpc.Start, s.grpc.Stop)
	g.Go("outbox relay", relay.Run)
	g.Go("restore guard", guard.Run)
	g.Check("restore guard", guard.Ready)
	g.Go("transactions", listener.Run)
	for _, l := range loops {
		g.Go(l.Name(), guard.Before(l.Run))
		g.Check(l.Name(), guard.ReadyAfter(l.Ready))
	}
	g.Go("retention", retention.New(s.deps.Clock, s.log, inbox.Retention(pool, keepInbox), auth.Retention(pool)).Run)
	g.Go("queue metrics", pushes.Sample)
	if s.sender != nil {
		g.Go("pushes", guard.Before(pushes.Run))
	}
	return g
}

// loops listen to the events and to replays of those that died here.
func (s *Service) loops(st *store.Store, c *consumer.Consumer) []*stream.Loop {
	teller := &deadletter.Teller{Service: name, Pool: st.Pool, Outbox: st.Outbox, Clock: s.deps.Clock, Epoch: s.epoch}
	deps := stream.Deps{
		JS: s.js, Service: name, Logger: s.log, DeadLettered: teller.Tell, Registry: s.deps.Telemetry.Registry, Traces: s.deps.Telemetry.Traces,
	}
	unknown := func(_ context.Context, m stream.Message) error {
		return stream.Permanent(fmt.Errorf("%s: the notifier takes no commands", m.Subject))
	}
	replays := stream.Route(unknown, map[string]stream.Handler{stream.Notifier: c.Handle})
	return []*stream.Loop{
		stream.NewLoop(stream.Consumer(stream.Notifier), c.Handle, deps),
		stream.NewLoop(stream.Consumer(stream.NotifierExec), replays, deps),
	}
}

// keepInbox exceeds the age of EVENTS by far. An event that comes back after that still meets its notification's id.
const keepInbox = 60 * 24 * time.Hour
