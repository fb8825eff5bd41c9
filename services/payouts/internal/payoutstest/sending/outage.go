package sending

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is a pool on the environment's schema that can be cut off from the server, as by a network or a fail-over.
type Database struct {
	Pool *pgxpool.Pool

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]struct{}
}

// Database opens such a pool.
func (e *Env) Database() *Database {
	e.t.Helper()
	return NewDatabase(e.t, e.Pool)
}

// NewDatabase opens such a pool beside another one.
func NewDatabase(t testing.TB, beside *pgxpool.Pool) *Database {
	t.Helper()
	d := &Database{conns: map[net.Conn]struct{}{}}
	c := beside.Config()
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.away {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("the database is away")}
		}
		conn, err := dial(ctx, network, addr)
		if err == nil {
			d.conns[conn] = struct{}{}
		}
		return conn, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d.Pool = pool
	t.Cleanup(pool.Close)
	return d
}

// Cut ends every connection and refuses new ones until Mend.
func (d *Database) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = true
	for c := range d.conns {
		_ = c.Close()
		delete(d.conns, c)
	}
}

// Mend lets connections through again.
func (d *Database) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = false
}
