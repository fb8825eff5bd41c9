// Package pg opens Postgres pools, runs transactions and migrations, prepares one schema and role per service, and says
// what an SQLSTATE means to the caller.
package pg

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	defaultMaxConns = 8
	connectTimeout  = 5 * time.Second
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

// Open connects and verifies the connection.
func Open(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return nil, fmt.Errorf("postgres DSN: %w", err)
	}
	if err := c.apply(pc.ConnConfig); err != nil {
		return nil, err
	}
	pc.MaxConns = defaultMaxConns
	if c.MaxConns > 0 {
		pc.MaxConns = c.MaxConns
	}
	// Connections are made anew so that a fail-over, a new password or a new certificate takes hold everywhere within half an hour.
	pc.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error { renew(c.DSN, cc); return nil }
	pc.MaxConnLifetime, pc.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	pc.MaxConnIdleTime = 5 * time.Minute
	pc.PingTimeout = connectTimeout
	pc.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		registerUUID(c.TypeMap())
		return nil
	}

	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to postgres at %s:%d: %w", pc.ConnConfig.Host, pc.ConnConfig.Port, err)
	}
	return pool, nil
}

// renew gives a new connection what the files that the DSN or the environment names hold now: the password of PGPASSFILE,
// authorities and certificates. Files that cannot be read are in the middle of an exchange, and what was read before may do.
func renew(dsn string, cc *pgx.ConnConfig) {
	if now, err := pgx.ParseConfig(dsn); err == nil {
		cc.Password, cc.TLSConfig, cc.Fallbacks = now.Password, now.TLSConfig, now.Fallbacks
	}
}

// RootCert is the path of the authorities that a DSN names, or nothing.
func RootCert(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	if ca := u.Query().Get("sslrootcert"); ca != "system" {
		return ca
	}
	return ""
}

// apply writes the session settings. They travel in the startup packet: no round trip, and no moment without them.
func (c Config) apply(cc *pgx.ConnConfig) error {
	if err := checkName("schema", c.Schema); err != nil {
		return err
	}
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = connectTimeout
	}
	p := cc.RuntimeParams
	p["search_path"] = pgx.Identifier{c.Schema}.Sanitize()
	p["timezone"] = "UTC"
	if c.AppName != "" {
		p["application_name"] = c.AppName
	}
	// What a healthy statement never reaches. A transaction left open holds row locks on money, hence its own limit.
	setDefault(p, "statement_timeout", "60s")
	setDefault(p, "lock_timeout", "10s")
	setDefault(p, "idle_in_transaction_session_timeout", "60s")
	// Postgres reckons with disks that turn, where a page found by an index costs four read in a row. What is asked for here is
	// a few hundred rows by their keys, of pages that were written minutes ago: at that price it reads whole tables instead,
	// more with each evening, until they are so large that even it takes the index.
	setDefault(p, "random_page_cost", "1.1")
	return nil
}

// setDefault keeps what the DSN says.
func setDefault(m map[string]string, key, value string) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// checkName admits names that need no quoting, because people type them in psql and other tools quote them badly.
func checkName(what, name string) error {
	if !plainName.MatchString(name) {
		return fmt.Errorf("%s name %q: use lower-case letters, digits and _, at most 63, not beginning with a digit", what, name)
	}
	if name == "public" || len(name) > 2 && name[:3] == "pg_" {
		return errors.New(what + " name " + name + " is reserved by Postgres: choose another")
	}
	return nil
}
