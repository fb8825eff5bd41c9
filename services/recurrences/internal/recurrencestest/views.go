package recurrencestest

import (
	"encoding/json"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Message is a row of the outbox.
type Message struct {
	Seq     int64
	ID      string
	Subject string
	Headers map[string]string
	Payload []byte
}

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
	for _, m := range e.messagesAfter(stream.Events, 0) {
		env, err := event.ParseHeaders(func(k string) string { return m.Headers[k] })
		if err != nil {
			e.t.Fatal(err)
		}
		all = append(all, Event{env, m.Payload})
	}
	return all
}

// Told are the names of the events of one aggregate, in order: "charge.due charge.submitting …" without what is before the dot.
func (e *Env) Told(aggregate, id string) []string {
	e.t.Helper()
	var names []string
	for _, ev := range e.Events() {
		if ev.Type.Aggregate() == aggregate && ev.Subject == id {
			names = append(names, ev.Type.Name())
		}
	}
	return names
}

// Charge is the charge of a cycle.
func (e *Env) Charge(recurrenceID, cycle string) store.Charge {
	e.t.Helper()
	all, err := e.Store.Charges(e.t.Context(), e.Pool, charge.ID(Tenant, recurrenceID, cycle))
	if err != nil || len(all) != 1 {
		e.t.Fatalf("charge of %s of %s: %d found, %v", recurrenceID, cycle, len(all), err)
	}
	return all[0]
}

// Charges are all charges of a recurrence, oldest first.
func (e *Env) Charges(recurrenceID string) []store.Charge {
	e.t.Helper()
	rows, err := e.Pool.Query(e.t.Context(), "SELECT charge_id FROM charges WHERE recurrence_id = $1", recurrenceID)
	if err != nil {
		e.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		e.t.Fatal(err)
	}
	all, err := e.Store.Charges(e.t.Context(), e.Pool, ids...)
	if err != nil {
		e.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b store.Charge) int { return int(a.Cycle.Date - b.Cycle.Date) })
	return all
}

// Standing is a recurrence as it is.
func (e *Env) Standing(id string) store.Recurrence {
	e.t.Helper()
	all, err := e.Store.Recurrences(e.t.Context(), e.Pool, store.Key{Tenant: Tenant, ID: id})
	if err != nil || len(all) != 1 {
		e.t.Fatalf("recurrence %s: %d found, %v", id, len(all), err)
	}
	return all[0]
}

// Card is the card of a token.
func (e *Env) Card(token string) store.Card {
	e.t.Helper()
	all, err := e.Store.Cards(e.t.Context(), e.Pool, store.CardID(Tenant, token))
	if err != nil || len(all) != 1 {
		e.t.Fatalf("card %s: %d found, %v", token, len(all), err)
	}
	return all[0]
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
		"recurrence": "SELECT recurrence_id, state, version FROM recurrences",
		"charge":     "SELECT charge_id::text, state, version FROM charges",
		"card":       "SELECT card_id::text, state, version FROM cards WHERE version > 0",
		"run":        "SELECT run_id::text, state, version FROM runs WHERE version > 0",
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
		if m.Has(from, to, t) {
			return true
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

// Count runs a query for one number.
func (e *Env) Count(sql string, args ...any) int64 {
	e.t.Helper()
	var n int64
	if err := e.Pool.QueryRow(e.t.Context(), sql, args...).Scan(&n); err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// SQL runs a statement, for what no code of the service does.
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

// checkReversals fails the test unless charges hold what the records of their refunds and disputes add up to, only charges that
// succeeded have any, and every dispute that is not decided is in the account of chargebacks, less what was refunded of it.
func (e *Env) checkReversals() {
	e.t.Helper()
	for what, sql := range map[string]string{
		"charges differ from their reversals": `SELECT count(*) FROM charges c LEFT JOIN (
			SELECT charge_id, sum(amount) FILTER (WHERE kind = 'refund') AS refunded,
			       sum(amount) FILTER (WHERE kind = 'dispute' AND state <> 'won') AS disputed, sum(amount) FILTER (WHERE state = 'lost') AS lost
			FROM reversals GROUP BY charge_id) r USING (charge_id)
			WHERE (c.refunded, c.disputed, c.charged_back) <> (COALESCE(r.refunded, 0), COALESCE(r.disputed, 0), COALESCE(r.lost, 0))`,
		"charges were taken back and did not succeed": "SELECT count(*) FROM charges WHERE refunded + disputed > 0 AND state <> 'succeeded'",
	} {
		if n := e.Count(sql); n != 0 {
			e.t.Errorf("%d %s", n, what)
		}
	}
	open := e.Count(`SELECT COALESCE(sum(LEAST(amount, refunded + disputed) - LEAST(amount, refunded + charged_back)), 0)::bigint FROM charges`)
	if got := e.Balances()[ledger.Chargebacks]; got != open {
		e.t.Errorf("chargebacks hold %d, the charges say %d", got, open)
	}
}

// CheckBooks fails the test unless the books hold what the charges say, and the gateway took each charge's money once at
// most and where the books say so.
func (e *Env) CheckBooks() {
	e.t.Helper()
	paid := e.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM charges WHERE state = 'succeeded'")
	back := e.Count(`SELECT COALESCE(sum(LEAST(amount, refunded + disputed) + GREATEST(0, refunded - amount)), 0)::bigint FROM charges`)
	if got := e.Balances()[ledger.GatewayReceivable("cielo")]; got != paid-back {
		e.t.Errorf("the gateway owes %d by the books, %d by the charges that succeeded, of which it took back %d", got, paid, back)
	}
	e.checkReversals()
	if n := e.Count(`SELECT count(*) FROM (SELECT FROM charges WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review')
		GROUP BY tenant, recurrence_id HAVING count(*) > 1) d`); n != 0 {
		e.t.Errorf("%d recurrences have two charges under way", n)
	}
	took := map[string]int{}
	for _, s := range e.Gateway.Paid() {
		took[s.Reference[:32]]++
	}
	for id, n := range took {
		if n > 1 {
			e.t.Errorf("the gateway took the money of charge %s %d times", id, n)
		}
	}
	var taken int64
	for _, s := range e.Gateway.Paid() {
		taken += s.Amount.Minor
	}
	doubt := e.Count("SELECT count(*) FROM charges WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review') OR contradicted")
	if doubt == 0 && taken != paid {
		e.t.Errorf("the gateway took %d, the charges say %d, and nothing is in doubt", taken, paid)
	}
}
