package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Turn is held by one process of a service at a time, for what its replicas should do one after another. It is a lock of a session
// of its own: however the process that has it ends, and however its database does, it is free again.
type Turn struct {
	config Config
	conn   *pgx.Conn
}

// NewTurn connects to nothing yet.
func NewTurn(c Config) *Turn { return &Turn{config: c} }

// Take reports whether it is this process's turn; then it stays so until the process ends or returns it. Who asks again learns
// whether it still has it: a database that has failed over knows nothing of it.
func (t *Turn) Take(ctx context.Context) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if t.conn == nil {
		if t.conn, err = t.connect(ctx); err != nil {
			return false, fmt.Errorf("a turn of %s: %w", t.config.Schema, err)
		}
	}
	// A session that has the lock is given it again.
	if err := t.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockKey("turn", t.config.Schema)).Scan(&mine); err != nil {
		return false, fmt.Errorf("a turn of %s: %w", t.config.Schema, errors.Join(err, t.Return(ctx)))
	}
	return mine, nil
}

// connect reads the DSN's files anew: what the turn is waited for may be another password.
func (t *Turn) connect(ctx context.Context) (*pgx.Conn, error) {
	cc, err := pgx.ParseConfig(t.config.DSN)
	if err != nil {
		return nil, fmt.Errorf("postgres DSN: %w", err)
	}
	if err := t.config.apply(cc); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cc)
}

// Return lets the next one have it.
func (t *Turn) Return(ctx context.Context) error {
	if t.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	conn := t.conn
	t.conn = nil
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_all()"); err != nil { // the session's end does it too, a moment later
		return errors.Join(err, conn.Close(ctx))
	}
	return conn.Close(ctx)
}
