package provision_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// passwords are the same in all tests, because roles belong to the server that they share.
var passwords = map[string]string{"payouts": "p-secret", "recurrences": "r-secret", "notifier": "n-secret", "scheduler": "s-secret"}

// installed is a database of the test's own, provisioned.
func installed(t *testing.T) (adminDSN string) {
	t.Helper()
	dsn := pgtest.Database(t)
	if err := provision.Database(t.Context(), dsn, passwords); err != nil {
		t.Fatal(err)
	}
	return dsn
}

func as(t *testing.T, adminDSN, service string) *pgx.Conn {
	t.Helper()
	dsn, err := provision.ServiceDSN(adminDSN, service, passwords[service])
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dsn)
}

func open(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func TestPayoutsTouchesNoOthersTables(t *testing.T)     { touchesNoOthers(t, "payouts") }
func TestRecurrencesTouchesNoOthersTables(t *testing.T) { touchesNoOthers(t, "recurrences") }
func TestNotifierTouchesNoOthersTables(t *testing.T)    { touchesNoOthers(t, "notifier") }
func TestSchedulerTouchesNoOthersTables(t *testing.T)   { touchesNoOthers(t, "scheduler") }

func touchesNoOthers(t *testing.T, service string) {
	t.Parallel()
	conn := as(t, installed(t), service)
	statements := []string{
		"CREATE TABLE public.x ()", "CREATE SCHEMA mine", "CREATE TEMP TABLE x ()", "CREATE DATABASE mine", "CREATE ROLE mine", "CREATE EXTENSION dblink",
		"SELECT rolpassword FROM pg_authid", "SELECT pg_read_file('/etc/passwd')", "SELECT pg_ls_dir('/')", "COPY (SELECT 1) TO PROGRAM 'true'",
		"ALTER SYSTEM SET work_mem = '1GB'", "SELECT pg_reload_conf()", "SET ROLE pg_read_all_data", "ALTER ROLE " + provision.Role(service) + " CREATEROLE",
	}
	for _, other := range provision.Services {
		if other == service {
			continue
		}
		statements = append(statements, "SELECT * FROM "+other+".outbox", "INSERT INTO "+other+".inbox DEFAULT VALUES", "DELETE FROM "+other+".outbox",
			"CREATE TABLE "+other+".x ()", "DROP TABLE "+other+".outbox", "DROP SCHEMA "+other+" CASCADE", "SET ROLE "+provision.Role(other),
			"ALTER ROLE "+provision.Role(other)+" PASSWORD 'mine'", "ALTER SCHEMA "+other+" OWNER TO "+provision.Role(service))
	}
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v, want a refusal for lack of rights", sql, err)
		}
	}
	// Its own it has, or the refusals would show nothing but a role that may do nothing.
	if _, err := conn.Exec(t.Context(), "SELECT count(*) FROM "+service+".outbox"); err != nil {
		t.Error(err)
	}
}

func TestNobodyElseMayConnect(t *testing.T) {
	t.Parallel()
	dsn := installed(t)
	admin := open(t, dsn)
	if _, err := admin.Exec(t.Context(), "CREATE ROLE stranger LOGIN PASSWORD 'stranger'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP ROLE stranger"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("stranger", "stranger")
	if c, err := pgx.Connect(t.Context(), u.String()); err == nil || !strings.Contains(err.Error(), "permission denied for database") {
		t.Errorf("a stranger is connected: %v, %v", c, err)
	}
}

// The job of an upgrade meets the job of a roll-back, and a person who repeats both.
func TestProvisioningMayBeRepeatedAndMeetItself(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	admin := open(t, u.String())
	u.Path += "_new" // not there yet
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP DATABASE "+u.Path[1:]+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := provision.Database(t.Context(), u.String(), passwords); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := provision.Database(t.Context(), u.String(), passwords); err != nil {
		t.Error(err)
	}
}

// A roll-back is the older binary on the newer tables.
func TestAnOlderBinaryRunsOnNewerTables(t *testing.T) {
	t.Parallel()
	admin := installed(t)
	dsn, err := provision.ServiceDSN(admin, "scheduler", passwords["scheduler"])
	if err != nil {
		t.Fatal(err)
	}
	conn := as(t, admin, "scheduler")
	tables, err := pgx.CollectRows(must(conn.Query(t.Context(), "SELECT tablename::text FROM pg_tables WHERE schemaname = 'scheduler' AND tablename LIKE 'goose\\_%'")), pgx.RowTo[string])
	if err != nil || len(tables) < 5 {
		t.Fatalf("versions are in %v, %v", tables, err)
	}
	for _, table := range tables { // what a newer binary has left
		if _, err := conn.Exec(t.Context(), "INSERT INTO "+table+" (version_id, is_applied) VALUES (9999, true)"); err != nil {
			t.Fatal(err)
		}
	}
	if err := provision.Database(t.Context(), admin, passwords); err != nil {
		t.Errorf("its provisioner: %v", err)
	}
	if err := pg.Await(t.Context(), pg.Config{DSN: dsn, Schema: "scheduler"}, quiet()); err != nil {
		t.Errorf("its service: %v", err)
	}
}

func must(rows pgx.Rows, err error) pgx.Rows {
	if err != nil {
		panic(err)
	}
	return rows
}
