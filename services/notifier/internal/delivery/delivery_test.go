package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/notifier/internal/channel"
	"github.com/agogopay/agogo/services/notifier/internal/channel/fcm"
	"github.com/agogopay/agogo/services/notifier/internal/channel/fcmtest"
	"github.com/agogopay/agogo/services/notifier/internal/delivery"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
	"github.com/agogopay/agogo/services/notifier/internal/store"
	"github.com/agogopay/agogo/services/notifier/internal/text"
	"github.com/agogopay/agogo/services/notifier/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var start = time.Date(2025, 1, 25, 0, 0, 12, 0, time.UTC)

type bundle struct {
	t        testing.TB
	pool     *pgxpool.Pool
	store    *store.Store
	clock    *clock.Virtual
	fcm      *fcmtest.Server
	sender   delivery.Sender
	registry *prometheus.Registry
	worker   *delivery.Worker
}

func setup(t testing.TB, change func(*delivery.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pgtest.Pool(t, outbox.Migrations, migrations.Set), clock: clock.NewVirtual(start), fcm: fcmtest.New()}
	t.Cleanup(b.fcm.Close)
	b.store = &store.Store{
		Pool: b.pool, Clock: b.clock, Outbox: outbox.New(outbox.Config{Service: "notifier"}, outbox.Deps{Pool: b.pool}),
	}
	var err error
	if b.sender, err = fcm.New(context.Background(), fcm.Config{ProjectID: "demo", Endpoint: b.fcm.URL}); err != nil {
		t.Fatal(err)
	}
	b.worker = b.newWorker(b.sender, change)
	return b
}

func (b *bundle) newWorker(s delivery.Sender, change func(*delivery.Config)) *delivery.Worker {
	var cfg delivery.Config
	if change != nil {
		change(&cfg)
	}
	b.registry = prometheus.NewRegistry()
	return delivery.New(cfg, delivery.Deps{
		Store: b.store, Sender: s, Clock: b.clock, Metrics: delivery.NewMetrics(b.registry), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

func (b *bundle) tx(f func(ctx context.Context, tx pgx.Tx) error) {
	b.t.Helper()
	if err := pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error { return f(context.Background(), tx) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) register(regs ...store.Registration) {
	b.t.Helper()
	b.tx(func(ctx context.Context, tx pgx.Tx) error {
		_, err := b.store.Register(ctx, tx, "lebenis", regs)
		return err
	})
}

// tell queues a notice for a user's devices and returns its id.
func (b *bundle) tell(user, kind string, order int64) string {
	b.t.Helper()
	n := notice.Notice{
		Tenant: "lebenis", Recipient: notice.Recipient{Kind: notice.ToPayee, ID: user}, Kind: event.Type(kind), Text: kind,
		SubjectID: "P-" + user, Order: order, Cause: kind,
	}
	b.tx(func(ctx context.Context, tx pgx.Tx) error {
		devices, err := b.store.Devices(ctx, tx, []store.User{{Tenant: "lebenis", ID: user}})
		if err != nil {
			return err
		}
		_, err = b.store.Tell(ctx, tx, []store.Entry{{
			Notice: n, Text: text.Text{Locale: "fr-CI", Title: "Versement reçu", Body: "corps"},
			Devices: devices[store.User{Tenant: "lebenis", ID: user}].IDs,
			Origin:  store.Origin{Cause: event.Cause{CorrelationID: "tick-1"}},
		}})
		return err
	})
	return n.ID()
}

func (b *bundle) step() {
	b.t.Helper()
	if _, err := b.worker.Step(context.Background()); err != nil {
		b.t.Fatal(err)
	}
}

// pushes are the queue's rows as "token state code".
func (b *bundle) pushes() []string {
	b.t.Helper()
	return b.lines(`SELECT d.token || ' ' || p.state || ' ' || p.code FROM pushes p JOIN devices d USING (device_id) ORDER BY 1`)
}

// devices are rows as "token user state reason".
func (b *bundle) devices() []string {
	b.t.Helper()
	return b.lines(`SELECT token || ' ' || user_id || ' ' || state || ' ' || removed_reason FROM devices ORDER BY 1`)
}

func (b *bundle) notifications() []string {
	b.t.Helper()
	return b.lines(`SELECT recipient_id || ' ' || kind || ' ' || state || ' ' || reason || ' ' || version FROM notifications ORDER BY 1`)
}

// events are those of the outbox after the registrations, as "type version previous state reason".
func (b *bundle) events() []string {
	b.t.Helper()
	rows, err := b.pool.Query(context.Background(), `SELECT headers, payload FROM outbox ORDER BY seq`)
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var h map[string]string
		var payload []byte
		if err := rows.Scan(&h, &payload); err != nil {
			b.t.Fatal(err)
		}
		var body struct {
			State         string `json:"state"`
			PreviousState string `json:"previous_state"`
			Reason        struct{ Code string }
		}
		if err := json.Unmarshal(payload, &body); err != nil {
			b.t.Fatal(err)
		}
		if strings.Contains(string(payload), "token") {
			b.t.Errorf("an event tells a token: %s", payload)
		}
		if strings.Contains(h["ce-type"], "registered") {
			continue
		}
		if strings.Contains(h["ce-type"], "notification") && h["ce-correlationid"] != "tick-1" {
			b.t.Errorf("%s does not continue its chain", h["ce-type"])
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s→%s %s", h["ce-type"], h["ce-aggversion"], body.PreviousState, body.State, body.Reason.Code)))
	}
	return lines
}

func (b *bundle) lines(sql string) []string {
	b.t.Helper()
	rows, err := b.pool.Query(context.Background(), sql)
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return lines
}

func (b *bundle) equal(what string, want, got []string) {
	b.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func android(user, token string) store.Registration {
	return store.Registration{UserID: user, Token: token, Platform: "android"}
}

func TestDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"), android("D001", "b"))
	id := b.tell("D001", "payout.succeeded", 4)
	b.step()
	b.step()
	pushes := b.fcm.Pushes()
	if len(pushes) != 2 || pushes[0].NotificationID != id || pushes[0].CollapseKey != id || pushes[0].Data["subject_id"] != "P-D001" {
		t.Errorf("devices received %+v", pushes)
	}
	b.equal("pushes", []string{"a sent ", "b sent "}, b.pushes())
	b.equal("notifications", []string{"D001 payout.succeeded delivered  2"}, b.notifications())
	b.equal("events", []string{
		"com.agogo.notification.created.v1 1 →created",
		"com.agogo.notification.delivered.v1 2 created→delivered",
	}, b.events())
}

// TestDeadToken: a token that is dead loses its device; the message is delivered if another one took it, else failed.
func TestDeadToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "dead"), android("D001", "good"), android("D002", "foreign"))
	b.fcm.Script("dead", fcmtest.Answer{Status: 404, Code: "UNREGISTERED"})
	b.fcm.Script("foreign", fcmtest.Answer{Status: 403, Code: "SENDER_ID_MISMATCH"})
	b.tell("D001", "payout.succeeded", 4)
	b.tell("D002", "payout.succeeded", 4)
	b.step()
	b.equal("devices", []string{
		"dead D001 removed UNREGISTERED", "foreign D002 removed SENDER_ID_MISMATCH", "good D001 registered ",
	}, b.devices())
	b.equal("notifications", []string{
		"D001 payout.succeeded delivered  2", "D002 payout.succeeded failed SENDER_ID_MISMATCH 2",
	}, b.notifications())
	events := b.events()
	for _, want := range []string{
		"com.agogo.device.removed.v1 2 registered→removed UNREGISTERED",
		"com.agogo.device.removed.v1 2 registered→removed SENDER_ID_MISMATCH",
		"com.agogo.notification.failed.v1 2 created→failed SENDER_ID_MISMATCH",
	} {
		if !slices.Contains(events, want) {
			t.Errorf("no event %q in %q", want, events)
		}
	}

	// The next word reaches the device that is left.
	b.tell("D001", "payout.failed", 5)
	b.step()
	if n := len(b.fcm.Pushes()); n != 2 {
		t.Errorf("%d pushes received, want one each for the two messages", n)
	}
}

// TestNotADeadToken: a 404 of a proxy, or of a wrong project id, removes no device.
func TestNotADeadToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"))
	b.fcm.Break(&fcmtest.Answer{Status: 404})
	b.tell("D001", "payout.succeeded", 4)
	b.step()
	b.equal("devices", []string{"a D001 registered "}, b.devices())
	b.equal("pushes", []string{"a pending HTTP_404"}, b.pushes())
	b.alarm("HTTP_404")
}

func (b *bundle) alarm(code string) {
	b.t.Helper()
	want := "# HELP agogo_notifier_channel_down 1 while the push service takes nothing, by its code. HTTP_401, HTTP_403 and THIRD_PARTY_AUTH_ERROR need a person.\n" +
		"# TYPE agogo_notifier_channel_down gauge\n"
	if code == "" {
		want = ""
	} else {
		want += `agogo_notifier_channel_down{code="` + code + `"} 1` + "\n"
	}
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "agogo_notifier_channel_down"); err != nil {
		b.t.Error(err)
	}
}

// TestInvalid: "invalid" blames the token only when another device took the very same message.
func TestInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "bad"), android("D001", "good"), android("D002", "alone"), android("D003", "x"), android("D003", "y"))
	for _, token := range []string{"bad", "alone", "x", "y"} {
		b.fcm.Script(token, fcmtest.Answer{Status: 400, Code: "INVALID_ARGUMENT"})
	}
	for _, user := range []string{"D001", "D002", "D003"} {
		b.tell(user, "payout.succeeded", 4)
	}
	b.step()
	b.equal("devices", []string{
		"alone D002 registered ", "bad D001 removed INVALID_ARGUMENT", "good D001 registered ", "x D003 registered ", "y D003 registered ",
	}, b.devices())
	b.equal("notifications", []string{
		"D001 payout.succeeded delivered  2", "D002 payout.succeeded failed INVALID_ARGUMENT 2", "D003 payout.succeeded failed INVALID_ARGUMENT 2",
	}, b.notifications())
}

// TestInvalidProvenLater: the proof may come after the refusal.
func TestInvalidProvenLater(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "bad"), android("D001", "slow"))
	b.fcm.Script("bad", fcmtest.Answer{Status: 400, Code: "INVALID_ARGUMENT"})
	b.fcm.Script("slow", fcmtest.Answer{Status: 500, Code: "INTERNAL"})
	b.tell("D001", "payout.succeeded", 4)
	b.step()
	b.equal("before", []string{"bad D001 registered ", "slow D001 registered "}, b.devices())
	b.clock.Advance(time.Minute)
	b.step()
	b.equal("after", []string{"bad D001 removed INVALID_ARGUMENT", "slow D001 registered "}, b.devices())
	b.equal("notifications", []string{"D001 payout.succeeded delivered  2"}, b.notifications())
}

// TestOutage: while the service takes nothing it gets a rest and a few probes; then everything goes out, once each.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	const users = 60
	for i := range users {
		user := fmt.Sprintf("D%03d", i)
		b.register(android(user, "t-"+user))
		b.tell(user, "payout.succeeded", 4)
	}
	b.fcm.Break(&fcmtest.Answer{Status: http.StatusInternalServerError, Code: "INTERNAL"})
	b.step()
	if n := b.fcm.Calls(); n != users {
		t.Fatalf("%d calls, want the whole queue once", n)
	}
	b.alarm("INTERNAL")
	b.step()
	if n := b.fcm.Calls(); n != users {
		t.Errorf("the service got no rest: %d calls", n)
	}
	b.clock.Advance(10 * time.Second)
	b.step()
	if n := b.fcm.Calls(); n != users+10 {
		t.Errorf("%d calls, want ten probes", n-users)
	}
	b.equal("nothing is lost", []string{fmt.Sprint(users)}, b.lines(`SELECT count(*)::text FROM pushes WHERE state = 'pending'`))

	b.fcm.Break(nil)
	for range 5 {
		b.clock.Advance(11 * time.Minute)
		b.step()
	}
	if n := len(b.fcm.Pushes()); n != users {
		t.Errorf("%d pushes received, want %d", n, users)
	}
	b.equal("all delivered", []string{fmt.Sprint(users)}, b.lines(`SELECT count(*)::text FROM notifications WHERE state = 'delivered'`))
	b.alarm("")
}

// TestQuota: the wait that the service asks for is kept, by everybody.
func TestQuota(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"), android("D002", "b"))
	b.fcm.Script("a", fcmtest.Answer{Status: 429, Code: "QUOTA_EXCEEDED", RetryAfter: "30"})
	b.tell("D001", "payout.succeeded", 4)
	b.tell("D002", "payout.succeeded", 4)
	b.step()
	b.tell("D002", "payout.failed", 5)
	b.clock.Advance(29 * time.Second)
	b.step()
	if n := b.fcm.Calls(); n != 2 {
		t.Errorf("%d calls within the wait", n)
	}
	b.clock.Advance(5 * time.Second)
	b.step()
	b.equal("pushes", []string{"a sent ", "b sent ", "b sent "}, b.pushes())
}

// TestBackoff: one push that fails while others get through waits longer each time.
func TestBackoff(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"), android("D002", "b"))
	refuse := fcmtest.Answer{Status: 500, Code: "INTERNAL"}
	b.fcm.Script("a", refuse, refuse, refuse)
	b.tell("D001", "payout.succeeded", 4)
	b.tell("D002", "payout.succeeded", 4)
	b.step()
	for i, wait := range []time.Duration{6 * time.Second, 12 * time.Second, 23 * time.Second} {
		before := b.fcm.Calls()
		b.clock.Advance(wait / 2)
		b.step()
		if n := b.fcm.Calls(); n != before {
			t.Errorf("try %d came within %s", i+2, wait/2)
		}
		b.clock.Advance(wait / 2)
		b.step()
		if n := b.fcm.Calls(); n != before+1 {
			t.Errorf("try %d did not come within %s", i+2, wait)
		}
	}
	b.equal("pushes", []string{"a sent ", "b sent "}, b.pushes())
}

// TestGiveUp: a push that waited a day is of no use; the row remains and says so.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"))
	b.tell("D001", "payout.succeeded", 4)
	b.clock.Advance(25 * time.Hour)
	b.step()
	b.equal("pushes", []string{"a failed expired"}, b.pushes())
	b.equal("notifications", []string{"D001 payout.succeeded failed expired 2"}, b.notifications())
	if n := b.fcm.Calls(); n != 0 {
		t.Errorf("%d sends", n)
	}
}

// TestDroppedWhileWaiting: what became wrong while it waited is not sent: the device is gone, or somebody else's.
func TestDroppedWhileWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "sold"), android("D002", "dying"))
	b.tell("D001", "payout.succeeded", 4)
	b.register(android("D009", "sold")) // the phone changed hands before its push went out
	b.tell("D002", "payout.processing", 3)
	b.fcm.Script("dying", fcmtest.Answer{Status: 404, Code: "UNREGISTERED"})
	b.step()
	b.tx(func(ctx context.Context, tx pgx.Tx) error { // a push that was queued just before the device went
		_, err := tx.Exec(ctx, `UPDATE pushes SET state = 'pending'; UPDATE notifications SET state = 'created', version = 1`)
		return err
	})
	b.step()
	b.equal("pushes", []string{"dying dropped gone", "sold dropped taken_over"}, b.pushes())
	b.equal("notifications", []string{"D001 payout.succeeded suppressed taken_over 2", "D002 payout.processing suppressed gone 2"}, b.notifications())
	if n := len(b.fcm.Pushes()); n != 0 {
		t.Errorf("%d pushes received", n)
	}
}

// TestOvertakenWhileWaiting: after an outage a driver reads "received", not first "on its way" and then "received".
func TestOvertakenWhileWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"))
	b.tell("D001", "payout.processing", 1)
	b.tell("D001", "payout.succeeded", 2)
	b.step() // in time, both are news
	if n := len(b.fcm.Pushes()); n != 2 {
		t.Fatalf("%d pushes, want both", n)
	}
	b = setup(t, nil)
	b.register(android("D001", "a"))
	b.tell("D001", "payout.processing", 3)
	b.tell("D001", "payout.succeeded", 4)
	b.clock.Advance(2 * time.Minute)
	b.step()
	pushes := b.fcm.Pushes()
	if len(pushes) != 1 || pushes[0].Data["kind"] != "payout.succeeded" {
		t.Errorf("received %+v", pushes)
	}
	b.equal("notifications", []string{
		"D001 payout.processing suppressed overtaken 2", "D001 payout.succeeded delivered  2",
	}, b.notifications())
}

// crashing sends, and dies before anything is recorded.
type crashing struct{ delivery.Sender }

func (c crashing) Send(ctx context.Context, msgs []channel.Message) ([]channel.Result, error) {
	if _, err := c.Sender.Send(ctx, msgs); err != nil {
		return nil, err
	}
	panic("killed between send and record")
}

// TestCrashBetweenSendAndRecord: the push may come again, with the same id; the row is one and ends delivered.
func TestCrashBetweenSendAndRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"))
	id := b.tell("D001", "payout.succeeded", 4)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not die")
			}
		}()
		_, _ = b.newWorker(crashing{b.sender}, nil).Step(context.Background())
	}()

	b.step()
	if n := len(b.fcm.Pushes()); n != 1 {
		t.Fatalf("%d pushes while the dead process's lease lives", n)
	}
	b.tx(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE pushes SET leased_until = now() - interval '1 second'`)
		return err
	})
	b.step()
	pushes := b.fcm.Pushes()
	if len(pushes) != 2 || pushes[0].CollapseKey != id || pushes[1].CollapseKey != id {
		t.Errorf("received %+v, want the same id twice", pushes)
	}
	b.equal("notifications", []string{"D001 payout.succeeded delivered  2"}, b.notifications())
	b.equal("events", []string{
		"com.agogo.notification.created.v1 1 →created", "com.agogo.notification.delivered.v1 2 created→delivered",
	}, b.events())
}

// TestLateRecord: a worker whose lease ran out may still say "sent", but not "later".
func TestLateRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.register(android("D001", "a"), android("D002", "b"))
	b.tell("D001", "payout.succeeded", 4)
	b.tell("D002", "payout.succeeded", 4)
	ctx := context.Background()
	lease, pushes, err := b.store.Claim(ctx, 10, time.Minute)
	if err != nil || len(pushes) != 2 {
		t.Fatalf("claimed %d, %v", len(pushes), err)
	}
	b.tx(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE pushes SET leased_until = now() - interval '1 second'`)
		return err
	})
	if _, again, err := b.store.Claim(ctx, 10, time.Minute); err != nil || len(again) != 2 {
		t.Fatalf("taken over %d, %v", len(again), err)
	}
	var verdicts []store.Verdict
	for _, p := range pushes {
		v := store.Verdict{Push: p, State: store.Sent}
		if p.Message.Token == "b" {
			v.State, v.NextTryAt = store.Pending, start.Add(time.Hour)
		}
		verdicts = append(verdicts, v)
	}
	if _, err := b.store.Record(ctx, lease, verdicts); err != nil {
		t.Fatal(err)
	}
	b.equal("pushes", []string{"a sent ", "b pending "}, b.pushes())
	b.equal("the other worker's lease stands", []string{"b"},
		b.lines(`SELECT d.token FROM pushes p JOIN devices d USING (device_id) WHERE p.lease IS NOT NULL AND p.next_try_at < '2025-01-25 01:00:00Z'`))
}

// picky refuses one message as the SDK does: the whole call, before anything is sent.
type picky struct {
	delivery.Sender
	bad string
}

func (p picky) Send(ctx context.Context, msgs []channel.Message) ([]channel.Result, error) {
	if slices.ContainsFunc(msgs, func(m channel.Message) bool { return m.Token == p.bad }) {
		return nil, errors.New("invalid message")
	}
	return p.Sender.Send(ctx, msgs)
}

// TestOwnFault: a message that the SDK itself refuses does not keep its batch from being sent.
func TestOwnFault(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for i := range 9 {
		user := fmt.Sprintf("D%d", i)
		b.register(android(user, "t"+user))
		b.tell(user, "payout.succeeded", 4)
	}
	b.worker = b.newWorker(picky{b.sender, "tD5"}, nil)
	b.step()
	if n := len(b.fcm.Pushes()); n != 8 {
		t.Errorf("%d received, want 8", n)
	}
	b.equal("failed", []string{"tD5"}, b.lines(`SELECT d.token FROM pushes p JOIN devices d USING (device_id) WHERE p.state = 'failed'`))
}

// TestWorkersShare: several workers and replicas send everything once.
func TestWorkersShare(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	const users = 300
	for i := range users {
		user := fmt.Sprintf("D%03d", i)
		b.register(android(user, "t-"+user), android(user, "u-"+user))
		b.tell(user, "payout.succeeded", 4)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var received atomic.Int64
	b.fcm.Before(func(fcmtest.Push) {
		if received.Add(1) == 2*users {
			cancel()
		}
	})
	var wg sync.WaitGroup
	for range 2 {
		w := b.newWorker(b.sender, func(c *delivery.Config) { c.Batch, c.Workers, c.Poll = 40, 3, 10*time.Millisecond })
		wg.Go(func() {
			if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("stopped: %v", err)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, p := range b.fcm.Pushes() {
		seen[p.Token]++
	}
	for token, n := range seen {
		if n != 1 {
			t.Errorf("%s received %d", token, n)
		}
	}
	if len(seen) != 2*users {
		t.Errorf("%d devices received, want %d", len(seen), 2*users)
	}
	// Two pushes of one notification end in two workers at once: one of them must see that it was the last.
	b.equal("finished", []string{fmt.Sprint(users)}, b.lines(`SELECT count(*)::text FROM notifications WHERE state = 'delivered'`))
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	got, err := b.store.Backlog(context.Background())
	if err != nil || got != (store.Backlog{}) {
		t.Errorf("empty queue: %+v, %v", got, err)
	}
	b.register(android("D001", "a"))
	b.tell("D001", "payout.succeeded", 4)
	b.clock.Advance(90 * time.Second)
	if got, err = b.store.Backlog(context.Background()); err != nil || got != (store.Backlog{Pending: 1, Oldest: 90 * time.Second}) {
		t.Errorf("one waits: %+v, %v", got, err)
	}
}

// instant takes everything.
type instant struct{}

func (instant) Send(_ context.Context, msgs []channel.Message) ([]channel.Result, error) {
	return make([]channel.Result, len(msgs)), nil
}

// BenchmarkPushes measures claim, send and record. "queue" sends to nobody: what the queue itself can do.
func BenchmarkPushes(b *testing.B) {
	for _, name := range []string{"queue", "http"} {
		b.Run(name, func(b *testing.B) {
			bu := setup(b, nil)
			if name == "queue" {
				bu.sender = instant{}
			}
			bu.worker = bu.newWorker(bu.sender, nil)
			bu.fill(b.N)
			b.ResetTimer()
			for left := b.N; left > 0; left -= 500 {
				bu.step()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
			b.StopTimer()
			bu.equal("sent", []string{fmt.Sprint(b.N)}, bu.lines(`SELECT count(*)::text FROM pushes WHERE state = 'sent'`))
		})
	}
}

// fill queues n pushes to n devices.
func (b *bundle) fill(n int) {
	for from := 0; from < n; from += 1000 {
		var regs []store.Registration
		var entries []store.Entry
		for i := from; i < min(from+1000, n); i++ {
			user := fmt.Sprintf("D%06d", i)
			regs = append(regs, android(user, "t-"+user))
			entries = append(entries, store.Entry{
				Notice: notice.Notice{
					Tenant: "lebenis", Recipient: notice.Recipient{Kind: notice.ToPayee, ID: user}, Kind: "payout.succeeded",
					SubjectID: "P-" + user, Order: 4, Cause: "payout.succeeded",
				},
				Text:    text.Text{Locale: "fr-CI", Title: "Versement reçu", Body: "corps"},
				Devices: []uuid.UUID{store.DeviceID("lebenis", "t-"+user)},
				Origin:  store.Origin{Cause: event.Cause{CorrelationID: "tick-1"}},
			})
		}
		b.register(regs...)
		b.tx(func(ctx context.Context, tx pgx.Tx) error {
			_, err := b.store.Tell(ctx, tx, entries)
			return err
		})
	}
}
