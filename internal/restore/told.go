package restore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream"
)

// told is how far EVENTS has heard a service: the highest epoch, the highest place in the outbox within it, and the latest time.
type told struct {
	epoch int
	seq   int64
	at    time.Time

	places []int64 // of the newest message of each subject within the epoch, with their ids
	ids    []string
}

// place is where a message stands: its epoch and its place in the service's outbox.
func place(m jetstream.Msg) (epoch int, seq int64, ok bool) {
	epoch, bad := strconv.Atoi(m.Headers().Get("ce-epoch"))
	seq, worse := strconv.ParseInt(m.Headers().Get(outbox.SeqHeader), 10, 64)
	return epoch, seq, bad == nil && worse == nil
}

// readTold looks at the newest event on each subject of a service: as many as it has kinds of events, tenants and partitions,
// however many it ever published. The order in which events of different aggregates were published is not that of the
// outbox, which is why the very last one would not do.
func readTold(ctx context.Context, js jetstream.JetStream, service string) (told, error) {
	var t told
	err := stream.History(ctx, js, stream.Events, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"agogo.evt.*." + service + ".>"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: true,
	}, func(m jetstream.Msg) error {
		if epoch, seq, ok := place(m); ok {
			switch {
			case epoch > t.epoch:
				t.epoch, t.seq, t.places, t.ids = epoch, seq, nil, nil
			case epoch == t.epoch:
				t.seq = max(t.seq, seq)
			}
			if epoch == t.epoch {
				t.places, t.ids = append(t.places, seq), append(t.ids, m.Headers().Get(jetstream.MsgIDHeader))
			}
		}
		if at, err := time.Parse(time.RFC3339Nano, m.Headers().Get("ce-time")); err == nil && at.After(t.at) {
			t.at = at
		}
		return nil
	})
	if err != nil {
		return told{}, fmt.Errorf("read what %s has published: %w", service, err)
	}
	return t, nil
}

// ahead says what the stream knows and the tables do not, "" when there is nothing.
func (t told) ahead(epoch int, known outbox.Known) string {
	switch {
	case t.epoch > epoch:
		return fmt.Sprintf("EVENTS has heard of epoch %d, the tables of %d", t.epoch, epoch)
	case t.epoch == epoch && t.seq > known.Seq:
		return fmt.Sprintf("EVENTS has message %d of the outbox, which in the tables ends with %d", t.seq, known.Seq)
	default:
		return ""
	}
}

// Lost is something that was told after the backup was taken and may have paid.
type Lost struct {
	Subject  [16]byte
	Tenant   string
	Owner    string
	Provider string
	Amount   int64
	State    string
}

// Tracking is what a service has to know of what was lost. The zero value keeps nothing.
type Tracking struct {
	// Aggregate is the aggregate whose events are read, "payout".
	Aggregate string
	// Read takes what matters out of an event's body.
	Read func(body []byte) (Lost, error)
	// Harmless are the states that nothing is ever paid from.
	Harmless []string
}

// history reads the lost events of the service and hands them to keep in chunks. since is where to begin reading; the zero time is
// the beginning.
func (k Tracking) history(ctx context.Context, js jetstream.JetStream, service string, since time.Time, lost func(epoch int, seq int64) bool, keep func([]lostEvent) error) error {
	if k.Aggregate == "" {
		return nil
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{"agogo.evt.*." + service + "." + k.Aggregate + ".>"}, DeliverPolicy: jetstream.DeliverAllPolicy}
	if !since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	var chunk []lostEvent
	err := stream.History(ctx, js, stream.Events, cfg, func(m jetstream.Msg) error {
		epoch, seq, ok := place(m)
		if !ok || !lost(epoch, seq) {
			return nil
		}
		e, err := event.ParseHeaders(m.Headers().Get)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Subject(), err)
		}
		body, err := k.Read(m.Data())
		if err != nil {
			return fmt.Errorf("%s %s: %w", e.Type, e.Subject, err)
		}
		if chunk = append(chunk, lostEvent{body, e.Epoch, e.Version}); len(chunk) < lostChunk {
			return nil
		}
		err = keep(chunk)
		chunk = chunk[:0]
		return err
	})
	if err != nil {
		return fmt.Errorf("read what was published since the backup: %w", err)
	}
	return keep(chunk)
}

type lostEvent struct {
	Lost
	epoch   int
	version int64
}

// lostChunk is how many events are kept at once.
const lostChunk = 2000
