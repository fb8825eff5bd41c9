package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site is a service's tables and what it has published.
type site struct {
	t     *testing.T
	pool  *pgxpool.Pool
	js    jetstream.JetStream
	guard *Guard
	ob    *outbox.Outbox
	clock *clock.Virtual
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		t: t, pool: pgtest.Pool(t, outbox.Migrations, auth.Migrations, Migrations), js: natstest.Provisioned(t).JS,
		clock: clock.NewVirtual(time.Date(2025, 1, 25, 8, 0, 0, 0, time.UTC)),
	}
	s.start()
	return s
}

// start is another start of the service.
func (s *site) start() {
	s.t.Helper()
	s.guard = NewGuard(Deps{Service: "payouts", Pool: s.pool, JS: s.js, Epoch: &event.Epoch{}, Logger: slog.New(slog.DiscardHandler)})
	s.ob = outbox.New(outbox.Config{Service: "payouts"}, outbox.Deps{Pool: s.pool, JS: s.js, Refuse: s.guard.Refuse})
	if err := s.guard.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// tell commits messages and has them published.
func (s *site) tell(msgs ...outbox.Message) {
	s.t.Helper()
	if err := s.commit(msgs...); err != nil {
		s.t.Fatal(err)
	}
	s.relay()
}

func (s *site) commit(msgs ...outbox.Message) error {
	return pg.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error { return s.ob.Append(s.t.Context(), tx, msgs...) })
}

// relay publishes until nothing waits.
func (s *site) relay() {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ob.Run(ctx) }()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for n := 1; n > 0; <-again.C {
		if err := s.pool.QueryRow(s.t.Context(), "SELECT count(*) FROM outbox_parcels WHERE waits").Scan(&n); err != nil {
			s.t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
}

// payout is an event of a payout of payee id.
func (s *site) payout(id uuid.UUID, version int64, state string) outbox.Message {
	e := event.New(s.t.Context(), "payouts", "lebenis", "payout.created", id.String(), version, s.guard.Epoch.Now(), s.clock.Now())
	return outbox.FromEvent(s.t.Context(), e, fmt.Appendf(nil, `{"id":%q,"state":%q}`, id, state))
}

func (s *site) tick(id string) outbox.Message {
	return outbox.Message{ID: id, Stream: stream.Ticks, Subject: "agogo.tick.lebenis.payouts.daily", Key: "daily", Headers: map[string]string{"ce-id": "tick"}}
}

func (s *site) marker() *Marker {
	return &Marker{
		Guard: s.guard, Outbox: s.ob, Clock: s.clock, Tenants: []string{"lebenis", "wallclub"},
		Tracking: Tracking{Aggregate: "payout", Harmless: []string{"skipped"}, Read: func(body []byte) (l Lost, err error) {
			var p struct {
				ID    uuid.UUID
				State string
			}
			err = json.Unmarshal(body, &p)
			return Lost{Subject: p.ID, Tenant: "lebenis", Owner: "drv-" + p.ID.String(), Provider: "orange", Amount: 24000, State: p.State}, err
		}},
	}
}

func (s *site) ctx() context.Context {
	return auth.WithActor(s.t.Context(), auth.Actor{Name: "user:ada", Role: auth.Admin, Tenants: []string{"*"}})
}

// on lists the message ids that a stream holds.
func (s *site) on(name string) (ids []string) {
	s.t.Helper()
	err := stream.History(s.t.Context(), s.js, name, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, func(m jetstream.Msg) error {
		ids = append(ids, m.Headers().Get("Nats-Msg-Id"))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

func (s *site) rows(sql string) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), sql)
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// A service whose tables are behind what it has published does nothing until people say that it may.
func TestAServiceBehindItsEventsWaitsForAMark(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kept, again, lost, skipped := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	s.tell(s.payout(kept, 1, "approved"), s.payout(again, 1, "created"), s.tick("daily@1"))
	restore := pgtest.Backup(t, s.pool)
	s.tell(s.payout(again, 2, "succeeded"), s.payout(lost, 1, "created"), s.payout(skipped, 1, "skipped"), s.tick("daily@2"))
	s.tell(s.payout(lost, 2, "succeeded"))
	s.start()
	if st := s.guard.State(); st != Running {
		t.Fatalf("without a restore it is %s: %s", st, s.guard.Problem())
	}

	restore()
	s.start()
	if st := s.guard.State(); st != Unmarked {
		t.Fatalf("after a restore it is %s", st)
	}
	if err := s.commit(s.payout(uuid.New(), 1, "created")); err == nil || !strings.Contains(err.Error(), "changes nothing now") {
		t.Errorf("a change before the mark: %v", err)
	}
	if err := s.guard.Ready(t.Context()); err != nil {
		t.Errorf("it cannot be reached for its mark: %v", err)
	}
	began := make(chan struct{})
	go func() {
		_ = s.guard.Before(func(context.Context) error { close(began); return nil })(t.Context())
	}()
	if _, err := s.marker().Mark(t.Context(), "backup of 02:00", ""); err == nil {
		t.Error("marked by nobody")
	}

	for range 2 { // the request again is the same mark
		r, err := s.marker().Mark(s.ctx(), "backup of 02:00", "request-1")
		if err != nil {
			t.Fatal(err)
		}
		if r.GetEpoch() != 1 || r.GetState() != "running" || r.GetLost() != 2 || r.GetCarefulUntil() != "2025-01-27" || s.guard.Epoch.Now() != 1 {
			t.Errorf("the mark: %v", r)
		}
	}
	<-began
	want := []string{fmt.Sprintf("%s succeeded 2", again), fmt.Sprintf("%s succeeded 2", lost)}
	got := s.rows("SELECT subject_id || ' ' || state || ' ' || version FROM restore_lost ORDER BY subject_id = '" + lost.String() + "'")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lost (-want +got)\n%s", diff)
	}
	if got := s.rows("SELECT tenant || ' ' || action || ' ' || target FROM audit_entries ORDER BY tenant"); !cmp.Equal(got, []string{"lebenis MarkRestore epoch 1", "wallclub MarkRestore epoch 1"}) {
		t.Errorf("the audit trail: %v", got)
	}
	s.tell(s.payout(again, 2, "failed")) // the same version with another fate is another event
	if diff := cmp.Diff([]string{"daily@1", "daily@2", "daily@1#e1"}, s.on(stream.Ticks)); diff != "" {
		t.Errorf("ticks (-want +got)\n%s", diff)
	}
	s.start()
	if st := s.guard.State(); st != Running || s.guard.Epoch.Now() != 1 {
		t.Errorf("after the mark it starts %s in epoch %d: %s", st, s.guard.Epoch.Now(), s.guard.Problem())
	}

	restore() // once more, to before the mark
	s.start()
	if st := s.guard.State(); st != Unmarked {
		t.Fatalf("after a second restore it is %s", st)
	}
	if r, err := s.marker().Mark(s.ctx(), "the same backup", ""); err != nil || r.GetEpoch() != 2 {
		t.Errorf("the second mark: %v, %v", r, err)
	}
}

// Tables may go back under a service that runs: a standby took over that was behind.
func TestTablesThatGoBackUnderAServiceStopIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tell(s.tick("daily@1"))
	restore := pgtest.Backup(t, s.pool)
	s.tell(s.tick("daily@2"))
	look := func(want State) {
		t.Helper()
		if err := s.guard.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := s.guard.State(); st != want {
			t.Fatalf("%s: %s", st, s.guard.Problem())
		}
	}
	look(Running)
	restore()
	look(Unmarked)
	look(Unmarked)
	if s.guard.Refuse() == nil {
		t.Error("it goes on changing tables")
	}
	if _, err := s.marker().Mark(s.ctx(), "failover", ""); err != nil {
		t.Fatal(err)
	}
	look(Running)
	s.tell(s.tick("daily@3"))
	look(Running)
}

// What was dropped of the outbox was known once: an idle service is not taken for a restored one.
func TestADroppedOutboxIsNoRestore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tell(s.payout(uuid.New(), 1, "created"))
	for _, sql := range []string{"UPDATE outbox_parcels SET created_at = created_at - interval '9 days'", "SELECT outbox_drop_partitions(now() - interval '3 days')"} {
		if _, err := s.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.rows("SELECT seq::text FROM outbox_parcels"); len(n) != 0 {
		t.Fatalf("the outbox still has %v", n)
	}
	s.start()
	if st := s.guard.State(); st != Running {
		t.Errorf("%s: %s", st, s.guard.Problem())
	}
}

// The first commit after a loss passes the places that were lost: neither a look nor a start is deceived by it.
func TestACommitDoesNotHideALoss(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tell(s.payout(uuid.New(), 1, "created"))
	restore := pgtest.Backup(t, s.pool)
	s.tell(s.payout(uuid.New(), 1, "created"))
	if err := s.guard.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	restore()
	if err := s.commit(s.tick("daily@1")); err != nil { // before anybody looked
		t.Fatal(err)
	}
	if err := s.guard.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.guard.State(); st != Unmarked {
		t.Errorf("after a commit a look finds it %s", st)
	}
	s.start()
	if st := s.guard.State(); st != Unmarked {
		t.Errorf("after a commit it starts %s", st)
	}
}

// When another server takes over, EVENTS is read before anything more is done, and nothing is lost then.
func TestATimelineThatChangesIsLookedInto(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tell(s.payout(uuid.New(), 1, "created"))
	if s.guard.line == "" {
		t.Fatal("the timeline is not known")
	}
	s.guard.line = "0000000A"
	if err := s.guard.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.guard.State(); st != Checking || s.guard.Refuse() == nil {
		t.Errorf("after a takeover it is %s", st)
	}
	if err := s.guard.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.guard.State(); st != Running {
		t.Errorf("after the check it is %s: %s", st, s.guard.Problem())
	}
}
