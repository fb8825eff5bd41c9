package servicetest

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Publish sends an event as its service does, under a message id.
func (in *Installation) Publish(e event.Envelope, body []byte, msgID string) {
	in.T.Helper()
	in.send(e.StreamSubject(), e, body, msgID)
}

// Tick sends a tick as the scheduler does, fired at a time, under a message id.
func (in *Installation) Tick(tick *eventsv1.Tick, at time.Time, msgID string) {
	in.T.Helper()
	body, err := event.Encode(tick)
	if err != nil {
		in.T.Fatal(err)
	}
	e := event.New(in.Ctx, "scheduler", tick.GetTenant(), "tick.fired", tick.GetTickId(), 1, 0, at)
	e.Actor, e.CorrelationID = "service:scheduler", tick.GetTickId()
	in.send(stream.TickSubject(tick.GetTenant(), tick.GetService(), tick.GetSchedule()), e, body, msgID)
}

func (in *Installation) send(subject string, e event.Envelope, body []byte, msgID string) {
	in.T.Helper()
	msg := nats.NewMsg(subject)
	for k, v := range e.Headers() {
		msg.Header[k] = []string{v} // exactly as written: nats.Header would change the case
	}
	msg.Data = body
	if _, err := in.NATS.JS.PublishMsg(in.Ctx, msg, jetstream.WithMsgID(msgID)); err != nil {
		in.T.Error(err) // not Fatal: it may be another goroutine than the test's
	}
}

// Follow reads what a filter lets through of a stream, from its beginning.
func (in *Installation) Follow(name, filter string) jetstream.MessagesContext {
	in.T.Helper()
	c, err := in.NATS.JS.OrderedConsumer(in.Ctx, name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	if err != nil {
		in.T.Fatal(err)
	}
	m, err := c.Messages()
	if err != nil {
		in.T.Fatal(err)
	}
	in.T.Cleanup(m.Stop)
	return m
}

// Next waits for the next message.
func (in *Installation) Next(m jetstream.MessagesContext) jetstream.Msg {
	in.T.Helper()
	msg, err := m.Next(jetstream.NextContext(in.Ctx))
	if err != nil {
		in.T.Fatal(err)
	}
	return msg
}
