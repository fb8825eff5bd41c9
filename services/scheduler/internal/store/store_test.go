package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
	"github.com/agogopay/agogo/services/scheduler/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// wallClock is a clock that a test may set, also backwards.
type wallClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *wallClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *wallClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (c *wallClock) set(t testing.TB, text string) {
	t.Helper()
	at := instant(t, text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *wallClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// bench is a scheduler's database with a clock; nothing publishes its outbox.
type bench struct {
	*store.Store
	t     testing.TB
	clock *wallClock
	cfg   pg.Config
}

func setup(t testing.TB, now string) *bench {
	t.Helper()
	b := &bench{t: t, clock: &wallClock{}, cfg: pgtest.Config(t, outbox.Migrations, inbox.Migrations, migrations.Set)}
	b.clock.set(t, now)
	b.Store = b.replica()
	return b
}

// replica is another process's store on the same tables.
func (b *bench) replica() *store.Store {
	b.t.Helper()
	pool := pgtest.Open(b.t, b.cfg)
	return &store.Store{
		Pool: pool, Clock: b.clock, Logger: slog.New(slog.DiscardHandler),
		Outbox: outbox.New(outbox.Config{Service: "scheduler"}, outbox.Deps{Pool: pool}),
	}
}

var (
	daily  = schedule.Key{Tenant: "lebenis", Service: "payouts", Name: "daily"}
	hourly = schedule.Key{Tenant: "lebenis", Service: "payouts", Name: "check-pending"}
)

func rule(t testing.TB, expression, zone string, mode schedule.Mode) schedule.Rule {
	t.Helper()
	c, err := cron.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Rule{Job: "payouts/daily", Cron: c, Zone: loc, CatchUp: schedule.CatchUp{Mode: mode, Cap: 366}}
}

func (b *bench) sync(rules map[schedule.Key]schedule.Rule) []string {
	b.t.Helper()
	changes, err := b.Sync(b.t.Context(), rules)
	if err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s %s v%d", c.Key, c.Event, c.Version))
	}
	return got
}

func (b *bench) fire() {
	b.t.Helper()
	if err := b.Fire(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// trigger commits a trigger by hand, as the admin service does.
func (b *bench) trigger(key schedule.Key, at time.Time) (store.Triggered, error) {
	b.t.Helper()
	var got store.Triggered
	err := pg.InTx(b.t.Context(), b.Pool, func(tx pgx.Tx) (err error) {
		got, err = b.Trigger(b.t.Context(), tx, key, at, "r-1")
		return err
	})
	return got, err
}

func (b *bench) change(do func(tx pgx.Tx) ([]store.Settled, error)) {
	b.t.Helper()
	err := pg.InTx(b.t.Context(), b.Pool, func(tx pgx.Tx) error { _, err := do(tx); return err })
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pause(key schedule.Key, reason string) {
	b.t.Helper()
	b.change(func(tx pgx.Tx) ([]store.Settled, error) { return b.Pause(b.t.Context(), tx, key, reason) })
}

func (b *bench) resume(key schedule.Key) {
	b.t.Helper()
	b.change(func(tx pgx.Tx) ([]store.Settled, error) { return b.Resume(b.t.Context(), tx, key) })
}

func (b *bench) cursor(key schedule.Key) string {
	b.t.Helper()
	v, err := b.Get(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	return v.Cursor.Format(time.RFC3339)
}

// ticks renders the tick rows of all schedules as "<nominal> <state> <trigger> <reason>", in nominal order.
func (b *bench) ticks() []string {
	b.t.Helper()
	return query(b.t, b.Pool, `SELECT to_char(nominal_time, 'MM-DD"T"HH24:MI') || ' ' || state || ' ' || trigger || rtrim(' ' || reason)
		FROM ticks ORDER BY nominal_time, tick_id`)
}

// orders are the message ids on their way to TICKS, in the order of the outbox.
func (b *bench) orders() []string {
	b.t.Helper()
	return query(b.t, b.Pool, `SELECT msg_id FROM outbox WHERE stream = 'TICKS' ORDER BY seq`)
}

func query(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string // nil when there are none, as tests expect
	var one string
	_, err = pgx.ForEachRow(rows, []any{&one}, func() error { got = append(got, one); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// published is a row of the outbox.
type published struct {
	Stream, MsgID, Subject string
	Headers                map[string]string
	Payload                []byte
}

func (b *bench) published() []published {
	b.t.Helper()
	rows, err := b.Pool.Query(context.Background(), `SELECT stream, msg_id, subject, headers, payload FROM outbox ORDER BY seq`)
	if err != nil {
		b.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[published])
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// verify checks promise 5 of everything in the outbox: versions are contiguous per aggregate, each event is the one that
// the table of states names, and the states rebuilt from the events are those of the tables.
func (b *bench) verify() {
	b.t.Helper()
	version, state := map[string]int64{}, map[string]string{}
	machines := map[string]event.Machine{"tick": event.Tick, "schedule": event.Schedule}
	for _, m := range b.published() {
		e, err := event.ParseHeaders(func(k string) string { return m.Headers[k] })
		if err != nil {
			b.t.Fatal(err)
		}
		if m.Stream != "EVENTS" {
			continue
		}
		from, to := bodyStates(b.t, e, m.Payload)
		subject := e.Type.Aggregate() + " " + e.Subject
		if e.Version != version[subject]+1 || m.MsgID != e.ID || m.Subject != e.StreamSubject() {
			b.t.Errorf("%s: version %d after %d, message %s on %s", subject, e.Version, version[subject], m.MsgID, m.Subject)
		}
		if want, ok := machines[e.Type.Aggregate()].Event(from, to); !ok || want != e.Type || from != state[subject] {
			b.t.Errorf("%s: %s from %q to %q, was %q", subject, e.Type, from, to, state[subject])
		}
		if e.Actor == "" {
			b.t.Errorf("%s: %s without an actor", subject, e.Type)
		}
		version[subject], state[subject] = e.Version, to
	}
	stored := map[string]string{}
	for _, row := range query(b.t, b.Pool, `SELECT 'tick ' || tick_id || '=' || state FROM ticks
		UNION ALL SELECT 'schedule ' || tenant || '/' || service || '/' || name || '=' || state FROM schedules`) {
		subject, s, _ := strings.Cut(row, "=")
		stored[subject] = s
	}
	if diff := cmp.Diff(stored, state); diff != "" {
		b.t.Errorf("tables (-) against what the events rebuild (+):\n%s", diff)
	}
}

func bodyStates(t testing.TB, e event.Envelope, body []byte) (from, to string) {
	t.Helper()
	if e.Type.Aggregate() == "schedule" {
		var s eventsv1.Schedule
		if err := event.Decode(body, &s); err != nil {
			t.Fatal(err)
		}
		return s.GetPreviousState(), s.GetState()
	}
	var tick eventsv1.Tick
	if err := event.Decode(body, &tick); err != nil {
		t.Fatal(err)
	}
	if tick.GetTickId() != e.Subject {
		t.Errorf("tick %s in an event about %s", tick.GetTickId(), e.Subject)
	}
	return tick.GetPreviousState(), tick.GetState()
}
