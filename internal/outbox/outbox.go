// Package outbox carries messages from a transaction to JetStream: rows written beside the fact they tell, published by
// a relay that owns the row's partition by a lease, marked after the PubAck and kept for 72 hours.
package outbox

import (
	"context"
	"embed"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates outbox, its lease and its retention.
var Migrations = pg.Set{Name: "outbox", FS: sub(migrations)}

// Message is one row of the outbox.
type Message struct {
	ID      string // Nats-Msg-Id; equal to ce-id for events
	Stream  string // Nats-Expected-Stream
	Subject string
	Key     string // messages of one key are published in the order they were written (the writer holds the aggregate's row)
	Headers map[string]string
	Payload []byte
}

// FromEvent makes the message of an event; body is from event.Encode. Traceparent is taken from ctx.
func FromEvent(ctx context.Context, e event.Envelope, body []byte) Message { panic("contract") }

// Config tunes the relay; zero values are the defaults of reference/eventing.md.
type Config struct {
	Service string
	Poll    time.Duration // 250 ms
	Batch   int           // 500
}

// Deps are what the outbox needs.
type Deps struct {
	Pool   *pgxpool.Pool
	JS     jetstream.JetStream
	Clock  clock.Clock
	Logger *slog.Logger
}

// Outbox appends and relays.
type Outbox struct{}

// New makes an outbox; Run relays until its context ends.
func New(c Config, d Deps) *Outbox { panic("contract") }

// Append writes messages in the caller's transaction, in one statement however many they are.
func (o *Outbox) Append(ctx context.Context, tx pgx.Tx, msgs ...Message) error { panic("contract") }

// Nudge wakes the relay; call it after commit. Polling is the truth, so a lost nudge only costs the poll interval.
func (o *Outbox) Nudge() { panic("contract") }

// Run relays until ctx ends, then awaits what is in flight and gives its leases back.
func (o *Outbox) Run(ctx context.Context) error { panic("contract") }
