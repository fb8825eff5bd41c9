// Package outboxtest lets tests of a service's parts, which run without streams, look at what the service wrote and hand its
// messages over themselves. It is imported by tests only.
package outboxtest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Schema is a service's schema with its outbox.
type Schema struct {
	Pool *pgxpool.Pool

	t      testing.TB
	handed int64 // the last command that Work handed over
}

// New looks at the schema that pool opens.
func New(t testing.TB, pool *pgxpool.Pool) *Schema { return &Schema{Pool: pool, t: t} }

// Ctx is a context with an actor who may do anything.
func (s *Schema) Ctx() context.Context { return s.As("user:test") }

// As is such a context with an actor's name.
func (s *Schema) As(name string) context.Context {
	ctx := event.WithCause(s.t.Context(), event.Cause{Actor: name, CorrelationID: "test"})
	return auth.WithActor(ctx, auth.Actor{Name: name, Role: auth.Admin, Tenants: []string{"*"}})
}

// InTx runs fn in a transaction and fails the test on an error.
func (s *Schema) InTx(fn func(tx pgx.Tx) error) {
	s.t.Helper()
	if err := pg.InTx(s.Ctx(), s.Pool, fn); err != nil {
		s.t.Fatal(err)
	}
}

// Count runs a query for one number.
func (s *Schema) Count(sql string, args ...any) int64 {
	s.t.Helper()
	var n int64
	if err := s.Pool.QueryRow(s.t.Context(), sql, args...).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// SQL runs a statement, for what no code of the service does.
func (s *Schema) SQL(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.Pool.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// Balances are a tenant's accounts that are not zero: debits less credits.
func (s *Schema) Balances(tenant string) map[string]int64 {
	s.t.Helper()
	all, err := ledger.Balances(s.t.Context(), s.Pool, tenant, "", "", 10_000)
	if err != nil {
		s.t.Fatal(err)
	}
	net := map[string]int64{}
	for _, b := range all {
		if b.Net() != 0 {
			net[b.Account] = b.Net()
		}
	}
	return net
}

// Message is a row of the outbox.
type Message struct {
	Seq     int64
	ID      string
	Subject string
	Headers map[string]string
	Payload []byte
}

// Messages are the outbox rows for a stream, in order.
func (s *Schema) Messages(stream string) []Message { return s.after(s.Pool, stream, 0) }

func (s *Schema) after(q querier, stream string, seq int64) []Message {
	s.t.Helper()
	rows, err := q.Query(s.t.Context(),
		"SELECT seq, msg_id, subject, headers, payload FROM outbox WHERE stream = $1 AND seq > $2 ORDER BY seq", stream, seq)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m Message, err error) {
		var headers []byte
		if err := r.Scan(&m.Seq, &m.ID, &m.Subject, &headers, &m.Payload); err != nil {
			return m, err
		}
		return m, json.Unmarshal(headers, &m.Headers)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// Fire hands a tick to its consumer, as a message with an id.
func (s *Schema) Fire(handle stream.Handler, tick *eventsv1.Tick, id string) error {
	s.t.Helper()
	body, err := event.Encode(tick)
	if err != nil {
		s.t.Fatal(err)
	}
	return handle(s.Ctx(), stream.Message{
		Stream: stream.Ticks, Subject: stream.TickSubject(tick.GetTenant(), tick.GetService(), tick.GetSchedule()), ID: id,
		Header: func(string) string { return "" }, Data: body,
	})
}

// Work hands over commands from the outbox, and those that follow, until there are none left.
func (s *Schema) Work(handle stream.Handler) {
	s.t.Helper()
	for again := true; again; {
		again = false
		for _, m := range s.after(s.Pool, stream.Commands, s.handed) {
			s.handed, again = m.Seq, true
			if err := s.Hand(handle, m); err != nil {
				s.t.Fatalf("%s: %v", m.ID, err)
			}
		}
	}
}

// Hand gives a command to its handler.
func (s *Schema) Hand(handle stream.Handler, m Message) error {
	return handle(s.Ctx(), stream.Message{
		Stream: stream.Commands, Subject: m.Subject, ID: m.ID, Header: func(string) string { return "" }, Data: m.Payload,
	})
}
