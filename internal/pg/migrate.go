package pg

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Set is a group of numbered migrations (goose, "0001_name.sql") with a version table of its own, so that each shared
// mechanism brings its tables along into every service's schema.
type Set struct {
	Name string
	FS   fs.FS
	Dir  string // the folder of FS with the .sql files; "" is its root
}

// Migrate brings the schema to the newest version of every set, in order, under an advisory lock, so that replicas may
// start at once. The schema must exist: [Prepare] makes it.
func Migrate(ctx context.Context, c Config, sets ...Set) (err error) {
	cc, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return fmt.Errorf("postgres DSN: %w", err)
	}
	if err := c.apply(cc); err != nil {
		return err
	}
	// A migration may rewrite a table, and takes as long as it takes. lock_timeout stays: DDL that waits for a lock makes
	// everyone queue behind it.
	cc.RuntimeParams["statement_timeout"] = "0"
	db := stdlib.OpenDB(*cc)
	defer func() { err = errors.Join(err, db.Close()) }()

	var found sql.NullString
	if err := db.QueryRowContext(ctx, "SELECT current_schema()").Scan(&found); err != nil {
		return fmt.Errorf("migrate schema %s: %w", c.Schema, err)
	}
	if !found.Valid {
		return fmt.Errorf("schema %s does not exist or this role may not use it: create it with pg.Prepare first", c.Schema)
	}
	for _, set := range sets {
		if err := migrateSet(ctx, db, c.Schema, set); err != nil {
			return fmt.Errorf("migrate %s in schema %s: %w", set.Name, c.Schema, err)
		}
	}
	return nil
}

func migrateSet(ctx context.Context, db *sql.DB, schema string, set Set) error {
	if err := checkName("migration set", set.Name); err != nil {
		return err
	}
	files, err := fs.Sub(set.FS, cmp.Or(set.Dir, "."))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("goose_"+set.Name),
		goose.WithSessionLocker(advisoryLock(lockKey("migrate", schema))),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		return fmt.Errorf("%s: %w", partial.Failed.Source.Path, partial.Err)
	}
	return err
}

// advisoryLock waits in the database, unlike goose's own locker, which asks again every few seconds.
type advisoryLock int64

func (l advisoryLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	// lock_timeout would also end the wait for the replica that migrates at the moment.
	if _, err := conn.ExecContext(ctx, "SET lock_timeout = 0"); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(l)); err != nil {
		return fmt.Errorf("wait for the migration lock: %w", err)
	}
	_, err := conn.ExecContext(ctx, "RESET lock_timeout")
	return err
}

func (l advisoryLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(l))
	return err
}

// lockKey maps a purpose to an advisory lock number that other programs on the database will not hit by accident.
func lockKey(purpose, name string) int64 {
	h := fnv.New64a()
	h.Write([]byte("agogo/" + purpose + "/" + name))
	return int64(h.Sum64())
}
