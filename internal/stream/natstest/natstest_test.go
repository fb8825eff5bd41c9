package natstest_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestServersOfTwoTestsAreApart(t *testing.T) {
	t.Parallel()
	a, b := natstest.Server(t), natstest.Server(t)
	if _, err := a.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Stream(t.Context(), "A"); err == nil {
		t.Error("one server sees the stream of the other")
	}
}

func TestClusterKeepsAStreamWhenItsLeaderStops(t *testing.T) {
	t.Parallel()
	c := natstest.Cluster(t, 3)
	if at := c.Conn(0).ConnectedAddr(); runtime.GOOS == "linux" && strings.HasPrefix(at, "127.0.0.1:") {
		t.Errorf("the cluster is at %s, where others take ports", at)
	}
	js := c.JS(0)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	publish := func(id string) {
		t.Helper()
		for {
			if _, err := js.Publish(t.Context(), "a", nil, jetstream.WithMsgID(id)); err == nil || t.Context().Err() != nil {
				return
			}
		}
	}
	publish("before")
	stopped := c.StopLeader("A")
	publish("after")
	if now := c.Leader("A"); now == stopped {
		t.Errorf("node %d still leads after it was stopped", now)
	}
	c.Restart(stopped)
	publish("again")
	s, err := js.Stream(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}
