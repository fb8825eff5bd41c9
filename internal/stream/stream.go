// Package stream holds JetStream's streams and consumers as data, the one provisioner that creates them, and the loop
// that handles messages: acknowledge, delay, dead-letter, terminate, heartbeat.
package stream

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
)

// Names of the streams (DESIGN 3).
const (
	Ticks      = "TICKS"
	Commands   = "COMMANDS"
	Events     = "EVENTS"
	Audit      = "AUDIT"
	DLQ        = "DLQ"
	Advisories = "ADVISORIES"
)

// JetStream is JetStream on a connection.
func JetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(callTimeout))
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	return js, nil
}

// TickSubject is agogo.tick.<tenant>.<service>.<schedule>.
func TickSubject(tenant, service, schedule string) string {
	return strings.Join([]string{"agogo.tick", tenant, service, schedule}, ".")
}

// Connected makes a readiness check of a connection.
func Connected(nc *nats.Conn) func(context.Context) error {
	return func(context.Context) error {
		if !nc.IsConnected() {
			return fmt.Errorf("not connected to NATS (%s)", nc.Status())
		}
		return nil
	}
}

// CommandSubject is agogo.cmd.<service>.<verb>.<pNN>, with the partition of id.
func CommandSubject(service, verb, id string) string {
	return strings.Join([]string{"agogo.cmd", service, verb, event.PartitionToken(id)}, ".")
}

// Message is what a handler sees.
type Message struct {
	Stream    string
	Subject   string
	ID        string // ce-id, or Nats-Msg-Id where a message is no event
	Header    func(name string) string
	Data      []byte
	Seq       uint64
	Published time.Time
	Delivered int
	// Origin is where the message was first delivered. It differs from Stream and Subject only for a dead letter that
	// was replayed; see [Route].
	Origin Origin
}

// Origin names a message's first delivery.
type Origin struct {
	Stream   string
	Subject  string
	Consumer string
}

// Handler handles one message; nil acknowledges it. An error made by Permanent dead-letters it at once, one made by After
// delivers it again after that delay, any other one after a growing delay. The context ends before the redelivery would
// begin unless the consumer heartbeats, and carries the message's cause and trace.
type Handler func(ctx context.Context, m Message) error
