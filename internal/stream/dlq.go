package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadLetter is a message that could not be handled, with everything it had.
type DeadLetter struct {
	Seq         uint64 // its place in DLQ: the name people use for it
	At          time.Time
	Service     string
	Stream      string
	Consumer    string
	Subject     string
	OriginalSeq uint64
	ID          string // ce-id, or what stands for it
	Reason      string
	Deliveries  int
	Published   time.Time
	Header      nats.Header // the original's
	Data        []byte      // the original's; nil in lists
}

// Type is the ce-type of an event, or "".
func (d DeadLetter) Type() string { return unescaped(d.Header.Get("ce-type")) }

// ListDeadLetters yields the dead letters of a service (of all with ""), oldest first and without their data.
func ListDeadLetters(ctx context.Context, js jetstream.JetStream, service string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		if service == "" {
			service = "*"
		}
		c, err := js.OrderedConsumer(ctx, DLQ, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"agogo.dlq." + service + ".>"}, HeadersOnly: true})
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("list dead letters: %w", err))
			return
		}
		// Read to the end as it is now; one that comes meanwhile is for the next list.
		left := c.CachedInfo().NumPending
		if left == 0 {
			return
		}
		messages, err := c.Messages()
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("list dead letters: %w", err))
			return
		}
		defer messages.Stop()
		for ; left > 0; left-- {
			d, err := nextDeadLetter(ctx, messages)
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

func nextDeadLetter(ctx context.Context, messages jetstream.MessagesContext) (DeadLetter, error) {
	m, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return DeadLetter{}, fmt.Errorf("list dead letters: %w", err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return DeadLetter{}, fmt.Errorf("list dead letters: %w", err)
	}
	return parseDeadLetter(meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Headers(), nil), nil
}

// ShowDeadLetter returns one dead letter whole, or [ErrNotFound].
func ShowDeadLetter(ctx context.Context, js jetstream.JetStream, seq uint64) (DeadLetter, error) {
	s, err := js.Stream(ctx, DLQ)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("show dead letter %d: %w", seq, err)
	}
	return showDeadLetter(ctx, s, seq)
}

func showDeadLetter(ctx context.Context, s jetstream.Stream, seq uint64) (DeadLetter, error) {
	m, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return DeadLetter{}, fmt.Errorf("show dead letter %d: %w (replayed, discarded or expired?)", seq, ErrNotFound)
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("show dead letter %d: %w", seq, err)
	}
	return parseDeadLetter(m.Sequence, m.Time, m.Subject, m.Header, m.Data), nil
}

// DiscardDeadLetter removes a dead letter for good.
func DiscardDeadLetter(ctx context.Context, js jetstream.JetStream, seq uint64) error {
	s, err := js.Stream(ctx, DLQ)
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", seq, err)
	}
	if _, err := showDeadLetter(ctx, s, seq); err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	if err := s.DeleteMsg(ctx, seq); err != nil {
		return fmt.Errorf("discard dead letter %d: %w", seq, err)
	}
	return nil
}

// Replayed tells what a replay did.
type Replayed struct {
	Subject string
	MsgID   string
	// Already is set when the same replay was published within the last minutes: it is under way, and not made twice.
	Already bool
}

// Replay gives a dead letter to its service once more and takes it off the list. It goes to the service's commands, not to
// the original stream, where others would get it a second time; ce-id stays, so effects that were made are not made again.
// Only publish and removal together are a replay: when the second fails, repeating it is safe.
func Replay(ctx context.Context, js jetstream.JetStream, seq uint64) (Replayed, error) {
	s, err := js.Stream(ctx, DLQ)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay dead letter %d: %w", seq, err)
	}
	d, err := showDeadLetter(ctx, s, seq)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay: %w", err)
	}
	m := replayMessage(d)
	// The number of the re-emission is the letter's own: a second press of the button is the same replay, and a message
	// that dies again is another letter.
	r := Replayed{Subject: m.Subject, MsgID: fmt.Sprintf("%s#%d", d.ID, d.Seq)}
	ack, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(r.MsgID), jetstream.WithExpectStream(Commands))
	if err != nil {
		return Replayed{}, fmt.Errorf("replay dead letter %d: %w", seq, err)
	}
	r.Already = ack.Duplicate
	if err := s.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return r, fmt.Errorf("dead letter %d is replayed, but still listed: %w", seq, err)
	}
	return r, nil
}

func replayMessage(d DeadLetter) *nats.Msg {
	m := nats.NewMsg(CommandSubject(d.Service, "replay", d.ID))
	m.Data = d.Data
	for k, vs := range d.Header {
		if !strings.HasPrefix(k, "Nats-") { // those belong to the publish that made the original
			m.Header[k] = slices.Clone(vs)
		}
	}
	if m.Header.Get("ce-id") == "" {
		m.Header["ce-id"] = []string{d.ID}
	}
	m.Header[headerReplaySeq] = []string{strconv.FormatUint(d.Seq, 10)}
	if m.Header.Get(headerReplayStream) == "" { // a replay that died again keeps its first origin
		m.Header[headerReplayStream] = []string{d.Stream}
		m.Header[headerReplaySubject] = []string{d.Subject}
		m.Header[headerReplayConsumer] = []string{d.Consumer}
	}
	return m
}

func parseDeadLetter(seq uint64, at time.Time, subject string, h nats.Header, data []byte) DeadLetter {
	d := DeadLetter{
		Seq: seq, At: at, Stream: h.Get(headerStream), Consumer: h.Get(headerConsumer), Subject: h.Get(headerSubject), ID: h.Get(headerID),
		Reason: h.Get(headerReason), Header: nats.Header{}, Data: data,
	}
	if tokens := strings.Split(subject, "."); len(tokens) > 2 {
		d.Service = tokens[2]
	}
	// What does not parse stays zero: people must be able to look at, and discard, anything that lies here.
	d.OriginalSeq, _ = strconv.ParseUint(h.Get(headerSeq), 10, 64)
	d.Deliveries, _ = strconv.Atoi(h.Get(headerDeliveries))
	d.Published, _ = time.Parse(time.RFC3339Nano, h.Get(headerPublished))
	for k, vs := range h {
		if original, ok := strings.CutPrefix(k, headerPrefix); ok {
			d.Header[original] = vs
		}
	}
	return d
}

// Route handles commands with own and gives replayed dead letters to the handler of the consumer where they died, by
// durable name. The consumer of a service's commands uses it.
func Route(own Handler, byConsumer map[string]Handler) Handler {
	return func(ctx context.Context, m Message) error {
		if m.Header(headerReplayStream) == "" {
			return own(ctx, m)
		}
		h, ok := byConsumer[m.Origin.Consumer]
		if !ok {
			return Permanent(fmt.Errorf("replayed message of consumer %q: this service does not have it", m.Origin.Consumer))
		}
		m.Stream, m.Subject = m.Origin.Stream, m.Origin.Subject
		return h(ctx, m)
	}
}
