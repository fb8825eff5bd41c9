package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
	"github.com/agogopay/agogo/services/notifier/internal/store"
	"github.com/agogopay/agogo/services/notifier/internal/text"
	"github.com/agogopay/agogo/services/notifier/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func setup(t *testing.T) *store.Store {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, migrations.Set)
	return &store.Store{
		Pool: pool, Clock: clock.NewVirtual(time.Date(2025, 1, 25, 0, 0, 0, 0, time.UTC)),
		Outbox: outbox.New(outbox.Config{Service: "notifier"}, outbox.Deps{Pool: pool}),
	}
}

func inTx(t *testing.T, s *store.Store, f func(tx pgx.Tx) error) {
	t.Helper()
	if err := pg.InTx(context.Background(), s.Pool, f); err != nil {
		t.Fatal(err)
	}
}

func register(t *testing.T, s *store.Store, regs ...store.Registration) {
	t.Helper()
	inTx(t, s, func(tx pgx.Tx) error {
		_, err := s.Register(context.Background(), tx, "lebenis", regs)
		return err
	})
}

func lines(t *testing.T, s *store.Store, sql string) []string {
	t.Helper()
	rows, err := s.Pool.Query(context.Background(), sql)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func entry(kind event.Type, order int64) store.Entry {
	return store.Entry{
		Notice: notice.Notice{
			Tenant: "lebenis", Recipient: notice.Recipient{Kind: notice.ToPayee, ID: "D001"}, Kind: kind, SubjectID: "P1",
			Order: order, Cause: string(kind),
		},
		Text:    text.Text{Locale: "fr-CI", Title: "t", Body: "b"},
		Devices: []uuid.UUID{store.DeviceID("lebenis", "a")},
	}
}

// TestOvertakenInOneBatch: two stale states of one payout in one batch, as after an outage, push the newer one only, whatever
// their order.
func TestOvertakenInOneBatch(t *testing.T) {
	t.Parallel()
	for _, batch := range [][]store.Entry{
		{entry("payout.processing", 3), entry("payout.succeeded", 4)},
		{entry("payout.succeeded", 4), entry("payout.processing", 3)},
	} {
		s := setup(t)
		register(t, s, store.Registration{UserID: "D001", Token: "a", Platform: "ios"})
		var told store.Told
		inTx(t, s, func(tx pgx.Tx) (err error) {
			told, err = s.Tell(context.Background(), tx, batch)
			return err
		})
		want := store.Told{{Kind: "payout.processing", State: "suppressed"}: 1, {Kind: "payout.succeeded", State: "created"}: 1}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestRegisteredAgainMeanwhile: a verdict about a registration that is not the present one removes nothing.
func TestRegisteredAgainMeanwhile(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := context.Background()
	register(t, s, store.Registration{UserID: "D001", Token: "a", Platform: "ios"})
	inTx(t, s, func(tx pgx.Tx) error {
		_, err := s.Tell(ctx, tx, []store.Entry{entry("payout.succeeded", 4)})
		return err
	})
	lease, pushes, err := s.Claim(ctx, 10, time.Minute)
	if err != nil || len(pushes) != 1 {
		t.Fatalf("claimed %d, %v", len(pushes), err)
	}
	register(t, s, store.Registration{UserID: "D001", Token: "a", Platform: "android"})
	f, err := s.Record(ctx, lease, []store.Verdict{{Push: pushes[0], State: store.Failed, Code: "UNREGISTERED", RemoveDevice: true}})
	if err != nil || f.DevicesRemoved != 0 {
		t.Errorf("removed %d, %v", f.DevicesRemoved, err)
	}
	if diff := cmp.Diff([]string{"registered 2"}, lines(t, s, `SELECT state || ' ' || version FROM devices`)); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
}
