package payouts_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 30 * time.Second

// wallClock is a clock that a test sets; who sleeps on it sleeps on real time.
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
	case <-time.After(min(d, 100*time.Millisecond)):
	}
	return ctx.Err()
}

func (c *wallClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// installation is a database, a broker and a provider, on which the service starts and stops.
type installation struct {
	t     testing.TB
	ctx   context.Context
	dsn   string
	nats  *natstest.Node
	sim   *simulator.Simulator
	file  *config.File
	clock *wallClock
}

func install(t testing.TB) *installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	t.Cleanup(cancel)
	in := &installation{t: t, ctx: ctx, dsn: pgtest.Installed(t, "payouts"), nats: natstest.Provisioned(t), clock: &wallClock{at: payoutstest.At("2025-01-24T23:59:05Z")}}
	var err error
	if in.sim, err = simulator.New(simulator.Config{Clock: in.clock, Orange: simulator.OrangeConfig{TokensPerMinute: -1}}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(in.sim)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	in.file = payoutstest.Lebenis()
	in.file.Tenants[0].Providers["orange"] = config.Provider{
		Name: "orange", Kind: "orange_omr", BaseURL: srv.URL + "/orange-money-b2b/v1/ci", TokenURL: srv.URL + "/oauth/v3/token",
		ClientID: "client", ClientSecret: "secret", PosID: "pos", CallbackAuthorization: "Basic Y2FsbGJhY2s6c2VjcmV0", FormsStep: true,
		RatePerSec: 1000, Concurrency: 4, Timeout: time.Second, QuietTime: time.Second, ReviewAfter: 24 * time.Hour,
		LookupAfter: []time.Duration{time.Second, 2 * time.Second}, RetryAfter: []time.Duration{time.Minute},
	}
	return in
}

// tokens: the names are also the secrets.
func tokens() []config.Token {
	return []config.Token{
		{Name: "admin", Role: "admin", Tenants: []string{"*"}, Secret: "admin"},
		{Name: "operator", Role: "operator", Tenants: []string{"lebenis"}, Secret: "operator"},
		{Name: "viewer", Role: "viewer", Tenants: []string{"lebenis"}, Secret: "viewer"},
		{Name: "stranger", Role: "admin", Tenants: []string{"wallclub"}, Secret: "stranger"},
	}
}

// replica is a running service.
type replica struct {
	*payouts.Service
	in    *installation
	stop  func() error // and what Run returned
	ended chan struct{}
	err   error
}

// start starts a replica and returns when it is ready.
func (in *installation) start() *replica {
	in.t.Helper()
	who, err := auth.NewStatic(tokens())
	if err != nil {
		in.t.Fatal(err)
	}
	tel, err := telemetry.New(in.ctx, "payouts", "error", io.Discard)
	if err != nil {
		in.t.Fatal(err)
	}
	nc, err := process.Connect(in.ctx, in.nats.URL, in.nats.Creds, "payouts", tel.Logger)
	if err != nil {
		in.t.Fatal(err)
	}
	env := config.Process{PostgresDSN: in.dsn, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"}
	s, err := payouts.New(payouts.Config{File: in.file, Process: env}, payouts.Deps{NATS: nc, Auth: who, Clock: in.clock, Telemetry: tel})
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
			in.t.Errorf("the service ended with %v", err)
		}
	})
	select {
	case <-ready:
	case <-r.ended:
		in.t.Fatalf("the service did not start: %v", r.err)
	}
	return r
}

// as is a client with somebody's token.
func (r *replica) as(token string) payoutsv1.PayoutsServiceClient {
	r.in.t.Helper()
	return payoutsv1.NewPayoutsServiceClient(r.conn(token))
}

func (r *replica) conn(token string) *grpc.ClientConn {
	r.in.t.Helper()
	conn, err := rpc.Dial(r.GRPCAddr(), token)
	if err != nil {
		r.in.t.Fatal(err)
	}
	r.in.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// verify recomputes the books.
func (r *replica) verify() {
	r.in.t.Helper()
	v, err := ledgerv1.NewLedgerServiceClient(r.conn("viewer")).VerifyLedger(r.in.ctx, &ledgerv1.VerifyLedgerRequest{Tenant: payoutstest.Tenant})
	if err != nil || !v.GetBalanced() || v.GetPostings() == 0 {
		r.in.t.Errorf("books: %v, %v", v, err)
	}
}

// imported is the answer to an import.
type imported struct {
	summary  *payoutsv1.ImportProgress
	refused  []*payoutsv1.ImportRefusal
	progress int
}

// importPayments sends a file in chunks.
func (in *installation) importPayments(c payoutsv1.PayoutsServiceClient, format string, data []byte) imported {
	in.t.Helper()
	s, err := c.ImportPayments(in.ctx)
	if err != nil {
		in.t.Fatal(err)
	}
	if err := s.Send(&payoutsv1.ImportRequest{Options: &payoutsv1.ImportOptions{Tenant: payoutstest.Tenant, Format: format}}); err != nil {
		in.t.Fatal(err)
	}
	go func() {
		for len(data) > 0 {
			n := min(len(data), 4000)
			if s.Send(&payoutsv1.ImportRequest{Data: data[:n]}) != nil {
				return
			}
			data = data[n:]
		}
		_ = s.CloseSend()
	}()
	var got imported
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			in.t.Fatal(err)
		}
		switch {
		case m.GetRefusal() != nil:
			got.refused = append(got.refused, m.GetRefusal())
		case m.GetProgress() != nil:
			got.progress++
		default:
			got.summary = m.GetSummary()
		}
	}
}

// tick publishes a tick as the scheduler does.
func (in *installation) tick(tick *eventsv1.Tick, msgID string) {
	in.t.Helper()
	body, err := event.Encode(tick)
	if err != nil {
		in.t.Fatal(err)
	}
	msg := nats.NewMsg(stream.TickSubject(tick.GetTenant(), tick.GetService(), tick.GetSchedule()))
	env := event.New(in.ctx, "scheduler", tick.GetTenant(), "tick.fired", tick.GetTickId(), 1, 0, in.clock.Now())
	env.Actor, env.CorrelationID = "service:scheduler", tick.GetTickId()
	for k, v := range env.Headers() {
		msg.Header[k] = []string{v} // exactly as written: nats.Header would change the case
	}
	msg.Data = body
	if _, err := in.nats.JS.PublishMsg(in.ctx, msg, jetstream.WithMsgID(msgID)); err != nil {
		in.t.Fatal(err)
	}
}

// until polls for something that becomes so.
func (in *installation) until(what string, so func() bool) {
	in.t.Helper()
	in.within(patience, what, so)
}

func (in *installation) within(limit time.Duration, what string, so func() bool) {
	in.t.Helper()
	for deadline := time.After(limit); !so(); {
		select {
		case <-deadline:
			in.t.Fatalf("not within %s: %s", limit, what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// run waits until a tick's run is complete.
func (in *installation) run(c payoutsv1.PayoutsServiceClient, tickID string) *payoutsv1.Run {
	in.t.Helper()
	var r *payoutsv1.Run
	in.until("run of "+tickID+" completed", func() bool {
		var err error
		r, err = c.GetRun(in.ctx, &payoutsv1.GetRunRequest{Tenant: payoutstest.Tenant, Id: tickID})
		return err == nil && r.GetState() == "completed"
	})
	return r
}
