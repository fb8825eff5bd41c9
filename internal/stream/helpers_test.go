package stream_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/agogopay/agogo/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for signals; a test that reaches it fails.
const patience = 30 * time.Second

// spec is a consumer for tests, with times short enough to see redeliveries.
func spec(change func(*stream.ConsumerSpec)) stream.ConsumerSpec {
	s := stream.ConsumerSpec{
		Stream: "WORK", Durable: "worker", Service: "test", Filter: []string{"agogo.cmd.test.>"},
		BackOff: []time.Duration{time.Second}, MaxDeliver: 20, MaxAckPending: 1000, Workers: 4,
	}
	if change != nil {
		change(&s)
	}
	return s
}

// workStream makes the stream, the consumer and a DLQ.
func workStream(t testing.TB, js jetstream.JetStream, s stream.ConsumerSpec, replicas int) {
	t.Helper()
	for _, cfg := range []jetstream.StreamConfig{
		{Name: s.Stream, Subjects: s.Filter, Retention: jetstream.WorkQueuePolicy, Replicas: replicas, AllowDirect: true},
		{Name: stream.DLQ, Subjects: []string{"agogo.dlq.>"}, Replicas: replicas, AllowDirect: true},
	} {
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(t.Context(), s.Stream, s.Config()); err != nil {
		t.Fatal(err)
	}
}

func mustJetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := stream.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func publish(t testing.TB, js jetstream.JetStream, subject, id string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), subject, []byte(id), jetstream.WithMsgID(id)); err != nil {
		t.Fatal(err)
	}
}

// running is a loop that a test started.
type running struct {
	*stream.Loop
	stop func() error // ends it and returns what Run returned
}

func run(t testing.TB, l *stream.Loop) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	r := &running{Loop: l, stop: sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("the loop did not end")
		}
	})}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s after %s", what, patience)
		panic("unreachable")
	}
}

// counts remembers how often each id was seen, and signals when a number of different ones was.
type counts struct {
	mu    sync.Mutex
	seen  map[string]int
	want  int
	whole chan struct{}
}

func newCounts(want int) *counts {
	return &counts{seen: map[string]int{}, want: want, whole: make(chan struct{})}
}

func (c *counts) add(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[id]++
	if c.seen[id] == 1 && len(c.seen) == c.want {
		close(c.whole)
	}
	return c.seen[id]
}

func (c *counts) of(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[id]
}

// await asks until done; only for what the server tells nobody.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}
