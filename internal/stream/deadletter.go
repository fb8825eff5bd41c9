package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a dead letter. Those of the message itself come with a prefix, so that neither JetStream nor a tool takes the
// copy for the original.
const (
	headerPrefix     = "agogo-original-"
	headerStream     = "agogo-dlq-stream"
	headerSubject    = "agogo-dlq-subject"
	headerSeq        = "agogo-dlq-seq"
	headerConsumer   = "agogo-dlq-consumer"
	headerReason     = "agogo-dlq-reason"
	headerDeliveries = "agogo-dlq-deliveries"
	headerPublished  = "agogo-dlq-published"
	headerID         = "agogo-dlq-id"
)

// Headers that a replayed message has besides its own.
const (
	headerReplayStream   = "agogo-replay-stream"
	headerReplaySubject  = "agogo-replay-subject"
	headerReplayConsumer = "agogo-replay-consumer"
	headerReplaySeq      = "agogo-replay-dlq-seq"
)

const maxReason = 1024

// deadLetter is what is known of a message that is given up.
type deadLetter struct {
	service, consumer string
	stream, subject   string
	seq               uint64
	id                string
	header            nats.Header
	data              []byte
	reason            string
	deliveries        int
	published         time.Time
}

// publishDeadLetter stores a full copy and returns when the server has it. The message id makes the copies that loop and
// keeper may both make one.
func publishDeadLetter(ctx context.Context, js jetstream.JetStream, d deadLetter) error {
	m := nats.NewMsg(strings.Join([]string{"agogo.dlq", d.service, d.stream, d.consumer}, "."))
	for k, vs := range d.header {
		m.Header[headerPrefix+k] = vs
	}
	m.Header[headerStream] = []string{d.stream}
	m.Header[headerSubject] = []string{d.subject}
	m.Header[headerSeq] = []string{strconv.FormatUint(d.seq, 10)}
	m.Header[headerConsumer] = []string{d.consumer}
	m.Header[headerReason] = []string{oneLine(d.reason)}
	m.Header[headerDeliveries] = []string{strconv.Itoa(d.deliveries)}
	m.Header[headerPublished] = []string{d.published.UTC().Format(time.RFC3339Nano)}
	m.Header[headerID] = []string{d.id}
	m.Data = d.data
	id := fmt.Sprintf("%s:%d:%s", d.stream, d.seq, d.consumer)
	if _, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithExpectStream(DLQ)); err != nil {
		return fmt.Errorf("copy to %s: %w", DLQ, err)
	}
	return nil
}

// oneLine fits a reason into a header.
func oneLine(reason string) string {
	reason = strings.Join(strings.Fields(reason), " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return reason
}
