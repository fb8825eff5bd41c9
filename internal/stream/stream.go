// Package stream holds JetStream's streams and consumers as data, the one provisioner that creates them, and the loop
// that handles messages: acknowledge, delay, dead-letter, terminate, heartbeat.
package stream

import (
	"context"
	"log/slog"
	"strings"
	"time"

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

// TickSubject is agogo.tick.<tenant>.<service>.<schedule>.
func TickSubject(tenant, service, schedule string) string {
	return strings.Join([]string{"agogo.tick", tenant, service, schedule}, ".")
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
}

// Handler handles one message; nil acknowledges it. An error made by Permanent dead-letters it at once, one made by After
// delivers it again after that delay, any other one after a growing delay. The context ends before the redelivery would
// begin unless the consumer heartbeats, and carries the message's cause and trace.
type Handler func(ctx context.Context, m Message) error

// Permanent marks an error that no repetition can cure.
func Permanent(err error) error { panic("contract") }

// After asks for redelivery after d without counting it as a failure to alarm about.
func After(err error, d time.Duration) error { panic("contract") }

// ConsumerSpec is a durable pull consumer as data.
type ConsumerSpec struct {
	Stream        string
	Durable       string
	Filter        []string
	BackOff       []time.Duration // BackOff[0] is the AckWait
	MaxDeliver    int
	MaxAckPending int
	Workers       int  // handlers at once in one process
	Heartbeat     bool // InProgress while the handler runs
}

// Consumers lists every durable consumer of the system; Consumer finds one by name.
func Consumers() []ConsumerSpec { panic("contract") }

// Consumer finds a spec by durable name and panics when there is none: names are constants of the code.
func Consumer(durable string) ConsumerSpec { panic("contract") }

// Options are what differs between installations.
type Options struct {
	Replicas  int // 1 in dev, 3 in production
	EventsAge time.Duration
	MaxBytes  map[string]int64 // per stream; absent: the default
}

// Provision creates or widens streams and consumers; it refuses an edit that would lose messages.
func Provision(ctx context.Context, js jetstream.JetStream, o Options) error { panic("contract") }

// Deps are what a loop needs.
type Deps struct {
	JS      jetstream.JetStream
	Service string
	Logger  *slog.Logger
	// DeadLettered is told after a message was copied to DLQ (the service emits event.dead_lettered); may be nil.
	DeadLettered func(ctx context.Context, m Message, err error) error
}

// Loop handles the messages of one consumer.
type Loop struct{}

// NewLoop makes a loop.
func NewLoop(spec ConsumerSpec, h Handler, d Deps) *Loop { panic("contract") }

// Run binds to the consumer and handles messages until ctx ends; then it drains: buffered messages are given back at once
// and running handlers finish.
func (l *Loop) Run(ctx context.Context) error { panic("contract") }

// Ready reports whether the loop is bound and delivering.
func (l *Loop) Ready(ctx context.Context) error { panic("contract") }
