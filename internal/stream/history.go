package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// historyPatience is how long a server may take for the next message of a history that it says is not at its end.
	historyPatience = 10 * time.Second
	// electionPatience is how long a cluster may be without somebody to answer: an election takes up to nine seconds.
	electionPatience = 20 * time.Second
)

// Find asks for a stream, and again while its cluster elects who answers.
func Find(ctx context.Context, js jetstream.JetStream, name string) (found jetstream.Stream, err error) {
	ctx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	err = patiently(ctx, func(ctx context.Context) error {
		found, err = js.Stream(ctx, name)
		return err
	})
	return found, err
}

// Ordered makes an ordered consumer, and tries again while the cluster elects who makes it.
func Ordered(ctx context.Context, js jetstream.JetStream, name string, cfg jetstream.OrderedConsumerConfig) (made jetstream.Consumer, err error) {
	ctx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	err = patiently(ctx, func(ctx context.Context) error {
		made, err = js.OrderedConsumer(ctx, name, cfg)
		return err
	})
	return made, err
}

// History hands what a stream holds now to each, in order, and returns at its present end; what is published meanwhile is left out.
// cfg chooses where it begins and which subjects it takes. A stream that does not exist holds nothing. Half a history is an error:
// it must not pass for all.
func History(ctx context.Context, js jetstream.JetStream, name string, cfg jetstream.OrderedConsumerConfig, each func(jetstream.Msg) error) error {
	end, err := lastSeq(ctx, js, name)
	if err != nil || end == 0 {
		return err
	}
	cfg.MaxResetAttempts = 5 // by itself it would ask without end
	consumer, err := Ordered(ctx, js, name, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	msgs, err := consumer.Messages(jetstream.PullMaxMessages(historyPrefetch))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	defer msgs.Stop()
	for {
		last, err := next(ctx, msgs, end, each)
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		if last {
			return nil
		}
	}
}

const historyPrefetch = 2000

func lastSeq(ctx context.Context, js jetstream.JetStream, name string) (uint64, error) {
	s, err := Find(ctx, js, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

func next(ctx context.Context, msgs jetstream.MessagesContext, end uint64, each func(jetstream.Msg) error) (last bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	m, err := msgs.Next(jetstream.NextContext(ctx))
	if err != nil {
		return false, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return false, err
	}
	if meta.Sequence.Stream > end {
		return true, nil
	}
	return meta.Sequence.Stream == end || meta.NumPending == 0, each(m)
}
