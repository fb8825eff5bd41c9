package outboxtest

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
)

// Event is a published event.
type Event struct {
	event.Envelope
	Body []byte
}

// Events are the events so far, in order.
func (s *Schema) Events() []Event { return s.events(s.Pool) }

func (s *Schema) events(q querier) []Event {
	s.t.Helper()
	var all []Event
	for _, m := range s.after(q, stream.Events, 0) {
		env, err := event.ParseHeaders(func(k string) string { return m.Headers[k] })
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, Event{env, m.Payload})
	}
	return all
}

// EventTypes are the types of the events of an aggregate, in order.
func (s *Schema) EventTypes(aggregate string) []string {
	s.t.Helper()
	var types []string
	for _, ev := range s.Events() {
		if ev.Type.Aggregate() == aggregate {
			types = append(types, string(ev.Type))
		}
	}
	return types
}

// Told are the names of the events of one aggregate, in order: "charge.due charge.submitting …" without what is before the dot.
func (s *Schema) Told(aggregate, id string) []string {
	s.t.Helper()
	var names []string
	for _, ev := range s.Events() {
		if ev.Type.Aggregate() == aggregate && ev.Subject == id {
			names = append(names, ev.Type.Name())
		}
	}
	return names
}

// CheckEvents fails the test unless events have contiguous versions per aggregate, follow the state tables, and tell the
// states that the tables hold (promise 5), all of it at one moment: somebody may be at work. A query per aggregate selects id, state and version.
func (s *Schema) CheckEvents(tables map[string]string) {
	s.t.Helper()
	err := pg.Snapshot(s.t.Context(), s.Pool, func(tx pgx.Tx) error { s.checkEvents(tx, tables); return nil })
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Schema) checkEvents(q querier, tables map[string]string) {
	s.t.Helper()
	versions, states := map[string]int64{}, map[string]string{}
	for _, ev := range s.events(q) {
		key := ev.Type.Aggregate() + " " + ev.Subject
		if ev.Version != versions[key]+1 {
			s.t.Errorf("%s: %s has version %d after %d", key, ev.Type, ev.Version, versions[key])
		}
		versions[key] = ev.Version
		var body struct {
			State    string `json:"state"`
			Previous string `json:"previous_state"`
		}
		if err := json.Unmarshal(ev.Body, &body); err != nil {
			s.t.Fatal(err)
		}
		if before, known := states[key]; known && before != body.Previous {
			s.t.Errorf("%s: %s tells previous state %q, the event before told %q", key, ev.Type, body.Previous, before)
		}
		if !slices.ContainsFunc(event.Machines(), func(m event.Machine) bool { return m.Has(body.Previous, body.State, ev.Type) }) {
			s.t.Errorf("%s: no table has %s from %q to %q", key, ev.Type, body.Previous, body.State)
		}
		states[key] = body.State
	}
	for aggregate, sql := range tables {
		s.each(q, sql, func(id, state string, version int64) {
			if key := aggregate + " " + id; states[key] != state || versions[key] != version {
				s.t.Errorf("%s: events end in %q version %d, the table has %q version %d", key, states[key], versions[key], state, version)
			}
		})
	}
}

// Each calls fn with each id, state and version that a query selects.
func (s *Schema) Each(sql string, fn func(id, state string, version int64)) { s.each(s.Pool, sql, fn) }

// querier is the pool, or a transaction that sees one moment.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (s *Schema) each(q querier, sql string, fn func(id, state string, version int64)) {
	s.t.Helper()
	rows, err := q.Query(s.t.Context(), sql)
	if err != nil {
		s.t.Fatal(err)
	}
	var id, state string
	var version int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &state, &version}, func() error { fn(id, state, version); return nil }); err != nil {
		s.t.Fatal(err)
	}
}
