package deadletter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/deadletter"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/webhook"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var evening = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

func setup(t *testing.T) (*deadletter.Teller, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations)
	return &deadletter.Teller{
		Service: "notifier", Pool: pool, Outbox: outbox.New(outbox.Config{Service: "notifier"}, outbox.Deps{Pool: pool}),
		Clock: clock.NewVirtual(evening), Epoch: event.EpochAt(3),
	}, pool
}

// told are the subjects of what was told, oldest first.
func told(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT subject FROM outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	subjects, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return subjects
}

func headers(h map[string]string) func(string) string {
	return func(name string) string { return h[name] }
}

func broken() stream.Message {
	return stream.Message{
		Stream: stream.Events, ID: "ce-1", Seq: 7, Delivered: 15, Header: headers(nil),
		Origin: stream.Origin{Stream: stream.Events, Subject: "agogo.evt.lebenis.payouts.payout.succeeded.p03", Consumer: stream.Notifier},
	}
}

func TestTellsOnceUnderOneID(t *testing.T) {
	t.Parallel()
	teller, pool := setup(t)
	ctx := event.WithCause(t.Context(), event.Cause{Actor: "user:ada", CorrelationID: "tick-1", CausationID: "other"})
	for range 2 {
		if err := teller.Tell(ctx, broken(), errors.New("no such payee: +2250700000001")); err != nil {
			t.Fatal(err)
		}
	}
	var ids int
	var h map[string]string
	var body []byte
	if err := pool.QueryRow(t.Context(), "SELECT count(DISTINCT msg_id) FROM outbox").Scan(&ids); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), "SELECT headers, payload FROM outbox LIMIT 1").Scan(&h, &body); err != nil {
		t.Fatal(err)
	}
	e, err := event.ParseHeaders(headers(h))
	if err != nil {
		t.Fatal(err)
	}
	var letter eventsv1.DeadLetter
	if err := event.Decode(body, &letter); err != nil {
		t.Fatal(err)
	}
	if ids != 1 || e.Type != "event.dead_lettered" || e.Tenant != "lebenis" || e.Service != "notifier" || e.Epoch != 3 || !e.Time.Equal(evening) {
		t.Errorf("%d ids, %+v", ids, e)
	}
	if diff := cmp.Diff(event.Cause{Actor: "service:notifier", CorrelationID: "tick-1", CausationID: "ce-1"}, e.Cause); diff != "" {
		t.Errorf("cause (-want +got):\n%s", diff)
	}
	if strings.Contains(letter.GetError(), "0700000001") {
		t.Errorf("a phone number is in the event: %s", letter.GetError())
	}
	letter.Error = ""
	want := &eventsv1.DeadLetter{
		Tenant: "lebenis", Service: "notifier", Stream: stream.Events, Consumer: stream.Notifier, StreamSeq: 7, Deliveries: 15,
		Subject: "agogo.evt.lebenis.payouts.payout.succeeded.p03", State: "dead_lettered",
	}
	if diff := cmp.Diff(want, &letter, protocmp.Transform()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestTheDeathOfTheWordIsNotTold(t *testing.T) {
	t.Parallel()
	teller, pool := setup(t)
	m := broken()
	m.Header = headers(map[string]string{"ce-type": "com.agogo.event.dead_lettered.v1"})
	if err := teller.Tell(t.Context(), m, errors.New("x")); err != nil {
		t.Fatal(err)
	}
	if got := told(t, pool); len(got) != 0 {
		t.Errorf("told %v, and would for ever", got)
	}
}

func TestWhoseMessageItWas(t *testing.T) {
	t.Parallel()
	envelope := event.New(t.Context(), "payouts", "wallclub", "payout.succeeded", "p", 1, 0, evening).Headers()
	forged := event.New(t.Context(), "payouts", "a.b>", "payout.succeeded", "p", 1, 0, evening).Headers()
	run := func(tenant string) func(context.Context, stream.Message) string {
		return func(context.Context, stream.Message) string { return tenant }
	}
	for name, tt := range map[string]struct {
		header  map[string]string
		subject string
		ask     func(context.Context, stream.Message) string
		want    string
	}{
		"headers":                  {envelope, "agogo.evt.lebenis.payouts.payout.succeeded.p03", run("never"), "wallclub"},
		"a command's header":       {map[string]string{"ce-id": "plan/1", "ce-tenantid": "wallclub"}, "agogo.cmd.payouts.plan.p03", nil, "wallclub"},
		"a damaged envelope":       {map[string]string{"ce-type": "nonsense", "ce-tenantid": "wallclub"}, "agogo.cmd.payouts.plan.p03", nil, "wallclub"},
		"a tick's subject":         {nil, "agogo.tick.lebenis.payouts.daily", run("never"), "lebenis"},
		"a command, asked":         {nil, "agogo.cmd.payouts.plan.p03", run("lebenis"), "lebenis"},
		"a command, nobody knows":  {nil, "agogo.cmd.payouts.plan.p03", run(""), "unknown"},
		"a command, nobody to ask": {nil, "agogo.cmd.payouts.plan.p03", nil, "unknown"},
		"no subject":               {nil, "", nil, "unknown"},
		"what is no token":         {forged, "agogo.cmd.payouts.plan.p03", nil, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			teller, pool := setup(t)
			teller.Tenant = tt.ask
			m := broken()
			m.Header, m.Origin.Subject = headers(tt.header), tt.subject
			if err := teller.Tell(t.Context(), m, errors.New("x")); err != nil {
				t.Fatal(err)
			}
			got := told(t, pool)
			if len(got) != 1 || !strings.HasPrefix(got[0], "agogo.evt."+tt.want+".notifier.event.dead_lettered.") {
				t.Errorf("told %v, want of tenant %s", got, tt.want)
			}
		})
	}
}

// The scheduler tells of what killed others; an outsider's consumer is nobody's, so whoever tells answers for it.
func TestWhichServiceItDiedIn(t *testing.T) {
	t.Parallel()
	for consumer, want := range map[string]string{stream.PayoutsExec: "payouts", stream.Notifier: "notifier", "audit": "notifier"} {
		teller, pool := setup(t)
		m := broken()
		m.Origin.Consumer = consumer
		if err := teller.Tell(t.Context(), m, errors.New("x")); err != nil {
			t.Fatal(err)
		}
		var body []byte
		if err := pool.QueryRow(t.Context(), "SELECT payload FROM outbox").Scan(&body); err != nil {
			t.Fatal(err)
		}
		var letter eventsv1.DeadLetter
		if err := event.Decode(body, &letter); err != nil {
			t.Fatal(err)
		}
		if letter.GetService() != want {
			t.Errorf("a message of %s died in %s, want %s", consumer, letter.GetService(), want)
		}
	}
}

// Webhooks that nobody knows are told of in the transaction that gives them up, once each, and nothing of what they say.
func TestLostWebhooksAreTold(t *testing.T) {
	t.Parallel()
	teller, pool := setup(t)
	lost := []webhook.Lost{{Tenant: "lebenis", Provider: "orange", ID: "1@1"}, {Tenant: "lebenis", Provider: "orange", ID: "2@1"}}
	for range 2 {
		if err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error { return teller.Webhooks(t.Context(), tx, lost[:1]) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error { return teller.Webhooks(t.Context(), tx, lost[1:]) }); err != nil {
		t.Fatal(err)
	}
	var ids int
	if err := pool.QueryRow(t.Context(), "SELECT count(DISTINCT headers->>'ce-id') FROM outbox").Scan(&ids); err != nil {
		t.Fatal(err)
	}
	for _, subject := range told(t, pool) {
		if !strings.HasPrefix(subject, "agogo.evt.lebenis.notifier.event.dead_lettered.") {
			t.Errorf("told on %s", subject)
		}
	}
	if ids != 2 {
		t.Errorf("%d events of 2 webhooks", ids)
	}
}
