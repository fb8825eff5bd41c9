package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// The states of a gate. It leaves gateOpen once, for one of the other two, so "nothing was written" and "nothing will be
// written any more" are proven together.
const (
	gateOpen int32 = iota
	gateWritten
	gateSealed
)

// errSealed refuses the first byte of a request that its caller has given up or whose time is over.
var errSealed = errors.New("the request was called off before its first byte")

// gate stands before the first byte of one request. net/http writes a request in a goroutine of its own and may return to
// the caller of a cancelled request while that goroutine has yet to write; without the gate, a send reported as never made
// could still be made a moment later.
type gate struct {
	state    atomic.Int32
	ctx      context.Context //nolint:containedctx // the gate lives as long as its one request
	deadline time.Time
}

func newGate(ctx context.Context) *gate {
	g := &gate{ctx: ctx}
	g.deadline, _ = ctx.Deadline()
	return g
}

// pass is called before every write; the first one decides. The deadline is compared with the clock as well as through
// the context: a process that was stopped and continued may get here before its timers have fired.
func (g *gate) pass() error {
	if g.state.Load() == gateWritten {
		return nil
	}
	if g.ctx.Err() != nil || (!g.deadline.IsZero() && time.Until(g.deadline) <= 0) {
		g.seal()
	}
	if g.state.CompareAndSwap(gateOpen, gateWritten) || g.state.Load() == gateWritten {
		return nil
	}
	return errSealed
}

// seal closes an open gate and reports whether no byte has passed it, and therefore none ever will.
func (g *gate) seal() bool {
	g.state.CompareAndSwap(gateOpen, gateSealed)
	return g.state.Load() == gateSealed
}

// gatedConn is a connection that asks the gate of its present request before it writes. HTTP/1.1 has one request at a time
// on a connection, which is why the caller never speaks HTTP/2.
type gatedConn struct {
	net.Conn
	gate atomic.Pointer[gate]
}

// Write passes bytes on behind the gate.
func (c *gatedConn) Write(b []byte) (int, error) {
	if g := c.gate.Load(); g != nil {
		if err := g.pass(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// dialPlain opens a gated TCP connection.
func dialPlain(d *net.Dialer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &gatedConn{Conn: c}, nil
	}
}

// tlsError marks a handshake that failed: at that point nothing of a request has been written.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return fmt.Sprintf("tls handshake: %v", e.err) }
func (e *tlsError) Unwrap() error { return e.err }

// dialTLS opens a gated TLS connection; the gate is above TLS, so the handshake does not count as writing a request.
func dialTLS(d *net.Dialer, base *tls.Config, timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conf := &tls.Config{MinVersion: tls.VersionTLS12}
		if base != nil {
			conf = base.Clone()
		}
		conf.NextProtos = []string{"http/1.1"}
		if conf.ServerName == "" {
			if conf.ServerName, _, err = net.SplitHostPort(addr); err != nil {
				conf.ServerName = addr
			}
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		c := tls.Client(raw, conf)
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(&tlsError{err}, raw.Close())
		}
		return &gatedConn{Conn: c}, nil
	}
}
