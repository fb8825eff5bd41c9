package stream_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/stream"
)

// grants are all that a service needs of its broker to consume: what a Helm chart gives its user.
var grants = []string{
	"$JS.API.CONSUMER.INFO.WORK.worker", "$JS.API.CONSUMER.MSG.NEXT.WORK.worker", "$JS.ACK.WORK.worker.>", "agogo.dlq.test.>",
}

func without(grant string) []string {
	var rest []string
	for _, g := range grants {
		if g != grant {
			rest = append(rest, g)
		}
	}
	return rest
}

// restricted starts a server with an administrator and a service that may publish to allow only.
func restricted(t *testing.T, allow []string) (admin, service *nats.Conn) {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{
			{Username: "admin", Password: "admin"},
			{Username: "test", Password: "test", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: allow},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_test.>"}},
			}},
		},
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	connect := func(user string) *nats.Conn {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, user), nats.CustomInboxPrefix("_INBOX_"+user),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	return connect("admin"), connect("test")
}

func TestALoopNeedsFourGrantsAndNoMore(t *testing.T) {
	t.Parallel()
	nc, own := restricted(t, grants)
	admin, js, s := mustJetStream(t, nc), mustJetStream(t, own), spec(func(s *stream.ConsumerSpec) { s.Heartbeat = true })
	workStream(t, admin, s, 1)
	publish(t, admin, "agogo.cmd.test.do.p00", "poison")
	publish(t, admin, "agogo.cmd.test.do.p00", "healthy")
	healthy := make(chan struct{}, 1)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error {
		if m.ID == "poison" {
			return stream.Permanent(errors.New("poison"))
		}
		healthy <- struct{}{}
		return nil
	}, stream.Deps{JS: js, Service: "test"}))
	receive(t, "message", healthy)
	await(t, "the work queue is empty", func() bool { return left(t, admin, s.Stream) == 0 })
	if list := deadLetters(t, admin, "test"); len(list) != 1 {
		t.Errorf("%d dead letters", len(list))
	}
}

// A server refuses in silence; the loop must not take that for an empty stream.
func TestAMissingGrantIsTheReasonForBeingUnready(t *testing.T) {
	t.Parallel()
	for _, grant := range grants[:2] {
		t.Run(grant, func(t *testing.T) {
			t.Parallel()
			nc, own := restricted(t, without(grant))
			admin, js, s := mustJetStream(t, nc), mustJetStream(t, own), spec(nil)
			workStream(t, admin, s, 1)
			publish(t, admin, "agogo.cmd.test.do.p00", "1")
			l := run(t, stream.NewLoop(s, func(context.Context, stream.Message) error {
				t.Error("handled without a grant")
				return nil
			}, stream.Deps{JS: js, Service: "test"}))
			kind, _, _ := strings.Cut(grant, ".WORK")
			await(t, "the reason", func() bool {
				err := l.Ready(t.Context())
				return err != nil && strings.Contains(err.Error(), "no permission for "+kind)
			})
		})
	}
}
