package payoutstest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Message is a row of the outbox.
type Message struct {
	Seq     int64
	ID      string
	Subject string
	Headers map[string]string
	Payload []byte
}

// Messages are the outbox rows for a stream, in order.
func (e *Env) Messages(stream string) []Message { return e.messagesAfter(stream, 0) }

func (e *Env) messagesAfter(stream string, seq int64) []Message {
	e.t.Helper()
	rows, err := e.Pool.Query(e.t.Context(),
		"SELECT seq, msg_id, subject, headers, payload FROM outbox WHERE stream = $1 AND seq > $2 ORDER BY seq", stream, seq)
	if err != nil {
		e.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m Message, err error) {
		var headers []byte
		if err := r.Scan(&m.Seq, &m.ID, &m.Subject, &headers, &m.Payload); err != nil {
			return m, err
		}
		return m, json.Unmarshal(headers, &m.Headers)
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// Event is a published event.
type Event struct {
	event.Envelope
	Body []byte
}

// Events are the events so far, in order.
func (e *Env) Events() []Event {
	e.t.Helper()
	var all []Event
	for _, m := range e.Messages(stream.Events) {
		env, err := event.ParseHeaders(func(k string) string { return m.Headers[k] })
		if err != nil {
			e.t.Fatal(err)
		}
		all = append(all, Event{env, m.Payload})
	}
	return all
}

// EventTypes are the types of the events of an aggregate, in order.
func (e *Env) EventTypes(aggregate string) []string {
	var types []string
	for _, ev := range e.Events() {
		if ev.Type.Aggregate() == aggregate {
			types = append(types, string(ev.Type))
		}
	}
	return types
}

// CheckEvents fails the test unless events have contiguous versions per aggregate, follow the state tables, and tell the
// states that the tables hold (promise 5).
func (e *Env) CheckEvents() {
	e.t.Helper()
	versions, states := map[string]int64{}, map[string]string{}
	for _, ev := range e.Events() {
		key := ev.Type.Aggregate() + " " + ev.Subject
		if ev.Version != versions[key]+1 {
			e.t.Errorf("%s: %s has version %d after %d", key, ev.Type, ev.Version, versions[key])
		}
		versions[key] = ev.Version
		var body struct {
			State    string `json:"state"`
			Previous string `json:"previous_state"`
		}
		if err := json.Unmarshal(ev.Body, &body); err != nil {
			e.t.Fatal(err)
		}
		if before, known := states[key]; known && before != body.Previous {
			e.t.Errorf("%s: %s tells previous state %q, the event before told %q", key, ev.Type, body.Previous, before)
		}
		if !inTable(ev.Type, body.Previous, body.State) {
			e.t.Errorf("%s: no table has %s from %q to %q", key, ev.Type, body.Previous, body.State)
		}
		states[key] = body.State
	}
	for table, sql := range map[string]string{
		"payout":       "SELECT payout_id::text, state, version FROM payouts",
		"payout_batch": "SELECT batch_id::text, state, version FROM batches",
		"run":          "SELECT run_id::text, state, version FROM runs WHERE version > 0",
		"payee":        "SELECT payee_id, state, version FROM payees WHERE version > 0",
	} {
		e.each(sql, func(id, state string, version int64) {
			if key := table + " " + id; states[key] != state || versions[key] != version {
				e.t.Errorf("%s: events end in %q version %d, the table has %q version %d", key, states[key], versions[key], state, version)
			}
		})
	}
}

func inTable(t event.Type, from, to string) bool {
	for _, m := range event.Machines() {
		for _, tr := range m.Transitions {
			if tr.Event == t && tr.From == from && tr.To == to {
				return true
			}
		}
	}
	return false
}

func (e *Env) each(sql string, fn func(id, state string, version int64)) {
	e.t.Helper()
	rows, err := e.Pool.Query(e.t.Context(), sql)
	if err != nil {
		e.t.Fatal(err)
	}
	var id, state string
	var version int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &state, &version}, func() error { fn(id, state, version); return nil }); err != nil {
		e.t.Fatal(err)
	}
}

// Payouts are the bodies of the newest event of each payout of a run.
func (e *Env) Payouts() map[string]*eventsv1.Payout {
	e.t.Helper()
	newest := map[string]*eventsv1.Payout{}
	for _, ev := range e.Events() {
		if ev.Type.Aggregate() != "payout" {
			continue
		}
		var p eventsv1.Payout
		if err := event.Decode(ev.Body, &p); err != nil {
			e.t.Fatal(err)
		}
		newest[p.GetPayoutId()] = &p
	}
	return newest
}

// CheckItems fails the test unless every claim is told by payments and items alike, no item is in two live payouts, and
// payouts are the sums of their items.
func (e *Env) CheckItems() {
	e.t.Helper()
	for what, sql := range map[string]string{
		"items claimed twice": `SELECT count(*) FROM (SELECT FROM payout_items WHERE released_at IS NULL GROUP BY tenant, item_kind, item_id HAVING count(*) > 1) d`,
		"payments whose claim is not that of their item": `SELECT count(*) FROM payments p FULL JOIN
			(SELECT * FROM payout_items WHERE item_kind = 'payment' AND released_at IS NULL) i ON i.tenant = p.tenant AND i.item_id = p.payment_id
			WHERE p.payout_id IS DISTINCT FROM i.payout_id`,
		"carries whose claim is not that of their item": `SELECT count(*) FROM carries c FULL JOIN
			(SELECT * FROM payout_items WHERE item_kind = 'carry' AND released_at IS NULL) i ON i.tenant = c.tenant AND i.item_id = c.carry_id
			WHERE c.payout_id IS DISTINCT FROM i.payout_id`,
		"payouts that are not the sum of their items": `SELECT count(*) FROM payouts p JOIN
			(SELECT payout_id, count(*) AS n, sum(gross) AS gross, sum(commission) AS commission, sum(net) AS net FROM payout_items GROUP BY payout_id) i USING (payout_id)
			WHERE (p.item_count, p.gross, p.commission, p.net) IS DISTINCT FROM (i.n, i.gross, i.commission, i.net)`,
		"payouts without items": `SELECT count(*) FROM payouts p WHERE NOT EXISTS (SELECT FROM payout_items i WHERE i.payout_id = p.payout_id)`,
	} {
		if n := e.Count(sql); n != 0 {
			e.t.Errorf("%d %s", n, what)
		}
	}
}

// Count runs a query for one number.
func (e *Env) Count(sql string, args ...any) int64 {
	e.t.Helper()
	var n int64
	if err := e.Pool.QueryRow(e.t.Context(), sql, args...).Scan(&n); err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// SQL runs a statement, for what no code of the service does yet.
func (e *Env) SQL(sql string, args ...any) {
	e.t.Helper()
	if _, err := e.Pool.Exec(e.t.Context(), sql, args...); err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
}

// Balances are the accounts that are not zero: debits less credits.
func (e *Env) Balances() map[string]int64 {
	e.t.Helper()
	all, err := ledger.Balances(e.t.Context(), e.Pool, Tenant, "", "", 10_000)
	if err != nil {
		e.t.Fatal(err)
	}
	net := map[string]int64{}
	for _, b := range all {
		if b.Net() != 0 {
			net[b.Account] = b.Net()
		}
	}
	return net
}

// Import imports payments from CSV text and returns counts and refusals.
func (e *Env) Import(csv string) (rows.Counts, []rows.Error) {
	e.t.Helper()
	return e.ImportFrom(strings.NewReader(csv), "csv")
}

// ImportFrom imports payments in a format.
func (e *Env) ImportFrom(r io.Reader, format string) (rows.Counts, []rows.Error) {
	e.t.Helper()
	var refused []rows.Error
	n, err := e.Importer.Payments(e.Ctx(), e.Tenants.Tenants[0], format, r, rows.Sink{
		Refused:  func(r rows.Error) error { refused = append(refused, r); return nil },
		Progress: func(rows.Counts) error { return nil },
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return n, refused
}

// Header is the header line of payments.
const Header = "payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at,paid_reference\n"

// Pay is a CSV line of a completed payment.
func Pay(id, payee string, amount int64, at string) string {
	return Row(id, payee, amount, "completed", at, "")
}

// Row is a CSV line of a payment.
func Row(id, payee string, amount int64, status, at, paidReference string) string {
	return fmt.Sprintf("%s,%s,Livreur,+2250700000101,%d,XOF,orange_money,%s,%s,%s\n", id, payee, amount, status, at, paidReference)
}

// Sample reads a file of testdata beside this package.
func Sample(t testing.TB, name string) []byte {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// EachBatch calls fn with the id of each batch.
func (e *Env) EachBatch(fn func(id uuid.UUID)) {
	e.t.Helper()
	e.each("SELECT batch_id::text, state, version FROM batches", func(id, _ string, _ int64) { fn(uuid.MustParse(id)) })
}
