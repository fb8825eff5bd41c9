package stream_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natsserver"
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

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
