package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/outbox/db"
)

// item is a message of a parcel.
type item struct {
	*db.BatchRow
	at int // its place in the parcel's arrays
}

func (i item) key() string { return i.Keys[i.at] }

// outcome of a batch. A message that is in neither list was not sent: one of its key before it failed, its key waits, or its
// lease is gone.
type outcome struct {
	acked  []item
	failed map[string]failure // by key
}

// failure is why a message was not acknowledged; whether the stream has it is unknown then, unless it refused.
type failure struct {
	id, subject string
	err         error
	reason      string // label of the metric
	message     bool   // refused for what it is: no other message would fare like it
}

func (f failure) Error() string {
	return fmt.Sprintf("publish message %s to %s: %v", f.id, f.subject, f.err)
}

func (f failure) Unwrap() error { return f.err }

// publish sends the first message of every key at once, awaits all acknowledgements, then sends the second ones, and so
// on. A key stops at its first failure, so that nothing overtakes a message whose fate is unknown.
func (l *lane) publish(ctx context.Context, rows []db.BatchRow, held map[int16]*lease, waiting map[string]bool) outcome {
	out := outcome{failed: map[string]failure{}}
	for wave := chains(rows, waiting); len(wave) > 0; {
		wave = l.send(ctx, wave, held, &out)
	}
	return out
}

// chains groups the messages that are still to be published by key, in order of their first ones, without the keys that wait.
func chains(rows []db.BatchRow, waiting map[string]bool) [][]item {
	var all [][]item
	index := map[string]int{}
	for n := range rows {
		row := &rows[n]
		for _, at := range left(*row) {
			key := row.Keys[at]
			if waiting[key] {
				continue
			}
			i, ok := index[key]
			if !ok {
				i = len(all)
				index[key] = i
				all = append(all, nil)
			}
			all[i] = append(all[i], item{row, at})
		}
	}
	return all
}

// left lists the places of a parcel's messages that no stream has acknowledged.
func left(row db.BatchRow) []int {
	var places []int
	if row.Waiting == nil {
		for at := range row.Keys {
			places = append(places, at)
		}
	}
	for _, place := range row.Waiting {
		places = append(places, int(place)-1)
	}
	return places
}

// send publishes the head of each chain, awaits every future, and returns what is left of the chains that go on.
func (l *lane) send(ctx context.Context, wave [][]item, held map[int16]*lease, out *outcome) [][]item {
	futures, refused := make([]jetstream.PubAckFuture, len(wave)), l.r.refused()
	for i, chain := range wave {
		if ctx.Err() != nil || held[chain[0].Part].lost() || refused {
			continue
		}
		future, err := l.publishOne(chain[0])
		if err != nil {
			out.fail(chain[0], err)
			continue
		}
		futures[i] = future
	}
	var rest [][]item
	for i, chain := range wave {
		if futures[i] == nil {
			continue
		}
		select {
		case <-futures[i].Ok(): // also when it is a duplicate: the stream has it
			out.acked = append(out.acked, chain[0])
			if len(chain) > 1 {
				rest = append(rest, chain[1:])
			}
		case err := <-futures[i].Err(): // comes in any case: the publisher has a timeout
			out.fail(chain[0], err)
		}
	}
	return rest
}

func (l *lane) publishOne(i item) (jetstream.PubAckFuture, error) {
	h, err := header(i.Common, i.Headers[i.at])
	if err != nil {
		return nil, err
	}
	h[SeqHeader] = []string{strconv.FormatInt(i.Seq, 10)}
	m := &nats.Msg{Subject: i.Subjects[i.at], Data: i.Payloads[i.at], Header: h}
	return l.r.js.PublishMsgAsync(m, jetstream.WithMsgID(i.MsgIds[i.at]), jetstream.WithExpectStream(l.stream), jetstream.WithStallWait(stallWait))
}

func (o *outcome) fail(i item, err error) {
	f := failure{id: i.MsgIds[i.at], subject: i.Subjects[i.at], err: err}
	f.reason, f.message = classify(err)
	o.failed[i.key()] = f
}

// Codes of JetStream's errors that are told apart; nats.go has no names for them.
const (
	codeStreamFull = 10077 // discard new
	codeInProcess  = 10158 // the same id is being stored at this moment
)

// classify names the reason and tells whether it lies in the message. Everything is tried again, whatever it is.
func classify(err error) (reason string, message bool) {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api):
		return classifyAPI(api)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return "no_stream", false // no leader at the moment, or nobody has this subject: the answer is the same
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return "timeout", false
	case errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return "stalled", false
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, jetstream.ErrInvalidSubject),
		errors.Is(err, errHeader):
		return "refused", true
	}
	return "disconnected", false
}

func classifyAPI(e *jetstream.APIError) (reason string, message bool) {
	switch {
	case e.ErrorCode == codeInProcess:
		return "in_process", true
	case e.ErrorCode == codeStreamFull:
		return "full", false
	case e.Code >= 500:
		return "unavailable", false
	}
	return "refused", true // too large, a subject of another stream than expected, …
}
