// Package natstest gives tests a real NATS: a server of their own, or three in a cluster. It is imported by tests only.
package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natsserver"
)

// Node is a server of one test, gone when the test ends.
type Node struct {
	URL   string
	Creds string
	Conn  *nats.Conn
	JS    jetstream.JetStream

	server *natsserver.Server
}

// CredsOf are the credentials of one of [stream.Users]; of a name that is none they allow everything, for a service that a
// test made up.
func (n *Node) CredsOf(user string) string {
	if path := n.server.CredsOf(user); path != "" {
		return path
	}
	return n.Creds
}

// As connects as one of [stream.Users], with no more than its rights.
func (n *Node) As(t testing.TB, user string) *nats.Conn {
	t.Helper()
	return dial(t, n.URL, nats.UserCredentials(n.server.CredsOf(user)), nats.CustomInboxPrefix("_INBOX_"+user), nats.PermissionErrOnSubscribe(true))
}

// Server starts a server with nothing in it.
func Server(t testing.TB) *Node {
	t.Helper()
	s, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: t.TempDir(), Users: stream.Users()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	nc := dial(t, s.URL(), nats.UserCredentials(s.Creds()))
	return &Node{URL: s.URL(), Creds: s.Creds(), Conn: nc, JS: jetStream(t, nc), server: s}
}

// Provisioned starts a server that has every stream and consumer of Agogo.
func Provisioned(t testing.TB) *Node {
	t.Helper()
	n := Server(t)
	if err := stream.Provision(t.Context(), n.JS, stream.Options{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	return n
}

func dial(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append(opts, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.RetryOnFailedConnect(true), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
