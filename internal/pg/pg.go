// Package pg opens Postgres pools, runs transactions and migrations, prepares one schema and role per service, and says
// what an SQLSTATE means to the caller.
package pg

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config names a service's place in the database.
type Config struct {
	DSN      string
	Schema   string // also the search_path; nothing else is on it
	AppName  string
	MaxConns int32 // 0: 8
}

// Beginner starts transactions: a pool, a connection or a transaction (then a savepoint).
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Set is a group of numbered migrations (goose, "0001_name.sql") with a version table of its own, so that each shared
// mechanism brings its tables along into every service's schema.
type Set struct {
	Name string
	FS   fs.FS // rooted at the folder of the .sql files
}

// Open connects and verifies the connection.
func Open(ctx context.Context, c Config) (*pgxpool.Pool, error) { panic("contract") }

// InTx runs fn in one read-committed transaction and commits it. A serialization failure or deadlock is retried a few
// times, so fn may run more than once and must not touch the outside.
func InTx(ctx context.Context, db Beginner, fn func(tx pgx.Tx) error) error { panic("contract") }

// Prepare creates schema and role of a service and gives the role that schema alone; adminDSN is a superuser's or owner's.
func Prepare(ctx context.Context, adminDSN, schema, role, password string) error { panic("contract") }

// Migrate brings the schema to the newest version of every set, in order, under an advisory lock.
func Migrate(ctx context.Context, c Config, sets ...Set) error { panic("contract") }

// IsUnique reports a violation of a unique constraint; with a name, of that constraint or index.
func IsUnique(err error, constraint string) bool { panic("contract") }

// Transient reports whether the same statement may succeed later: connection loss, shutdown, deadlock, serialization,
// too many connections, lock timeout.
func Transient(err error) bool { panic("contract") }
