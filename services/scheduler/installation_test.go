package scheduler_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream/natstest"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 30 * time.Second

// wallClock is a clock that a test sets.
type wallClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *wallClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *wallClock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}

func (c *wallClock) set(t testing.TB, text string) {
	t.Helper()
	at := instant(t, text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// installation is a database and a broker, on which services start and stop.
type installation struct {
	t     testing.TB
	ctx   context.Context
	dsn   string
	nats  *natstest.Node
	file  *config.File
	clock *wallClock
}

func install(t testing.TB, now string) *installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	t.Cleanup(cancel)
	in := &installation{t: t, ctx: ctx, dsn: pgtest.Installed(t, "scheduler"), nats: natstest.Provisioned(t), clock: &wallClock{}, file: tenants(t)}
	in.clock.set(t, now)
	return in
}

func tenants(t testing.TB) *config.File {
	t.Helper()
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	payouts := func(name, cron, catchUp string) config.Schedule {
		return config.Schedule{Name: name, Service: "payouts", Job: "payouts/" + name, Cron: cron, CatchUp: catchUp, CatchUpCap: 366}
	}
	return &config.File{
		Path: "tenants.yaml",
		Tenants: []config.Tenant{
			{ID: "lebenis", Timezone: "Africa/Abidjan", Location: zone("Africa/Abidjan"), Schedules: []config.Schedule{
				payouts("daily", "59 23 * * *", "all"), payouts("check-pending", "0 * * * *", "latest"), payouts("reset-breaks", "0 0 * * *", "latest"),
			}},
			{ID: "wallclub", Timezone: "America/Sao_Paulo", Location: zone("America/Sao_Paulo"), Schedules: []config.Schedule{payouts("daily", "0 8 * * *", "all")}},
		},
	}
}

// tokens: the names are also the secrets.
var tokens = []config.Token{
	{Name: "admin", Role: "admin", Tenants: []string{"*"}, Secret: "admin"},
	{Name: "operator", Role: "operator", Tenants: []string{"lebenis"}, Secret: "operator"},
	{Name: "viewer", Role: "viewer", Tenants: []string{"lebenis"}, Secret: "viewer"},
	{Name: "approver", Role: "approver", Tenants: []string{"lebenis"}, Secret: "approver"},
}

// replica is a running scheduler.
type replica struct {
	*scheduler.Service
	in    *installation
	stop  func() error // and what Run returned
	ended chan struct{}
	err   error
}

// start starts a scheduler and returns when it is ready.
func (in *installation) start() *replica {
	in.t.Helper()
	who, err := auth.NewStatic(tokens)
	if err != nil {
		in.t.Fatal(err)
	}
	tel, err := telemetry.New(in.ctx, "scheduler", "error", io.Discard)
	if err != nil {
		in.t.Fatal(err)
	}
	nc, err := process.Connect(in.ctx, in.nats.URL, in.nats.Creds, "scheduler", tel.Logger)
	if err != nil {
		in.t.Fatal(err)
	}
	env := config.Process{PostgresDSN: in.dsn, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"}
	s, err := scheduler.New(scheduler.Config{File: in.file, Process: env}, scheduler.Deps{NATS: nc, Auth: who, Clock: in.clock, Telemetry: tel})
	if err != nil {
		in.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(in.ctx)
	r := &replica{Service: s, in: in, ended: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(r.ended)
		r.err = s.Run(ctx, func() { close(ready) })
		nc.Close()
	}()
	r.stop = func() error { cancel(); <-r.ended; return r.err }
	in.t.Cleanup(func() {
		if err := r.stop(); err != nil {
			in.t.Errorf("the scheduler ended with %v", err)
		}
	})
	select {
	case <-ready:
	case <-r.ended:
		in.t.Fatalf("the scheduler did not start: %v", r.err)
	}
	return r
}

// as is a client with somebody's token.
func (r *replica) as(token string) schedulerv1.SchedulerServiceClient {
	r.in.t.Helper()
	conn, err := rpc.Dial(r.GRPCAddr(), token)
	if err != nil {
		r.in.t.Fatal(err)
	}
	r.in.t.Cleanup(func() { _ = conn.Close() })
	return schedulerv1.NewSchedulerServiceClient(conn)
}

func (in *installation) trigger(c schedulerv1.SchedulerServiceClient, name, at string) *schedulerv1.TriggerScheduleResponse {
	in.t.Helper()
	resp, err := c.TriggerSchedule(in.ctx, &schedulerv1.TriggerScheduleRequest{Name: name, NominalTime: timestamppb.New(instant(in.t, at))})
	if err != nil {
		in.t.Fatal(err)
	}
	return resp
}

// report publishes a run event as the payouts service does.
func (in *installation) report(tick, from, to string, version int64, counts map[string]int64) {
	in.t.Helper()
	kind, ok := event.Run.Event(from, to)
	if !ok {
		in.t.Fatalf("runs do not go from %s to %s", from, to)
	}
	body, err := event.Encode(&eventsv1.Run{
		RunId: "run-of-" + tick, TickId: tick, Tenant: "lebenis", Service: "payouts", Schedule: "daily", Job: "payouts/daily",
		NominalTime: timestamppb.New(in.clock.Now()), LocalDate: "2025-01-24", State: to, PreviousState: from, Counts: counts,
	})
	if err != nil {
		in.t.Fatal(err)
	}
	in.publish(event.New(in.ctx, "payouts", "lebenis", kind, "run-of-"+tick, version, 0, in.clock.Now()), body)
}

func (in *installation) publish(e event.Envelope, body []byte) {
	in.t.Helper()
	msg := nats.NewMsg(e.StreamSubject())
	for k, v := range e.Headers() {
		msg.Header[k] = []string{v} // exactly as written: nats.Header would change the case
	}
	msg.Data = body
	if _, err := in.nats.JS.PublishMsg(in.ctx, msg, jetstream.WithMsgID(e.ID)); err != nil {
		in.t.Fatal(err)
	}
}

// follow reads a stream from its beginning.
func (in *installation) follow(name string, filter string) jetstream.MessagesContext {
	in.t.Helper()
	c, err := in.nats.JS.OrderedConsumer(in.ctx, name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	if err != nil {
		in.t.Fatal(err)
	}
	messages, err := c.Messages()
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(messages.Stop)
	return messages
}

// next waits for a message.
func (in *installation) next(m jetstream.MessagesContext) jetstream.Msg {
	in.t.Helper()
	msg, err := m.Next(jetstream.NextContext(in.ctx))
	if err != nil {
		in.t.Fatal(err)
	}
	return msg
}

// stored counts the messages of a stream.
func (in *installation) stored(name string) uint64 {
	in.t.Helper()
	s, err := in.nats.JS.Stream(in.ctx, name)
	if err != nil {
		in.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// pool is a connection to the scheduler's tables.
func (in *installation) pool() *pgxpool.Pool {
	in.t.Helper()
	return pgtest.Open(in.t, pg.Config{DSN: in.dsn, Schema: "scheduler"})
}
