package outbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestAppendKeepsOrderAndContent(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	o := b.outbox()
	var msgs []outbox.Message
	for n := range 1000 {
		msgs = append(msgs, message("A", fmt.Sprintf("key-%d", n%7), n))
	}
	odd := outbox.Message{
		ID: "odd", Stream: "B", Subject: "B.x", Key: "o'dd \"key\"",
		Headers: map[string]string{"ce-actor": "user:Zoé \\ {},\"", "empty": ""}, Payload: []byte{0, 1, 255, '{', '"'},
	}
	b.append(o, append(msgs, odd, outbox.Message{ID: "bare", Stream: "B", Subject: "B.y", Key: "k"})...)
	b.append(o)

	rows, err := b.pool.Query(t.Context(), "SELECT msg_id, stream, subject, key, headers, payload FROM outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m outbox.Message, err error) {
		var headers []byte
		err = row.Scan(&m.ID, &m.Stream, &m.Subject, &m.Key, &headers, &m.Payload)
		return m, errors.Join(err, json.Unmarshal(headers, &m.Headers))
	})
	if err != nil {
		t.Fatal(err)
	}
	bare := outbox.Message{ID: "bare", Stream: "B", Subject: "B.y", Key: "k", Headers: map[string]string{}, Payload: []byte{}}
	if diff := cmp.Diff(byKey(append(msgs, odd, bare)), byKey(got)); diff != "" {
		t.Error(diff)
	}
}

// byKey sorts messages into what has an order: those of one key.
func byKey(msgs []outbox.Message) map[string][]outbox.Message {
	keys := map[string][]outbox.Message{}
	for _, m := range msgs {
		keys[m.Key] = append(keys[m.Key], m)
	}
	return keys
}

// What a transaction tells of one tenant is one row for each stream, however many messages it is, with what they share once.
func TestMessagesOfATransactionShareRows(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	o := b.outbox()
	var msgs []outbox.Message
	for n := range 200 {
		for _, stream := range []string{"A", "B"} {
			m := message(stream, fmt.Sprintf("lebenis/payout/%d", n), 0)
			m.Subject, m.Headers["ce-source"] = stream+".x", "/payouts"
			msgs = append(msgs, m)
		}
	}
	b.append(o, msgs...)
	if n := b.count("SELECT count(*) FROM outbox_parcels WHERE messages = 200 AND common LIKE '%ce-source:/payouts%' AND NOT headers[200] LIKE '%ce-source%'"); n != 2 {
		t.Errorf("%d rows of 200 messages with their source once, want one for each stream", n)
	}
	if n := b.count("SELECT count(*) FROM outbox WHERE headers->>'ce-source' = '/payouts' AND headers->>'ce-id' = msg_id"); n != 400 {
		t.Errorf("%d messages with all their headers", n)
	}
}

func TestAppendRefusesWhatCouldNeverBePublished(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	o := b.outbox()
	for name, spoil := range map[string]func(*outbox.Message){
		"id": func(m *outbox.Message) { m.ID = "" }, "stream": func(m *outbox.Message) { m.Stream = "" },
		"subject": func(m *outbox.Message) { m.Subject = "" }, "key": func(m *outbox.Message) { m.Key = "" },
		"an unbroken header": func(m *outbox.Message) { m.Headers["ce-actor"] = "user:a\nce-id:forged" },
		"a header's name":    func(m *outbox.Message) { m.Headers["ce-actor:"] = "user:a" },
	} {
		m := message("A", "k", 1)
		spoil(&m)
		err := pg.InTx(t.Context(), b.pool, func(tx pgx.Tx) error { return o.Append(t.Context(), tx, message("A", "k", 0), m) })
		if err == nil {
			t.Errorf("a message without %s was taken", name)
		}
	}
}

func TestRolledBackMessagesAreNeverPublished(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	b.run(o)
	broken := errors.New("the fact did not happen")
	err := pg.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return errors.Join(o.Append(t.Context(), tx, message("A", "undone", 0)), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	b.append(o, message("A", "done", 0))
	b.awaitMarked(1)
	b.checkStream("A", map[string]int{"done": 1})
}

func TestEventTravelsWithItsHeadersAndTrace(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Provisioned(t).JS)
	o := b.outbox()
	b.run(o)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(event.WithCause(t.Context(), event.Cause{Actor: "user:awa", CorrelationID: "tick", CausationID: "cmd"}), span)
	e := event.New(ctx, "payouts", "lebenis", "payout.created", "0198", 1, 0, time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC))
	m := outbox.FromEvent(ctx, e, []byte(`{"x":1}`))
	b.append(o, m, m.Again(2))
	b.awaitMarked(2)

	stored := b.stored("EVENTS")
	if len(stored) != 2 {
		t.Fatalf("%d messages stored, want the event and its re-emission", len(stored))
	}
	for i, id := range []string{e.ID, e.ID + "#2"} {
		got, err := event.ParseHeaders(stored[i].Header.Get)
		if err != nil {
			t.Fatal(err)
		}
		want := e
		want.Traceparent = "00-01000000000000000000000000000000-0200000000000000-01"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if stored[i].Header.Get(jetstream.MsgIDHeader) != id || stored[i].Subject != e.StreamSubject() || string(stored[i].Data) != `{"x":1}` {
			t.Errorf("stored %s %v %s, want id %s", stored[i].Subject, stored[i].Header, stored[i].Data, id)
		}
		for _, name := range slices.Collect(maps.Keys(stored[i].Header)) {
			if strings.HasPrefix(name, "Ce-") {
				t.Errorf("header %s was canonicalised", name)
			}
		}
	}
}
