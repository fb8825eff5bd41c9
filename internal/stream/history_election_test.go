package stream_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// electing is a JetStream that nobody answers for, for a while, as while a cluster elects.
type electing struct {
	jetstream.JetStream
	silent int
}

func (e *electing) answers() error {
	if e.silent--; e.silent >= 0 {
		return nats.ErrNoResponders
	}
	return nil
}

func (e *electing) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if err := e.answers(); err != nil {
		return nil, err
	}
	return e.JetStream.Stream(ctx, name)
}

func (e *electing) OrderedConsumer(ctx context.Context, name string, cfg jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	if err := e.answers(); err != nil {
		return nil, err
	}
	return e.JetStream.OrderedConsumer(ctx, name, cfg)
}

// Whoever reads a stream right after a server went waits for the election instead of being told that nobody answers.
func TestAReaderWaitsForAnElection(t *testing.T) {
	t.Parallel()
	js := natstest.Server(t).JS
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "a", []byte("told")); err != nil {
		t.Fatal(err)
	}
	var got []string
	read := func(m jetstream.Msg) error { got = append(got, string(m.Data())); return nil }
	if err := stream.History(t.Context(), &electing{js, 2}, "A", jetstream.OrderedConsumerConfig{}, read); err != nil || len(got) != 1 || got[0] != "told" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := stream.Ordered(t.Context(), &electing{js, 2}, "A", jetstream.OrderedConsumerConfig{}); err != nil {
		t.Error(err)
	}
	if _, err := stream.Find(t.Context(), js, "B"); !errors.Is(err, jetstream.ErrStreamNotFound) { // an answer is not waited for
		t.Errorf("a stream that is not there: %v", err)
	}
}
