// Package servicetest runs replicas of one service, as its process does, on a database and a broker of the test's own. Tests
// speak to them through the doors that they have in production: gRPC, HTTP and the streams. It is imported by tests only.
package servicetest

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream/natstest"
	"github.com/agogopay/agogo/internal/telemetry"
)

// Patience is how long a test waits for what takes a moment.
const Patience = 30 * time.Second

// Service is what every service is to whoever runs it.
type Service interface {
	Run(ctx context.Context, ready func()) error
	GRPCAddr() string
	HTTPAddr() string
}

// Process is what a service gets from its process.
type Process struct {
	Env       config.Process
	NATS      *nats.Conn
	Auth      auth.Authenticator
	Telemetry *telemetry.Telemetry
}

// Config says which service is installed.
type Config struct {
	Name   string // of the service and of its schema
	Tenant string // whose people they are that the service lets in
	New    func(Process) (Service, error)
}

// Installation is a database and a broker, on which replicas start and stop. All of it ends with the test.
type Installation struct {
	T    testing.TB
	Ctx  context.Context //nolint:containedctx // of the test
	DSN  string
	NATS *natstest.Node
	c    Config
	who  auth.Authenticator
}

// New prepares an installation. An admin of all tenants, an operator, an approver and a viewer of the tenant, and a stranger,
// who is an admin of another one, are let in with their names as tokens.
func New(t testing.TB, c Config) *Installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*Patience)
	t.Cleanup(cancel)
	tokens := []config.Token{
		{Name: "admin", Role: "admin", Tenants: []string{"*"}, Secret: "admin"},
		{Name: "stranger", Role: "admin", Tenants: []string{"not-" + c.Tenant}, Secret: "stranger"},
	}
	for _, role := range []string{"operator", "approver", "viewer"} {
		tokens = append(tokens, config.Token{Name: role, Role: role, Tenants: []string{c.Tenant}, Secret: role})
	}
	who, err := auth.NewStatic(tokens)
	if err != nil {
		t.Fatal(err)
	}
	return &Installation{T: t, Ctx: ctx, DSN: pgtest.Installed(t, c.Name), NATS: natstest.Provisioned(t), c: c, who: who}
}

// Pool connects to the service's tables. They are there once a replica has started.
func (in *Installation) Pool() *pgxpool.Pool {
	in.T.Helper()
	return pgtest.Open(in.T, pg.Config{DSN: in.DSN, Schema: in.c.Name})
}

// Replica is a running service.
type Replica struct {
	Service
	In     *Installation
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended is closed
}

// Start starts a replica and returns when it is ready. A replica that ends with an error is a failure of the test.
func (in *Installation) Start() *Replica {
	in.T.Helper()
	tel, err := telemetry.New(in.Ctx, in.c.Name, "error", io.Discard)
	if err != nil {
		in.T.Fatal(err)
	}
	nc, err := process.Connect(in.Ctx, process.Server{URL: in.NATS.URL, Creds: in.NATS.CredsOf(in.c.Name)}, in.c.Name, tel.Logger)
	if err != nil {
		in.T.Fatal(err)
	}
	env := config.Process{PostgresDSN: in.DSN, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"}
	s, err := in.c.New(Process{Env: env, NATS: nc, Auth: in.who, Telemetry: tel})
	if err != nil {
		in.T.Fatal(err)
	}
	r := &Replica{Service: s, In: in, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(in.Ctx)
	r.cancel = cancel
	ready := make(chan struct{})
	go func() {
		defer close(r.ended)
		r.err = s.Run(ctx, func() { close(ready) })
		nc.Close()
	}()
	in.T.Cleanup(func() {
		if err := r.Stop(); err != nil {
			in.T.Errorf("%s ended with %v", in.c.Name, err)
		}
	})
	select {
	case <-ready:
	case <-r.ended:
		in.T.Fatalf("%s did not start: %v", in.c.Name, r.err)
	}
	return r
}

// Stop ends the replica, if it has not ended, and returns what its Run returned.
func (r *Replica) Stop() error {
	r.cancel()
	<-r.ended
	return r.err
}

// Conn connects with somebody's token until the test ends.
func (r *Replica) Conn(token string) *grpc.ClientConn {
	r.In.T.Helper()
	conn, err := rpc.Dial(r.GRPCAddr(), token)
	if err != nil {
		r.In.T.Fatal(err)
	}
	r.In.T.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Get reads a page of the replica's HTTP server.
func (r *Replica) Get(path string) (code int, body string) {
	r.In.T.Helper()
	req, err := http.NewRequestWithContext(r.In.Ctx, http.MethodGet, "http://"+r.HTTPAddr()+path, http.NoBody)
	if err != nil {
		r.In.T.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.In.T.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.In.T.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
