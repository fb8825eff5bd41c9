package pgtest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Line is a pool on another one's schema that can be cut off from the server, as by a network or a fail-over.
type Line struct {
	Pool *pgxpool.Pool

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]struct{}
}

// NewLine opens such a pool beside another one.
func NewLine(t testing.TB, beside *pgxpool.Pool) *Line {
	t.Helper()
	d := &Line{conns: map[net.Conn]struct{}{}}
	c := beside.Config()
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.away {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("the database is away")}
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w := &wire{Conn: conn}
		d.conns[w] = struct{}{}
		return w, nil
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
func (d *Line) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = true
	for c := range d.conns {
		_ = c.Close()
		delete(d.conns, c)
	}
}

// Mend lets connections through again.
func (d *Line) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = false
}

// Lose has the commit of a transaction on such a pool get lost: never made, or made and not heard of. Whoever commits notices later than
// the server, which has let go of the transaction's locks by then.
func Lose(tx pgx.Tx, made bool) {
	w := tx.Conn().PgConn().Conn().(*wire)
	if made {
		w.fate.Store(madeUnheard)
	} else {
		w.fate.Store(neverMade)
	}
}

// noticed is how much later that is.
const noticed = 15 * time.Millisecond

// wire is a connection that may lose a commit.
type wire struct {
	net.Conn
	fate atomic.Int32
}

// The fates of a connection, besides none.
const (
	neverMade   = iota + 1 // it breaks before the next commit
	madeUnheard            // it breaks behind it
	broken                 // the commit was sent: what comes back nobody hears
)

// Write implements [net.Conn].
func (w *wire) Write(b []byte) (int, error) {
	if fate := w.fate.Load(); fate != 0 && bytes.Contains(b, []byte("commit\x00")) {
		if fate == neverMade {
			return 0, w.gone("write")
		}
		w.fate.Store(broken)
	}
	return w.Conn.Write(b)
}

// Read implements [net.Conn].
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err == nil && w.fate.Load() == broken { // the server has answered, so it is made
		return 0, w.gone("read")
	}
	return n, err
}

func (w *wire) gone(op string) error {
	_ = w.Close()
	<-time.After(noticed)
	return &net.OpError{Op: op, Net: "tcp", Err: syscall.ECONNRESET}
}
