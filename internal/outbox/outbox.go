// Package outbox carries messages from a transaction to JetStream: rows written beside the fact they tell, published by
// a relay that owns the row's part by a lease, marked after the PubAck and kept for 72 hours. A row is a parcel of what one
// transaction tells one stream; the view outbox shows its messages one by one.
//
// A message may be published more than once, always under the same id, and never less than once. Messages of one key and
// stream are published one after the other, the next one only when the stream has acknowledged the one before; so their
// order holds whatever fails, even while two relays believe to own the same part.
package outbox

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox/db"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates outbox, its lease and its retention.
var Migrations = pg.Set{Name: "outbox", FS: migrations, Dir: "migrations"}

// parts is how many leases share the keys; the migration inserts their rows.
const parts = 16

// Message is what is told once.
type Message struct {
	ID      string // Nats-Msg-Id; equal to ce-id for events
	Stream  string // Nats-Expected-Stream
	Subject string
	Key     string // messages of one key are published in the order they were written (the writer holds the aggregate's row)
	// Headers are sent as they are written: no line breaks, no colon in a name.
	Headers map[string]string
	Payload []byte
}

// FromEvent makes the message of an event; body is from event.Encode. Traceparent is taken from ctx.
func FromEvent(ctx context.Context, e event.Envelope, body []byte) Message {
	if e.Traceparent == "" {
		e.Traceparent = telemetry.Traceparent(ctx)
	}
	return Message{
		ID: e.ID, Stream: stream.Events, Subject: e.StreamSubject(),
		Key: e.Tenant + "/" + e.Type.Aggregate() + "/" + e.Subject, Headers: e.Headers(), Payload: body,
	}
}

// Again is the n-th deliberate re-emission of a message: JetStream takes it although it knows the first one, and inboxes,
// which look at ce-id, still see one message.
func (m Message) Again(n int) Message {
	m.ID += "#" + strconv.Itoa(n)
	return m
}

// Config tunes the relay; zero values are the defaults of reference/eventing.md.
type Config struct {
	Service string
	Poll    time.Duration // 250 ms
	Batch   int           // 1000 messages
	Lease   time.Duration // 4 s: how long the parts of a relay that died wait; renewed four times in that time
	Keep    time.Duration // 72 h: how long published rows stay, for a broker that lost what it had acknowledged
}

func (c Config) withDefaults() Config {
	if c.Poll <= 0 {
		c.Poll = 250 * time.Millisecond
	}
	if c.Batch <= 0 {
		c.Batch = 1000
	}
	if c.Lease <= 0 {
		c.Lease = 4 * time.Second
	}
	if c.Keep <= 0 {
		c.Keep = 72 * time.Hour
	}
	return c
}

// Deps are what the outbox needs.
type Deps struct {
	Pool       *pgxpool.Pool
	JS         jetstream.JetStream
	Logger     *slog.Logger
	Registerer prometheus.Registerer // may be nil
	// Refuse says why nothing may be told now, or nil; itself nil, everything may. Meanwhile nothing is appended, published or dropped.
	Refuse func() error
}

// Outbox appends and relays.
type Outbox struct {
	cfg     Config
	deps    Deps
	queries *db.Queries
	metrics *metrics
	nudge   chan struct{}
}

// New makes an outbox; Run relays until its context ends.
func New(c Config, d Deps) *Outbox {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return &Outbox{
		cfg: c.withDefaults(), deps: d, queries: db.New(d.Pool),
		metrics: newMetrics(c.Service, d.Registerer), nudge: make(chan struct{}, 1),
	}
}

// Append writes messages in the caller's transaction: a row for each stream and part, however many they are.
func (o *Outbox) Append(ctx context.Context, tx pgx.Tx, msgs ...Message) error {
	if len(msgs) == 0 {
		return nil
	}
	if o.deps.Refuse != nil { // every change is told in its own transaction, so whatever this refuses is not done either
		if err := o.deps.Refuse(); err != nil {
			return err
		}
	}
	rows, err := parcels(msgs)
	if err != nil {
		return err
	}
	q := o.queries.WithTx(tx)
	for _, r := range rows {
		if err := q.AppendParcel(ctx, r); err != nil {
			return fmt.Errorf("append %d messages to the outbox: %w", len(msgs), err)
		}
	}
	return nil
}

// refused holds the relay back too: what restored tables still have to publish would make EVENTS look as if it knew no more than they do.
func (o *Outbox) refused() bool { return o.deps.Refuse != nil && o.deps.Refuse() != nil }

// Unrefused is the same outbox for what must be told even while nothing else may be.
func (o *Outbox) Unrefused() *Outbox {
	free := *o
	free.deps.Refuse = nil
	return &free
}

// Nudge wakes the relay; call it after commit. Polling is the truth, so a lost nudge only costs the poll interval.
func (o *Outbox) Nudge() {
	select {
	case o.nudge <- struct{}{}:
	default: // it is awake already
	}
}

// Replay publishes again, under the same ids, whatever was written from that time on and published already: for a broker
// that lost acknowledged messages, or was restored from a backup. What the streams still know they drop as duplicates,
// beyond their window the inboxes do. from is compared with database time and reaches back as far as rows are kept.
func (o *Outbox) Replay(ctx context.Context, from time.Time) (int64, error) {
	last, err := o.queries.LastSeq(ctx)
	if err != nil {
		return 0, fmt.Errorf("outbox replay: %w", err)
	}
	var total int64
	for p := (db.UnmarkParams{CreatedFrom: from, LastSeq: last, Size: replayPage}); ; {
		page, err := o.queries.Unmark(ctx, p)
		if err != nil {
			return total, fmt.Errorf("outbox replay after row %d: %w", p.AfterSeq, err)
		}
		if total += page.Unmarked; page.LastSeq == 0 {
			o.Nudge()
			return total, nil
		}
		p.AfterSeq = page.LastSeq
	}
}

const replayPage = 200 // parcels

var errNoConnection = errors.New("not connected to NATS")
