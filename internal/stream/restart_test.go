package stream_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natsserver"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestALoopGoesOnAfterItsServerRestarted(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	serve := func() *natsserver.Server {
		s, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir, Port: port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		return s
	}
	first := serve()
	nc, err := nats.Connect(first.URL(), nats.UserCredentials(first.Creds()), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, s := mustJetStream(t, nc), spec(nil)
	workStream(t, js, s, 1)
	got := make(chan string, 2)
	l := run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { got <- m.ID; return nil }, stream.Deps{JS: js, Service: "test"}))
	publish(t, js, "agogo.cmd.test.do.p00", "before")
	receive(t, "message", got)
	first.Stop()
	await(t, "unready", func() bool { return l.Ready(t.Context()) != nil })
	serve()
	await(t, "connected", nc.IsConnected)
	publish(t, js, "agogo.cmd.test.do.p00", "after")
	if id := receive(t, "message after the restart", got); id != "after" {
		t.Errorf("got %q", id)
	}
	await(t, "ready", func() bool { return l.Ready(t.Context()) == nil })
}

// A process that stood still, or a network that did: no beat came for a while, and the connection was never lost. The pull
// that follows may stay open for its whole expiry, as there is nothing to do.
func TestAnIdleLoopIsReadyBeforeItsPullEnds(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	s := spec(nil)
	workStream(t, server.JS, s, 1)
	addr, stall := stalling(t, strings.TrimPrefix(server.URL, "nats://"))
	nc, err := nats.Connect(addr, nats.UserCredentials(server.Creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	l := run(t, stream.NewLoop(s, func(context.Context, stream.Message) error { return nil }, stream.Deps{JS: mustJetStream(t, nc), Service: "test"}))
	await(t, "ready", func() bool { return l.Ready(t.Context()) == nil })
	resume := stall()
	await(t, "unready", func() bool { return l.Ready(t.Context()) != nil })
	resume()
	began := time.Now()
	await(t, "ready again", func() bool { return l.Ready(t.Context()) == nil })
	if took := time.Since(began); took > 20*time.Second { // a pull takes 30
		t.Errorf("ready after %s", took)
	}
}

// stalling is a way to the server at to. While it is stalled, bytes in it wait.
func stalling(t *testing.T, to string) (addr string, stall func() (resume func())) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var gate sync.RWMutex
	pass := func(from, to net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			gate.RLock()
			_, failed := to.Write(buf[:n])
			gate.RUnlock()
			if err != nil || failed != nil {
				_, _ = from.Close(), to.Close() // the one that ended takes the other along
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			t.Cleanup(func() { _, _ = client.Close(), server.Close() })
			go pass(client, server)
			go pass(server, client)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return "nats://" + l.Addr().String(), func() func() { gate.Lock(); return gate.Unlock }
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
