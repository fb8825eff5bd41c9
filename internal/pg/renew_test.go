package pg_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgserver"
	"github.com/agogopay/agogo/internal/renewal/renewaltest"
)

// secured is a server that takes TLS with a certificate that a test replaces.
type secured struct {
	t     *testing.T
	admin *pgx.Conn
	data  string
	dsn   *url.URL
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o711); err != nil { // Postgres runs as another user where the test is root
		t.Fatal(err)
	}
	p, err := pgserver.Start(t.Context(), pgserver.Options{DataDir: filepath.Join(dir, "postgres"), Disposable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &secured{t: t, data: filepath.Join(dir, "postgres", "pgdata")}
	if s.dsn, err = url.Parse(p.DSN()); err != nil {
		t.Fatal(err)
	}
	if s.admin, err = pgx.Connect(t.Context(), p.DSN()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Close(context.Background()) })
	s.exec("ALTER SYSTEM SET ssl_cert_file = 'tls.crt'")
	s.exec("ALTER SYSTEM SET ssl_key_file = 'tls.key'")
	s.exec("ALTER SYSTEM SET ssl = on")
	return s
}

func (s *secured) exec(sql string) {
	s.t.Helper()
	if _, err := s.admin.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(err)
	}
}

// serve has the server serve a new certificate of the authority.
func (s *secured) serve(a *renewaltest.Authority) {
	s.t.Helper()
	owner, err := os.Stat(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	ids := owner.Sys().(*syscall.Stat_t)
	cert, key := a.Issue(s.t, s.data, time.Now().Add(time.Hour))
	for _, f := range []string{cert, key} {
		if err := os.Chown(f, int(ids.Uid), int(ids.Gid)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.exec("SELECT pg_reload_conf()")
}

// Authority and password are replaced while a service is connected: its connections go on, and those that it makes afterwards are
// made with what the files hold by then.
func TestNewConnectionsTakeWhatFilesHoldNow(t *testing.T) {
	t.Parallel()
	s, dir, old, next := startSecured(t), t.TempDir(), renewaltest.New(t), renewaltest.New(t)
	s.serve(old)
	s.exec("CREATE ROLE keeper LOGIN PASSWORD 'first'")
	s.exec("CREATE SCHEMA keeper AUTHORIZATION keeper")
	passfile := filepath.Join(dir, "pgpass")
	password := func(p string) {
		t.Helper()
		if err := os.WriteFile(passfile, []byte("*:*:*:keeper:"+p+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	password("first")
	u := *s.dsn
	u.User, u.RawQuery = url.User("keeper"), url.Values{"sslmode": {"verify-full"}, "sslrootcert": {renewaltest.Trust(t, dir, old)}, "passfile": {passfile}}.Encode()
	pool := openWhenSecure(t, u.String())
	kept, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Release()

	s.exec("ALTER ROLE keeper PASSWORD 'second'")
	password("second")
	renewaltest.Trust(t, dir, next)
	s.serve(next)
	if n := scan[int](t, kept, "SELECT 1"); n != 1 {
		t.Errorf("got %d", n)
	}
	eventually(t, func() error { // the server reloads in its own time
		pool.Reset()
		c, err := pool.Acquire(t.Context())
		if err != nil {
			return err
		}
		defer c.Release()
		var encrypted bool
		err = c.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted)
		if err == nil && !encrypted {
			err = fmt.Errorf("not encrypted")
		}
		return err
	})
	if n := scan[int](t, kept, "SELECT 1"); n != 1 {
		t.Errorf("the connection of before is gone")
	}
}

// openWhenSecure waits for the server's reload.
func openWhenSecure(t *testing.T, dsn string) (pool *pgxpool.Pool) {
	t.Helper()
	eventually(t, func() (err error) {
		pool, err = pg.Open(t.Context(), pg.Config{DSN: dsn, Schema: "keeper"})
		return err
	})
	t.Cleanup(pool.Close)
	return pool
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	tick, end := time.NewTicker(50*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(err)
		}
	}
}

func TestRootCert(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://a@b/c?sslmode=verify-full&sslrootcert=/etc/ca.crt": "/etc/ca.crt", "postgres://a@b/c?sslrootcert=system": "", "postgres://a@b/c": "", "host=x": "", "%": "",
	} {
		if got := pg.RootCert(dsn); got != want {
			t.Errorf("%s: %q, want %q", dsn, got, want)
		}
	}
}
