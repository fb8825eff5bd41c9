package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/notifier/internal/consumer"
	"github.com/agogopay/agogo/services/notifier/internal/store"
	"github.com/agogopay/agogo/services/notifier/internal/text"
	"github.com/agogopay/agogo/services/notifier/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var now = time.Date(2025, 1, 25, 0, 0, 12, 0, time.UTC)

// bundle is a consumer on a schema of its own.
type bundle struct {
	t      testing.TB
	pool   *pgxpool.Pool
	store  *store.Store
	clock  *clock.Virtual
	cfg    consumer.Config
	deps   consumer.Deps
	handle func(m stream.Message) error
}

func setup(t testing.TB, change func(*consumer.Config)) *bundle {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, inbox.Migrations, migrations.Set)
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	virtual := clock.NewVirtual(now)
	st := &store.Store{
		Pool: pool, Clock: virtual,
		Outbox: outbox.New(outbox.Config{Service: "notifier"}, outbox.Deps{Pool: pool, Logger: logger}),
	}
	texts, err := text.New()
	if err != nil {
		t.Fatal(err)
	}
	abidjan, err := time.LoadLocation("Africa/Abidjan")
	if err != nil {
		t.Fatal(err)
	}
	cfg := consumer.Config{Durable: "notifier", Pushes: true, Pace: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	b := &bundle{t: t, pool: pool, store: st, clock: virtual, cfg: cfg, deps: consumer.Deps{
		Store: st, Texts: texts, Metrics: consumer.NewMetrics(prometheus.NewRegistry()), Logger: logger,
		Tenants: &config.File{Path: "tenants.yaml", Tenants: []config.Tenant{
			{ID: "lebenis", Timezone: "Africa/Abidjan", Location: abidjan, Currency: "XOF", Locale: "fr-CI"},
		}},
	}}
	b.handle = b.replica()
	return b
}

// replica starts a consumer and returns its handler.
func (b *bundle) replica() func(m stream.Message) error {
	b.t.Helper()
	c := consumer.New(b.cfg, b.deps)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			b.t.Errorf("consumer stopped: %v", err)
		}
	}()
	b.t.Cleanup(func() { cancel(); <-stopped })
	return func(m stream.Message) error {
		ctx := event.WithCause(context.Background(), event.Cause{Actor: "service:payouts", CorrelationID: "tick-1", CausationID: m.ID})
		return c.Handle(ctx, m)
	}
}

// message is an event as the stream delivers it.
func message(t testing.TB, ty event.Type, id string, version int64, epoch int, body proto.Message) stream.Message {
	t.Helper()
	raw, err := event.Encode(body)
	if err != nil {
		t.Fatal(err)
	}
	env := event.New(context.Background(), "payouts", "lebenis", ty, id, version, epoch, now)
	headers := env.Headers()
	return stream.Message{
		Stream: stream.Events, Subject: env.StreamSubject(), ID: env.ID, Data: raw, Seq: 1, Published: now, Delivered: 1,
		Header: func(name string) string { return headers[name] },
	}
}

func payout(n int, change func(*eventsv1.Payout)) *eventsv1.Payout {
	p := &eventsv1.Payout{
		PayoutId: fmt.Sprintf("P%d", n), Tenant: "lebenis", PayeeId: fmt.Sprintf("D%03d", n), RunId: "R1", PeriodDate: "2025-01-24",
		State: "succeeded", PreviousState: "submitting", Net: &eventsv1.Money{Minor: 24_000, Currency: "XOF"}, Attempt: 1,
	}
	if change != nil {
		change(p)
	}
	return p
}

func (b *bundle) must(m stream.Message) {
	b.t.Helper()
	if err := b.handle(m); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) register(regs ...store.Registration) {
	b.t.Helper()
	err := pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
		_, err := b.store.Register(context.Background(), tx, "lebenis", regs)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// notification is what a test looks at.
type notification struct {
	ID, Recipient, Kind, Subject, Locale, Title, Body, State, Reason string
	Pushes                                                           int
	Version                                                          int64
}

func (b *bundle) notifications() []notification {
	b.t.Helper()
	rows, err := b.pool.Query(context.Background(), `SELECT id::text, recipient_id, kind, subject_id, locale, title, body, state, reason,
		(SELECT count(*) FROM pushes p WHERE p.notification_id = n.id), version FROM notifications n ORDER BY recipient_id, kind, id`)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (n notification, err error) {
		return n, r.Scan(&n.ID, &n.Recipient, &n.Kind, &n.Subject, &n.Locale, &n.Title, &n.Body, &n.State, &n.Reason, &n.Pushes, &n.Version)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// emitted are the events in the outbox as "type version state", with their headers.
func (b *bundle) emitted() (lines []string, headers []map[string]string) {
	b.t.Helper()
	rows, err := b.pool.Query(context.Background(), `SELECT headers, payload FROM outbox ORDER BY seq`)
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var h map[string]string
		var payload []byte
		if err := rows.Scan(&h, &payload); err != nil {
			b.t.Fatal(err)
		}
		var body struct{ State string }
		if err := json.Unmarshal(payload, &body); err != nil {
			b.t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", h["ce-type"], h["ce-aggversion"], body.State))
		headers = append(headers, h)
	}
	return lines, headers
}

func TestOneEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(store.Registration{UserID: "D001", Token: "token-1", Platform: "android", Locale: ""})
	m := message(t, "payout.succeeded", "P1", 4, 0, payout(1, nil))
	b.must(m)

	got := b.notifications()
	want := []notification{{
		ID:        event.UUID("notification", "lebenis", "payee", "D001", "P1/payout.succeeded/1").String(),
		Recipient: "D001", Kind: "payout.succeeded", Subject: "P1", Locale: "fr-CI", Title: "Versement reçu",
		Body:  "Vous avez reçu 24\u00a0000\u00a0FCFA sur votre compte de paiement mobile pour la journée du 24 janvier 2025.",
		State: "created", Pushes: 1, Version: 1,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	lines, headers := b.emitted()
	if diff := cmp.Diff([]string{"com.agogo.device.registered.v1 1 registered", "com.agogo.notification.created.v1 1 created"}, lines); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if h := headers[1]; h["ce-correlationid"] != "tick-1" || h["ce-causationid"] != m.ID || h["ce-subject"] != want[0].ID {
		t.Errorf("the chain is broken: %v", h)
	}
}

// TestRedelivery: the same event again, alone, together with itself, and re-emitted under another id, is one row.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(store.Registration{UserID: "D001", Token: "token-1", Platform: "android", Locale: ""})
	m := message(t, "payout.succeeded", "P1", 4, 0, payout(1, nil))
	b.must(m)
	b.must(m)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.handle(m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.must(message(t, "payout.succeeded", "P1", 9, 1, payout(1, nil))) // lived again after a restore
	if got := b.notifications(); len(got) != 1 || got[0].Pushes != 1 {
		t.Errorf("rows %v", got)
	}
	if lines, _ := b.emitted(); len(lines) != 2 {
		t.Errorf("events %v", lines)
	}
}

// What is counted must not count twice, and has nothing but the inbox to be known by; a notice is known by its own id.
func TestTheInboxKeepsWhatIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(store.Registration{UserID: "operators", Token: "op", Platform: "web", Locale: "en"})
	doubt := message(t, "payout.outcome_unknown", "P1", 3, 0, payout(1, nil))
	for _, m := range []stream.Message{doubt, doubt, message(t, "payout.succeeded", "P2", 4, 0, payout(2, nil))} {
		b.must(m)
	}
	b.handle = b.replica()
	b.must(doubt)
	var total int
	var known []string
	err := b.pool.QueryRow(t.Context(), "SELECT (SELECT total FROM alerts), (SELECT array_agg(msg_id) FROM inbox)").Scan(&total, &known)
	if err != nil || total != 1 || len(known) != 1 || known[0] != doubt.ID {
		t.Errorf("counted %d, known %v: %v", total, known, err)
	}
}

// What comes in quick succession is told together, and what comes alone at once.
func TestPace(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *consumer.Config) { c.Pace = time.Minute })
	b.must(message(t, "payout.succeeded", "P0", 4, 0, payout(0, nil))) // a minute would be longer than the test may take

	b.cfg.Batch, b.cfg.Pace = 20, 500*time.Millisecond
	b.handle = b.replica()
	b.must(message(t, "payout.succeeded", "P1", 4, 0, payout(1, nil)))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { b.must(message(t, "payout.succeeded", fmt.Sprintf("P%d", 10+i), 4, 0, payout(10+i, nil))) })
	}
	wg.Wait()
	var rows, commits int
	err := b.pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT xmin::text) FROM notifications").Scan(&rows, &commits)
	if err != nil || rows != 22 || commits > 4 {
		t.Errorf("%d rows in %d commits: %v", rows, commits, err)
	}
}

func TestNoDevice(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.must(message(t, "payout.succeeded", "P1", 4, 0, payout(1, nil)))
	got := b.notifications()
	if len(got) != 1 || got[0].State != "suppressed" || got[0].Reason != store.NoDevice || got[0].Pushes != 0 || got[0].Version != 1 {
		t.Errorf("rows %+v", got)
	}
	lines, _ := b.emitted()
	if diff := cmp.Diff([]string{"com.agogo.notification.suppressed.v1 1 suppressed"}, lines); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestNoPushService: where no push service is configured, rows are written all the same.
func TestNoPushService(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *consumer.Config) { c.Pushes = false })
	b.register(store.Registration{UserID: "D001", Token: "token-1", Platform: "android", Locale: ""})
	b.must(message(t, "payout.succeeded", "P1", 4, 0, payout(1, nil)))
	if got := b.notifications(); len(got) != 1 || got[0].State != "suppressed" || got[0].Pushes != 0 {
		t.Errorf("rows %+v", got)
	}
}

// TestLocales: the newest device that says a language decides, else the tenant.
func TestLocales(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(
		store.Registration{UserID: "D001", Token: "a", Platform: "android", Locale: "pt-BR"},
		store.Registration{UserID: "D001", Token: "b", Platform: "ios", Locale: ""},
		store.Registration{UserID: "D002", Token: "c", Platform: "web", Locale: "sw-KE"},
	)
	b.must(message(t, "payout.processing", "P1", 3, 0, payout(1, nil)))
	b.must(message(t, "payout.processing", "P2", 3, 0, payout(2, nil)))
	got := b.notifications()
	if len(got) != 2 || got[0].Locale != "pt-BR" || got[0].Pushes != 2 || !strings.Contains(got[0].Body, "24 de janeiro") {
		t.Errorf("device's language: %+v", got[0])
	}
	if got[1].Locale != "fr-CI" || !strings.Contains(got[1].Body, "24 janvier") {
		t.Errorf("a language we do not have: %+v", got[1])
	}
}

// TestRecurringCharges: customers and sellers read Portuguese of the amounts and dates that the events carry.
func TestRecurringCharges(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	amount := &eventsv1.Money{Minor: 4990, Currency: "BRL"}
	b.register(store.Registration{UserID: "cus-1", Token: "a", Platform: "android", Locale: "pt-BR"},
		store.Registration{UserID: "seller-1", Token: "b", Platform: "web", Locale: "pt-BR"})
	b.must(message(t, "charge.failed", "C1", 3, 0, &eventsv1.Charge{
		ChargeId: "C1", Tenant: "lebenis", CustomerId: "cus-1", Cycle: "2025-10-30", Amount: amount, State: "failed_soft", PreviousState: "submitting",
		Reason: &eventsv1.Reason{Class: "REJECTED_RETRYABLE", Scope: "payment"}, Attempt: 1, RetryOn: "2025-10-31",
	}))
	b.must(message(t, "hold_digest.created", "H1", 1, 0, &eventsv1.HoldDigest{
		DigestId: "H1", Tenant: "lebenis", SellerId: "seller-1", LocalDate: "2025-10-30", RecurrenceIds: []string{"rec-1", "rec-2"}, Total: amount,
	}))
	b.must(message(t, "recurrence.held", "rec-1", 4, 0, &eventsv1.Recurrence{
		RecurrenceId: "rec-1", Tenant: "lebenis", CustomerId: "cus-1", CardId: "card-1", Amount: amount, Reason: &eventsv1.Reason{Code: "card_invalid"},
	}))
	b.must(message(t, "card.invalidated", "card-1", 2, 0, &eventsv1.Card{CardId: "card-1", Tenant: "lebenis"}))
	got := map[string]string{}
	for _, n := range b.notifications() {
		got[n.Recipient+" "+n.Kind] = n.Body
	}
	want := map[string]string{
		"cus-1 charge.failed":          "Seu cartão não aprovou a cobrança de R$ 49,90 referente a 30 de outubro de 2025. Vamos tentar de novo em 31 de outubro de 2025. Verifique seu limite ou saldo.",
		"seller-1 hold_digest.created": "2 das suas recorrências estão em espera em 30 de outubro de 2025. São R$ 49,90 que não estão sendo cobrados. Peça um novo cartão aos clientes.",
		"cus-1 recurrence.held":        "Seu cartão não pode mais ser cobrado. Informe um novo cartão para manter sua recorrência de R$ 49,90.",
		"operators card.invalidated":   "1 carte a été mise hors d’usage aujourd’hui pour cause d’expiration, de perte, de clôture ou de refus répétés. Les abonnements concernés sont en attente jusqu’à ce qu’une nouvelle carte soit donnée.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFailureWords: another try and the final refusal are told in different words.
func TestFailureWords(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.must(message(t, "payout.failed", "P1", 4, 0, payout(1, func(p *eventsv1.Payout) { p.RetryAt = timestamppb.New(now.Add(10 * time.Minute)) })))
	b.must(message(t, "payout.failed", "P2", 4, 0, payout(2, nil)))
	b.must(message(t, "payout.failed", "P3", 4, 0, payout(3, func(p *eventsv1.Payout) { p.Reason = &eventsv1.Reason{Scope: "payee"} })))
	var titles []string
	for _, n := range b.notifications() {
		titles = append(titles, n.Title)
	}
	if diff := cmp.Diff([]string{"Versement retardé", "Versement non abouti", "Versement refusé par votre compte"}, titles); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOutOfOrder: "on its way" held up for minutes and arriving after "received" is kept in the list and pushed to nobody;
// in quick succession both are told, whichever transaction comes first.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(store.Registration{UserID: "D001", Token: "token-1", Platform: "android", Locale: ""},
		store.Registration{UserID: "D002", Token: "token-2", Platform: "android", Locale: ""})
	b.must(message(t, "payout.succeeded", "P1", 5, 0, payout(1, nil)))
	b.must(message(t, "payout.succeeded", "P2", 5, 0, payout(2, nil)))
	b.must(message(t, "payout.processing", "P2", 4, 0, payout(2, nil)))
	b.clock.Advance(5 * time.Minute)
	b.must(message(t, "payout.processing", "P1", 4, 0, payout(1, nil)))
	var got []string
	for _, n := range b.notifications() {
		got = append(got, fmt.Sprintf("%s %s %s %s %d", n.Recipient, n.Kind, n.State, n.Reason, n.Pushes))
	}
	want := []string{
		"D001 payout.processing suppressed overtaken 0", "D001 payout.succeeded created  1",
		"D002 payout.processing created  1", "D002 payout.succeeded created  1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestStorm: 200 unknown outcomes of one run, in batches or not and on two replicas, are one open alert: few messages, the
// right count.
func TestStorm(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	replicas := []func(stream.Message) error{b.handle, b.replica()}
	b.register(store.Registration{UserID: "operators", Token: "op", Platform: "web", Locale: "en"})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			m := message(t, "payout.outcome_unknown", fmt.Sprintf("P%d", i), 3, 0, payout(i, nil))
			for r := range replicas {
				if err := replicas[(i+r)%2](m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := b.notifications()
	if len(got) == 0 || len(got) > 3 {
		t.Fatalf("%d notifications, want at most one each at 1, 10 and 100", len(got))
	}
	if !slices.ContainsFunc(got, func(n notification) bool {
		return strings.HasPrefix(n.Body, "200 payouts (XOF\u00a04,800,000) have no certain answer")
	}) {
		t.Errorf("nobody is told the whole: %+v", got)
	}

	for i := range 200 {
		b.must(message(t, "payout.succeeded", fmt.Sprintf("P%d", i), 4, 0, payout(i, func(p *eventsv1.Payout) { p.PreviousState = "unknown" })))
	}
	resolved := 0
	for _, n := range b.notifications() {
		if n.Title == "Resolved: Payouts with unknown outcome" {
			resolved++
		}
	}
	if resolved != 1 {
		t.Errorf("%d rows say that it is over, want the newest one to", resolved)
	}
}

func TestUnheardAndBroken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for name, c := range map[string]struct {
		m         stream.Message
		permanent bool
	}{
		"nobody hears of it":        {message(t, "payout.created", "P1", 1, 0, payout(1, nil)), false},
		"approved, out of no doubt": {message(t, "payout.approved", "P1", 2, 0, payout(1, func(p *eventsv1.Payout) { p.PreviousState = "created" })), false},
		"a type of tomorrow":        {message(t, "payout.teleported", "P1", 1, 0, payout(1, nil)), false},
		"our own event":             {message(t, "notification.created", "N1", 1, 0, &eventsv1.Notification{}), false},
		"broken body": {func() stream.Message {
			m := message(t, "payout.succeeded", "P1", 1, 0, payout(1, nil))
			m.Data = []byte(`{"net":`)
			return m
		}(), true},
		"no version": {func() stream.Message {
			m := message(t, "payout.succeeded", "P1", 1, 0, payout(1, nil))
			get := m.Header
			m.Header = func(name string) string {
				if name == "ce-aggversion" {
					return ""
				}
				return get(name)
			}
			return m
		}(), true},
		"a tenant that is not configured": {func() stream.Message {
			m := message(t, "payout.succeeded", "P1", 1, 0, payout(1, nil))
			get := m.Header
			m.Header = func(name string) string {
				if name == "ce-tenantid" {
					return "nobody"
				}
				return get(name)
			}
			return m
		}(), true},
	} {
		if err := b.handle(c.m); (err != nil) != c.permanent {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if got := b.notifications(); len(got) != 0 {
		t.Errorf("rows %+v", got)
	}
}

// TestStateAfterRestore: versions that begin again after a restore are news, for the epoch has risen.
func TestStateAfterRestore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	body := &eventsv1.Provider{Tenant: "lebenis", Provider: "orange"}
	b.must(message(t, "provider.recovered", "lebenis/orange", 10, 0, body))
	b.must(message(t, "provider.stopped", "lebenis/orange", 9, 0, body)) // late: it works again
	if got := b.notifications(); len(got) != 0 {
		t.Errorf("told what is over: %+v", got)
	}
	b.must(message(t, "provider.stopped", "lebenis/orange", 7, 1, body))
	if got := b.notifications(); len(got) != 1 || got[0].Kind != "provider.stopped" {
		t.Errorf("a stop after the restore: %+v", got)
	}
}

// TestDeadLetterOfNobody: of a dead letter whose tenant is unknown the operators of every tenant are told, in their own
// words, for somebody must look. One of a tenant that is known is that tenant's affair.
func TestDeadLetterOfNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deps.Tenants.Tenants = append(b.deps.Tenants.Tenants, config.Tenant{ID: "wallclub", Timezone: "UTC", Location: time.UTC, Currency: "BRL", Locale: "pt-BR"})
	letter := func(seq int, tenant string) stream.Message {
		m := message(t, "event.dead_lettered", fmt.Sprintf("EVENTS:%d:payouts-exec", seq), 1, 0, &eventsv1.DeadLetter{Service: "payouts", Consumer: "payouts-exec"})
		get := m.Header
		m.Header = func(name string) string {
			if name == "ce-tenantid" {
				return tenant
			}
			return get(name)
		}
		return m
	}
	told := func() []string {
		rows, err := b.pool.Query(t.Context(), `SELECT tenant || ' ' || recipient_id || ' ' || locale || ': ' || body FROM notifications ORDER BY tenant`)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	b.must(letter(7, "unknown"))
	got := told()
	if len(got) != 2 || !strings.HasPrefix(got[0], "lebenis operators fr-CI: ") || !strings.HasPrefix(got[1], "wallclub operators pt-BR: ") ||
		!strings.Contains(got[0], "payouts-exec") {
		t.Errorf("told %q", got)
	}
	b.must(letter(7, "unknown"))
	if again := told(); !slices.Equal(again, got) {
		t.Errorf("told again: %q", again)
	}
	b.must(letter(8, "wallclub"))
	if after := told(); after[0] != got[0] || after[1] == got[1] {
		t.Errorf("a letter of wallclub counted as %q", after)
	}
}

// TestPoisonInABatch: one event that cannot be written fails alone; those that shared its transaction are told.
func TestPoisonInABatch(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	// Holding a table that every batch needs makes the handlers pile up into one batch.
	tx, err := b.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), "LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	failed := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			p := payout(i, nil)
			if i == 7 {
				p.PayeeId = "D\x00007" // Postgres takes no NUL in text
			}
			m := message(t, "payout.succeeded", p.PayoutId, 4, 0, p)
			if err := b.handle(m); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[p.PayoutId] = true
			}
		})
	}
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]bool{"P7": true}, failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if got := b.notifications(); len(got) != 19 {
		t.Errorf("%d rows, want 19", len(got))
	}
}

// TestPoisonInAFullBatch: of as many events as are handled at once, one that cannot be written costs a few transactions, not one for each.
func TestPoisonInAFullBatch(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *consumer.Config) { c.Pace = 500 * time.Millisecond })
	n := stream.Consumer(stream.Notifier).Workers
	failed := make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			p := payout(i, func(p *eventsv1.Payout) {
				if i == 7 {
					p.PayeeId = "D\x00007"
				}
			})
			failed[i] = b.handle(message(t, "payout.succeeded", p.PayoutId, 4, 0, p)) != nil
		})
	}
	wg.Wait()
	for i, f := range failed {
		if f != (i == 7) {
			t.Errorf("event %d failed: %v", i, f)
		}
	}
	var rows, commits int
	err := b.pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT xmin::text) FROM notifications").Scan(&rows, &commits)
	if err != nil || rows != n-1 || commits > 30 {
		t.Errorf("%d rows in %d commits: %v", rows, commits, err)
	}
}

// BenchmarkEvents measures events to rows, with the service's own figures: as many at once as its loop handles, its batches and its pace.
func BenchmarkEvents(b *testing.B) {
	bu := setup(b, func(c *consumer.Config) { *c = consumer.Config{Durable: c.Durable, Pushes: c.Pushes} })
	const devices = 1000
	regs := make([]store.Registration, devices)
	for i := range regs {
		regs[i] = store.Registration{UserID: fmt.Sprintf("D%03d", i), Token: fmt.Sprintf("token-%d", i), Platform: "android"}
	}
	bu.register(regs...)
	next := make(chan stream.Message, 1024)
	var wg sync.WaitGroup
	for range stream.Consumer(stream.Notifier).Workers {
		wg.Go(func() {
			for m := range next {
				if err := bu.handle(m); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		p := payout(i, func(p *eventsv1.Payout) { p.PayeeId = fmt.Sprintf("D%03d", i%devices) })
		next <- message(b, "payout.succeeded", p.PayoutId, 4, 0, p)
	}
	close(next)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
