package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// book is a table with a unique key: an effect is made once however often it is asked for.
type book struct {
	mu      sync.Mutex
	effects map[string]int
	asked   map[string]int
}

func (b *book) enter(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[key]++
	if _, there := b.effects[key]; !there {
		b.effects[key] = len(b.effects)
	}
}

func (b *book) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.effects)
}

// Two loops work on a cluster whose leader of the stream is stopped twice under load. Whatever the publisher was told is
// stored is handled, nothing twice in the book, and the poison among it is in DLQ, each once.
func TestALeaderStopsUnderLoad(t *testing.T) {
	const n, poisonEvery = 2000, 100
	c := natstest.Cluster(t, 3)
	c.Provision()
	admin := c.JS(0)
	shorten(t, admin, stream.Commands, stream.PayoutsExec, 2*time.Second)

	b := &book{effects: map[string]int{}, asked: map[string]int{}}
	progress := make(chan struct{}, 10*n)
	handler := func(_ context.Context, m stream.Message) error {
		if string(m.Data) == "poison" {
			return stream.Permanent(errors.New("poison"))
		}
		b.enter(m.ID)
		progress <- struct{}{}
		return nil
	}
	for i := range 2 {
		run(t, stream.NewLoop(stream.Consumer(stream.PayoutsExec), handler, stream.Deps{JS: c.JS(i), Service: "payouts"}))
	}

	published := make(chan error, 1)
	go func() { published <- load(t, c.JS(2), n, poisonEvery) }()
	for range 2 {
		for range n / 4 {
			receive(t, "progress", progress)
		}
		stopped := c.StopLeader(stream.Commands)
		for range n / 10 {
			receive(t, "progress without the old leader", progress)
		}
		c.Restart(stopped)
	}
	if err := receive(t, "end of the load", published); err != nil {
		t.Fatal(err)
	}
	await(t, "every effect", func() bool { return b.len() == n-n/poisonEvery })
	await(t, "the work queue is empty", func() bool { return leftOrMore(t, admin, stream.Commands) == 0 })
	// The list may be read from the server that was restarted last, which does not know the newest yet.
	await(t, "every dead letter, once", func() bool { return len(deadLetters(t, admin, "payouts")) == n/poisonEvery })
	again := 0
	for _, times := range b.asked {
		again += times - 1
	}
	t.Logf("%d messages, %d handled again", n, again)
}

// load publishes until the server has acknowledged each message, as the outbox does.
func load(t *testing.T, js jetstream.JetStream, n, poisonEvery int) error {
	for i := range n {
		id, body := fmt.Sprintf("id-%d", i), "work"
		if i%poisonEvery == 0 {
			body = "poison"
		}
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := js.Publish(ctx, stream.CommandSubject("payouts", "plan", id), []byte(body), jetstream.WithMsgID(id), jetstream.WithExpectStream(stream.Commands))
			cancel()
			if err == nil {
				break
			}
			if t.Context().Err() != nil {
				return err
			}
		}
	}
	return nil
}

// shorten makes redeliveries quick enough for a test.
func shorten(t *testing.T, js jetstream.JetStream, streamName, durable string, ackWait time.Duration) {
	t.Helper()
	c, err := js.Consumer(t.Context(), streamName, durable)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.BackOff, cfg.AckWait = []time.Duration{ackWait}, ackWait
	if _, err := js.UpdateConsumer(t.Context(), streamName, cfg); err != nil {
		t.Fatal(err)
	}
}

// leftOrMore counts messages, and says "many" while nobody can be asked.
func leftOrMore(t *testing.T, js jetstream.JetStream, name string) uint64 {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s, err := js.Stream(ctx, name)
	if err != nil {
		return 1 << 32
	}
	return s.CachedInfo().State.Msgs
}

func TestProvisionOnAClusterReplicatesEverything(t *testing.T) {
	c := natstest.Cluster(t, 3)
	c.Provision()
	c.Provision()
	js := c.JS(1)
	for _, name := range []string{stream.Ticks, stream.Commands, stream.Events, stream.Audit, stream.DLQ, stream.Advisories} {
		if cfg := config(t, js, name); cfg.Replicas != 3 {
			t.Errorf("%s has %d replicas", name, cfg.Replicas)
		}
	}
	err := stream.Provision(t.Context(), js, stream.Options{Replicas: 1})
	if !errors.Is(err, stream.ErrRefused) {
		t.Errorf("fewer replicas: %v", err)
	}
}
