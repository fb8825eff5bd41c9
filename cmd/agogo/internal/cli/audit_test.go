package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/internal/audit"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream/natstest"
	"github.com/agogopay/agogo/internal/telemetry"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site is the part of an installation that the command line sees: a dev.json, a broker, and perhaps a service.
type site struct {
	t    *testing.T
	info dev.Info
}

func siteOn(t *testing.T, n *natstest.Node) *site {
	t.Helper()
	return &site{t: t, info: dev.Info{
		NATS: dev.NATS{URL: n.URL, Creds: n.Creds}, Tenants: []string{"lebenis", "wallclub"},
		GRPC: map[string]string{}, Tokens: map[string]string{"admin": "admin", "lebenis": "lebenis"},
	}}
}

func (s *site) run(args ...string) (code int, said string) {
	s.t.Helper()
	raw, err := json.Marshal(s.info)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "dev.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	code = Main(s.t.Context(), IO{Out: &out, Err: &out, In: strings.NewReader(""), Getenv: func(name string) string {
		return map[string]string{"AGOGO_CONTEXT": path}[name]
	}}, args)
	return code, out.String()
}

// keeper is a service that does nothing but keep a trail.
type keeper struct {
	t    *testing.T
	pool *pgxpool.Pool
	ob   *outbox.Outbox
}

func keep(t *testing.T, s *site, n *natstest.Node) *keeper {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, auth.Migrations)
	ob := outbox.New(outbox.Config{Service: "payouts"}, outbox.Deps{Pool: pool, JS: n.JS})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- ob.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })

	tel, err := telemetry.New(t.Context(), "payouts", "error", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	who, err := auth.NewStatic([]config.Token{
		{Name: "admin", Role: "admin", Tenants: []string{"*"}, Secret: "admin"},
		{Name: "lebenis", Role: "viewer", Tenants: []string{"lebenis"}, Secret: "lebenis"},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: who, Policy: audit.WithPolicy(nil), Telemetry: tel})
	if err != nil {
		t.Fatal(err)
	}
	audit.Register(server, pool)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	s.info.GRPC["payouts"] = server.Addr()
	return &keeper{t: t, pool: pool, ob: ob}
}

func (k *keeper) record(tenant string, n int) {
	k.t.Helper()
	ctx := auth.WithActor(k.t.Context(), auth.Actor{Name: "user:ada", Role: auth.Operator, Tenants: []string{"*"}})
	for i := range n {
		err := pg.InTx(ctx, k.pool, func(tx pgx.Tx) error {
			return auth.Record(ctx, tx, k.ob, auth.Entry{
				Tenant: tenant, Service: "payouts", Action: "HoldPayout", Target: fmt.Sprint(i), At: time.Date(2025, 1, 24, 23, 59, i, 0, time.UTC),
			})
		})
		if err != nil {
			k.t.Fatal(err)
		}
	}
	k.ob.Nudge()
}

// behind is somebody's hand on the database.
func (k *keeper) behind(sql ...string) {
	k.t.Helper()
	for _, q := range append([]string{"ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only"}, sql...) {
		if _, err := k.pool.Exec(k.t.Context(), q); err != nil {
			k.t.Fatal(err)
		}
	}
}

// Promise 9: the trail that people read is the one in the tables.
func TestAuditVerifyComparesTheStreamWithTheTables(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage []string
		code   int
		says   string
	}{
		"whole":            {nil, 0, "7 entries, 0 breaks, 2 chains as in the tables"},
		"changed":          {[]string{"UPDATE audit_entries SET detail = 'nothing' WHERE tenant = 'lebenis' AND seq = 2"}, 1, "lebenis/payouts entry 2: in the service's table: its content"},
		"newest forgotten": {[]string{"DELETE FROM audit_entries WHERE tenant = 'lebenis' AND seq = 4", "UPDATE audit_heads h SET seq = 3, hash = e.hash FROM audit_entries e WHERE e.tenant = 'lebenis' AND e.seq = 3 AND h.tenant = 'lebenis'"}, 1, "lebenis/payouts entry 4: the stream ends with it, but the service's table with entry 3"},
		"all forgotten":    {[]string{"DELETE FROM audit_entries WHERE tenant = 'wallclub'", "DELETE FROM audit_heads WHERE tenant = 'wallclub'"}, 1, "wallclub/payouts entry 3: the stream ends with it, and the service's tables have no entry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := natstest.Provisioned(t)
			s := siteOn(t, n)
			k := keep(t, s, n)
			k.record("lebenis", 4)
			k.record("wallclub", 3)
			if code, said := s.run("audit", "verify"); code != 0 { // waits until everything is published
				t.Fatalf("before: exit %d\n%s", code, said)
			}
			k.behind(c.damage...)
			code, said := s.run("audit", "verify")
			if code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit %d, want %d and %q in\n%s", code, c.code, c.says, said)
			}
		})
	}
}

// A table that was written anew, with a chain that holds in itself, is not what was published.
func TestAuditVerifyFindsARewrittenTable(t *testing.T) {
	t.Parallel()
	n := natstest.Provisioned(t)
	s := siteOn(t, n)
	keep(t, s, n).record("lebenis", 2)
	if code, said := s.run("audit", "verify"); code != 0 {
		t.Fatalf("before: exit %d\n%s", code, said)
	}
	other := natstest.Provisioned(t) // the forger's lines are published elsewhere
	forged := keep(t, s, other)
	forged.record("lebenis", 1)
	forged.record("lebenis", 1)
	if code, said := s.run("audit", "verify"); code != 1 || !strings.Contains(said, "lebenis/payouts entry 2: the stream says something else") {
		t.Errorf("exit %d\n%s", code, said)
	}
}

func TestAuditVerifyDemandsTheBeginningOfTheStream(t *testing.T) {
	t.Parallel()
	n := natstest.Provisioned(t)
	s := siteOn(t, n)
	k := keep(t, s, n)
	k.record("lebenis", 3)
	if code, said := s.run("audit", "verify"); code != 0 {
		t.Fatalf("before: exit %d\n%s", code, said)
	}
	// Provisioned streams refuse to forget; a broker that was set up anew has forgotten.
	fresh := natstest.Provisioned(t)
	s.info.NATS = dev.NATS{URL: fresh.URL, Creds: fresh.Creds}
	var body []byte
	if err := k.pool.QueryRow(t.Context(), "SELECT payload FROM outbox ORDER BY seq DESC LIMIT 1").Scan(&body); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.JS.Publish(t.Context(), "agogo.audit.lebenis.payouts", body); err != nil {
		t.Fatal(err)
	}
	if code, said := s.run("audit", "verify"); code != 1 || !strings.Contains(said, "lebenis/payouts entry 3: missing: what came before it") {
		t.Errorf("exit %d\n%s", code, said)
	}
}

func TestAuditVerifyOfATenant(t *testing.T) {
	t.Parallel()
	n := natstest.Provisioned(t)
	s := siteOn(t, n)
	k := keep(t, s, n)
	k.record("lebenis", 2)
	k.record("wallclub", 1)
	if code, said := s.run("audit", "verify", "--tenant", "lebenis", "--token", "lebenis"); code != 0 || !strings.Contains(said, "2 entries, 0 breaks, 1 chains") {
		t.Errorf("exit %d\n%s", code, said)
	}
	for _, tenant := range []string{"", "wallclub"} {
		if code, said := s.run("audit", "verify", "--tenant", tenant, "--token", "lebenis"); code != 4 {
			t.Errorf("of %q by somebody of lebenis: exit %d, want 4\n%s", tenant, code, said)
		}
	}
}
