// Package provision makes what the services of an installation stand on, anywhere: the database with a schema and a role for
// each, their tables, the streams and consumers, and the keys, rights and certificates by which each is let in to no more than
// its own. `agogo dev` provisions itself with it, and so do the chart and the installer.
package provision

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/notifier"
	"github.com/agogopay/agogo/services/payouts"
	"github.com/agogopay/agogo/services/recurrences"
	"github.com/agogopay/agogo/services/scheduler"
)

// Services are all that have a schema, a role and a user at the broker.
var Services = []string{"payouts", "recurrences", "notifier", "scheduler"}

// migrations are the tables of each service.
func migrations(service string) []pg.Set {
	switch service {
	case "payouts":
		return payouts.Migrations()
	case "recurrences":
		return recurrences.Migrations()
	case "notifier":
		return notifier.Migrations()
	default:
		return scheduler.Migrations()
	}
}

// Role is the database role of a service.
func Role(service string) string { return "agogo_" + service }

// ServiceDSN is the administrator's address with the service's own role.
func ServiceDSN(adminDSN, service, password string) (string, error) {
	u, err := url.Parse(adminDSN)
	if err != nil || u.Host == "" {
		return "", errors.New("the Postgres DSN must be a URL, postgres://user:password@host:port/name")
	}
	u.User = url.UserPassword(Role(service), password)
	return u.String(), nil
}

// Database makes the database if it is not there, and in it the schema, role and tables of each service that passwords names.
// It may be repeated at any time, by any version: roles get the password anew, and tables only ever gain (ADR 11).
func Database(ctx context.Context, adminDSN string, passwords map[string]string) error {
	if err := ensureDatabase(ctx, adminDSN); err != nil {
		return err
	}
	for service, password := range passwords {
		if err := again(func() error { return pg.Prepare(ctx, adminDSN, service, Role(service), password) }); err != nil {
			return err
		}
	}
	if err := again(func() error { return closeDatabase(ctx, adminDSN) }); err != nil {
		return err
	}
	return migrate(ctx, adminDSN, passwords)
}

// again repeats what met somebody who changed the same role or database at the same moment. Locks of [pg.Prepare] are the
// database's, and roles are the server's: another database of it may be provisioned meanwhile.
func again(f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if try == tries || !hasCode(err, internalError) && !hasCode(err, alreadyInCatalogs) {
			return err
		}
	}
}

const tries = 20

// migrate makes the tables of all services side by side, each as its own role: what is made belongs to it.
func migrate(ctx context.Context, adminDSN string, passwords map[string]string) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	for service, password := range passwords {
		wg.Go(func() {
			dsn, err := ServiceDSN(adminDSN, service, password)
			if err == nil {
				err = pg.Migrate(ctx, pg.Config{DSN: dsn, Schema: service, AppName: "agogo-provision"}, migrations(service)...)
			}
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

const (
	internalError     = "XX000" // "tuple concurrently updated"; Postgres has no better name for it
	noSuchDatabase    = "3D000"
	databaseExists    = "42P04"
	alreadyInCatalogs = "23505" // two that create it at once meet in the catalogue's index
)

// ensureDatabase creates the database that the address names, from the server's maintenance database.
func ensureDatabase(ctx context.Context, adminDSN string) error {
	cc, err := pgx.ParseConfig(adminDSN)
	if err != nil {
		return fmt.Errorf("postgres DSN: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err == nil {
		return conn.Close(ctx)
	}
	if !hasCode(err, noSuchDatabase) {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	name := cc.Database
	cc.Database = "postgres"
	if conn, err = pgx.ConnectConfig(ctx, cc); err != nil {
		return fmt.Errorf("database %s is not there, and to create it: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if err != nil && !hasCode(err, databaseExists) && !hasCode(err, alreadyInCatalogs) {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// closeDatabase takes the rights that Postgres gives everybody who has a role on the server: to connect, and to make
// temporary tables. Only who owns the database can, and who may not is told by a mere warning, hence the look afterwards.
func closeDatabase(ctx context.Context, adminDSN string) error {
	conn, err := pgx.Connect(ctx, adminDSN)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	const open = `SELECT quote_ident(datname), EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a WHERE a.grantee = 0)
		FROM pg_database WHERE datname = current_database()`
	var name string
	var isOpen bool
	if err := conn.QueryRow(ctx, open).Scan(&name, &isOpen); err != nil || !isOpen {
		return err
	}
	if _, err := conn.Exec(ctx, "REVOKE ALL ON DATABASE "+name+" FROM PUBLIC"); err != nil {
		return fmt.Errorf("close database %s to other roles: %w", name, err)
	}
	if err := conn.QueryRow(ctx, open).Scan(&name, &isOpen); err != nil {
		return err
	}
	if isOpen {
		return fmt.Errorf("every role of the server may connect to database %s: as its owner, REVOKE ALL ON DATABASE %s FROM PUBLIC", name, name)
	}
	return nil
}

func hasCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}
