// Package pgtest gives each test a schema of its own on a real Postgres, one server per test process.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestPost(t *testing.T) {
//		t.Parallel()
//		pool := pgtest.Pool(t, ledger.Migrations)
//	}
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgserver"
)

// DSNVariable names a server to use instead of starting one; its user must be allowed to create roles and databases.
const DSNVariable = "AGOGO_TEST_POSTGRES_DSN"

const (
	tempPrefix = "agogo-pgtest-"
	limit      = time.Minute
)

// process is the server of this test process. It is the one global of the package: testing.M carries no values.
var process struct {
	inMain atomic.Bool
	once   sync.Once
	server *pgserver.Server
	dir    string
	dsn    string
	admin  *pgxpool.Pool
	err    error
}

// Main runs the tests, stops the server they used, if any, and exits.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has more to do; it returns the exit code.
func Run(m interface{ Run() int }) int {
	process.inMain.Store(true)
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	return code
}

// DSN is the connection string of a superuser, for tests that prepare schemas and roles themselves.
func DSN(t testing.TB) string {
	t.Helper()
	if !process.inMain.Load() {
		t.Fatal("pgtest: call pgtest.Main from TestMain, or nobody stops the server")
	}
	process.once.Do(start)
	if process.err != nil {
		t.Fatalf("pgtest: %v", process.err)
	}
	return process.dsn
}

func start() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if process.dsn = os.Getenv(DSNVariable); process.dsn == "" {
		if process.err = startServer(ctx); process.err != nil {
			return
		}
		process.dsn = process.server.DSN()
	}
	process.admin, process.err = pgxpool.New(ctx, process.dsn)
}

func startServer(ctx context.Context) (err error) {
	removeLeftovers()
	if process.dir, err = os.MkdirTemp("", tempPrefix); err != nil {
		return err
	}
	template, err := pgserver.TemplateDir(ctx)
	if err != nil {
		return err
	}
	process.server, err = pgserver.Start(ctx, pgserver.Options{DataDir: process.dir, Disposable: true, Template: template, Progress: os.Stderr})
	return err
}

func stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	if process.admin != nil {
		err = dropOwner(ctx, process.admin)
		process.admin.Close()
	}
	if process.server != nil {
		err = errors.Join(err, process.server.Stop(ctx))
	}
	if process.dir != "" {
		err = errors.Join(err, os.RemoveAll(process.dir))
	}
	return err
}

// removeLeftovers clears the folders of test processes that were killed. A folder in use is locked.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*")) // the pattern is well formed
	for _, dir := range dirs {
		f, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil {
			continue // being made, or another user's
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}

// Config gives a fresh schema with the tables of the sets, owned by a role without other rights, as in production. It has none of the tables in which
// [pg.Migrate] keeps versions, so what calls that takes a schema without sets. The schema is dropped when the test ends.
func Config(t testing.TB, sets ...pg.Set) pg.Config {
	t.Helper()
	dsn := DSN(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, err := newSchema(ctx, process.admin, dsn, t.Name())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { drop(t, c.Schema) })
	if err := build(ctx, process.admin, c.Schema, sets); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return c
}

// Pool opens a pool on a fresh schema.
func Pool(t testing.TB, sets ...pg.Set) *pgxpool.Pool {
	t.Helper()
	return Open(t, Config(t, sets...))
}

// Open opens a pool and closes it before the schema goes.
func Open(t testing.TB, c pg.Config) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	pool, err := pg.Open(ctx, c)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func drop(t testing.TB, schema string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := process.admin.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
		t.Errorf("pgtest: drop schema %s: %v", schema, err)
	}
}

func withUser(dsn, user, password string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return "", fmt.Errorf("%s must be a postgres:// address", DSNVariable)
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}
