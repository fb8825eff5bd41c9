package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxDeliveriesSubject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
	terminatedSubject    = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED"
	maxDeliveriesType    = "io.nats.jetstream.advisory.v1.max_deliver"
)

// NewKeeper makes the loop that catches what loops cannot: messages whose every delivery killed or silenced the process
// that had it. JetStream then gives up with an advisory and nothing else; the keeper turns that into a dead letter like any
// other. One process of the installation must run it; several may.
func NewKeeper(d Deps) *Loop {
	k := &keeper{deps: d}
	l := NewLoop(Consumer(DLQKeeper), k.handle, d)
	k.results = l.metrics.results
	for _, c := range Consumers() {
		k.results.WithLabelValues(c.Durable, resultDeadLettered) // so that alerts see 0 and not nothing
	}
	return l
}

type keeper struct {
	deps    Deps
	results *prometheus.CounterVec
}

// advisory is JetStream's word that a consumer gave a message up.
type advisory struct {
	Type       string `json:"type"`
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	StreamSeq  uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
	Reason     string `json:"reason"`
}

func (k *keeper) handle(ctx context.Context, m Message) error {
	var a advisory
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return Permanent(fmt.Errorf("advisory: %w", err))
	}
	spec, ours := consumer(a.Consumer)
	if !ours || spec.Stream != a.Stream {
		return nil // an outsider's consumer on our streams: its messages are its own affair
	}
	original, err := k.original(ctx, a)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		// A terminated message of the work queue is gone by design, after its copy was made. So is one that this keeper
		// deleted in an earlier delivery of the same advisory.
		return nil
	}
	if err != nil {
		return err
	}
	return k.bury(ctx, a, spec, original)
}

func (k *keeper) original(ctx context.Context, a advisory) (*jetstream.RawStreamMsg, error) {
	s, err := k.deps.JS.Stream(ctx, a.Stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s of an advisory: %w", a.Stream, err)
	}
	raw, err := s.GetMsg(ctx, a.StreamSeq)
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", a.StreamSeq, a.Stream, err)
	}
	return raw, nil
}

// bury copies, tells, and only then frees the work queue. A message that the loop terminated is copied too: if the loop did
// its part the copy has the same id and vanishes, and if something else terminated it there is a copy after all.
func (k *keeper) bury(ctx context.Context, a advisory, spec ConsumerSpec, raw *jetstream.RawStreamMsg) error {
	reason := a.Reason
	if a.Type == maxDeliveriesType {
		reason = fmt.Sprintf("delivered %d times and never answered: the process died or hung each time", a.Deliveries)
	}
	d := deadLetter{
		service: spec.Service, consumer: a.Consumer, stream: a.Stream, subject: raw.Subject, seq: raw.Sequence, header: raw.Header,
		data: raw.Data, reason: reason, deliveries: a.Deliveries, published: raw.Time, id: messageID(raw.Header.Get, a.Stream, raw.Sequence),
	}
	if err := publishDeadLetter(ctx, k.deps.JS, d); err != nil {
		return err
	}
	if a.Type != maxDeliveriesType {
		return nil // the loop has told the service
	}
	if k.deps.DeadLettered != nil {
		if err := k.deps.DeadLettered(ctx, d.message(), errors.New(reason)); err != nil {
			return fmt.Errorf("tell of dead letter: %w", err)
		}
	}
	if a.Stream == Commands {
		if err := k.remove(ctx, a); err != nil {
			return err
		}
	}
	// Nobody else can: whoever had the message died or hung. Last, so that another try of this advisory counts once.
	k.results.WithLabelValues(a.Consumer, resultDeadLettered).Inc()
	return nil
}

// remove takes the original off the work queue, where it would lie for ever: no consumer gets it again.
func (k *keeper) remove(ctx context.Context, a advisory) error {
	s, err := k.deps.JS.Stream(ctx, a.Stream)
	if err != nil {
		return fmt.Errorf("remove message %d of %s: %w", a.StreamSeq, a.Stream, err)
	}
	if err := s.DeleteMsg(ctx, a.StreamSeq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("remove message %d of %s: %w", a.StreamSeq, a.Stream, err)
	}
	return nil
}

// message is the given-up message as its own handler would have seen it.
func (d deadLetter) message() Message {
	return Message{
		Stream: d.stream, Subject: d.subject, ID: d.id, Header: d.header.Get, Data: d.data, Seq: d.seq, Published: d.published,
		Delivered: d.deliveries, Origin: Origin{Stream: d.stream, Subject: d.subject, Consumer: d.consumer},
	}
}
