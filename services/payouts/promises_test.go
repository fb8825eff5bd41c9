package payouts_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/servicetest"
	"github.com/agogopay/agogo/internal/stream"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

// The promises that this service keeps (1, 3 and 5), on random evenings: payments around the cut-off, refunds at any time,
// a provider that loses answers, refuses, delays and resets, ticks that come again and replicas that come and go.

// world is an installation with random payments and what was told of them.
type world struct {
	*installation
	rand     *rand.Rand
	payments []string // ids, completed
	rows     map[string]string
	replicas []*replica
}

var seed = flag.Uint64("seed", 0, "of TestPromises; 0 is a fresh one")

func newWorld(t *testing.T) *world {
	t.Helper()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("again with -seed=%d", *seed)
	w := &world{installation: install(t), rand: rand.New(rand.NewPCG(*seed, 1)), rows: map[string]string{}}
	w.file.Tenants[0].Payouts.PauseAboveFailureRate = 0 // failures are what this is about
	w.file.Tenants[0].Payouts.MaxPerPayout = 12_000
	orange := w.file.Tenants[0].Providers["orange"]
	orange.LookupAfter = nil
	for i := range 600 { // time flies here; nobody waits for "daily"
		orange.LookupAfter = append(orange.LookupAfter, time.Duration(i+1)*time.Minute)
	}
	w.file.Tenants[0].Providers["orange"] = orange
	w.replicas = []*replica{w.start(), w.start()}
	return w
}

// youngest is the replica that was started last.
func (w *world) youngest() *replica { return w.replicas[len(w.replicas)-1] }

func (w *world) client() payoutsv1.PayoutsServiceClient { return w.youngest().as("operator") }

// earn imports payments of a day, some of them after its cut-off, and refunds some that were completed before.
func (w *world) earn(day time.Time) {
	csv := payoutstest.Header
	for range 60 {
		id := fmt.Sprintf("pay-%04d", len(w.rows))
		at := day.Add(time.Duration(w.rand.IntN(24*3600)) * time.Second).Format(time.RFC3339)
		payee := fmt.Sprintf("drv-%02d", w.rand.IntN(12))
		row := strings.Replace(payoutstest.Pay(id, payee, int64(50+w.rand.IntN(6000)), at), "0000101", "00001"+payee[4:], 1)
		w.rows[id] = row
		w.payments = append(w.payments, id)
		csv += row
	}
	for range 6 {
		i := w.rand.IntN(len(w.payments))
		csv += strings.Replace(w.rows[w.payments[i]], "completed", "refunded", 1)
		w.payments = append(w.payments[:i], w.payments[i+1:]...)
	}
	if got := w.importPayments(w.client(), "csv", []byte(csv)); len(got.Refused) > 0 {
		w.T.Fatalf("refused %v", got.Refused)
	}
}

// trouble makes the provider misbehave a few times.
func (w *world) trouble() {
	kinds := []simulator.Fault{
		simulator.LostAnswer, simulator.ServerErrorAfter, simulator.ServerErrorBefore, simulator.ResetBefore, simulator.ResetAfter,
		simulator.Garbage, simulator.PendingSuccess, simulator.PendingFailed, simulator.Failed, simulator.TooMany, simulator.UnknownStatus,
	}
	for range 8 {
		rule := simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: kinds[w.rand.IntN(len(kinds))], Times: 1, Duration: time.Minute}
		if err := w.sim.AddRule(rule); err != nil {
			w.T.Fatal(err)
		}
	}
}

// evening fires a day's tick several times over and lets time pass until nothing is under way but what people must decide.
func (w *world) evening(day time.Time) {
	w.T.Helper()
	tick := payoutstest.Daily(day.Format("2006-01-02") + "T23:59:00Z")
	for i := range 3 {
		w.tick(tick, fmt.Sprintf("%s %d", tick.GetTickId(), i))
	}
	if w.rand.IntN(2) == 0 { // a rolling restart in the middle of it
		if err := w.replicas[0].Stop(); err != nil {
			w.T.Errorf("the service ended with %v", err)
		}
		w.replicas = append(w.replicas[1:], w.start())
	}
	n := map[string]int{}
	w.T.Cleanup(func() {
		if w.T.Failed() {
			w.T.Logf("%s ended with %v", tick.GetTickId(), n)
			w.dump()
		}
	})
	// A send whose process stopped is only taken over when its lease has run out, by real time.
	w.Within(2*servicetest.Patience, "evening "+tick.GetLocalDate()+" over", func() bool {
		w.clock.Advance(30 * time.Second)
		clear(n)
		for _, p := range w.payouts() {
			n[p.GetState()]++
		}
		retries := w.count("SELECT count(*) FROM payouts WHERE state = 'failed' AND retry_at IS NOT NULL")
		runs := w.count("SELECT count(*) FROM runs WHERE state <> 'completed'")
		return len(n) > 0 && runs == 0 && retries == 0 && n["created"]+n["approved"]+n["submitting"]+n["processing"]+n["unknown"] == 0
	})
}

func (w *world) payouts() []*payoutsv1.Payout {
	w.T.Helper()
	var all []*payoutsv1.Payout
	for token := ""; ; {
		l, err := w.client().ListPayouts(w.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant, PageSize: 1000, PageToken: token})
		if err != nil {
			w.T.Fatal(err)
		}
		all = append(all, l.GetItems()...)
		if token = l.GetNextPageToken(); token == "" {
			return all
		}
	}
}

// dump tells what is known of attempts that are still open.
func (w *world) dump() {
	conn, err := pgx.Connect(context.WithoutCancel(w.Ctx), w.DSN+"&search_path=payouts")
	if err != nil {
		w.T.Log(err)
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(w.Ctx)) }()
	rows, _ := conn.Query(context.WithoutCancel(w.Ctx), "SELECT to_jsonb(a)::text FROM attempts a WHERE state IN ('submitting', 'processing', 'unknown')")
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.T.Log(w.clock.Now(), open, err)
}

func (w *world) count(sql string) (n int64) {
	w.T.Helper()
	conn, err := pgx.Connect(w.Ctx, w.DSN+"&search_path=payouts")
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = conn.Close(w.Ctx) }()
	if err := conn.QueryRow(w.Ctx, sql).Scan(&n); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
	return n
}

// TestPromises lives through random evenings and then asks for each promise.
func TestPromises(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := payoutstest.At("2025-01-24T00:00:00Z")
	for range 3 {
		w.earn(day)
		w.trouble()
		w.evening(day)
		w.youngest().verify() // promise 3 holds at any time, not only at the end
		day = day.AddDate(0, 0, 1)
	}
	t.Run("1 a payment is in at most one live payout, and a payout moves money at most once", w.promise1)
	t.Run("3 books balance and commission plus net is gross", w.promise3)
	t.Run("5 every change is one event, contiguous, and events rebuild the tables", w.promise5)
}

func (w *world) promise1(t *testing.T) {
	twice := w.count(`SELECT count(*) FROM (SELECT FROM payout_items WHERE released_at IS NULL GROUP BY item_kind, item_id HAVING count(*) > 1) d`)
	if twice != 0 {
		t.Errorf("%d items are in two live payouts", twice)
	}
	b, err := w.sim.Book(simulator.Orange)
	if err != nil {
		t.Fatal(err)
	}
	moved := map[string]int64{}
	for _, e := range b.Entries {
		if e.Moved > 1 {
			t.Errorf("reference %s moved money %d times", e.Reference, e.Moved)
		}
		moved[e.Reference] = e.MovedMinor
	}
	for _, p := range w.payouts() {
		sum := int64(0)
		for _, a := range p.GetAttempts() {
			sum += moved[a.GetProviderReference()]
			delete(moved, a.GetProviderReference())
		}
		switch net := p.GetNet().GetMinor(); p.GetState() {
		case "succeeded":
			if sum != net {
				t.Errorf("payout %s succeeded with %d, the provider moved %d", p.GetId(), net, sum)
			}
		case "manual_review":
			if sum != 0 && sum != net {
				t.Errorf("payout %s in review: the provider moved %d of %d", p.GetId(), sum, net)
			}
		default:
			if sum != 0 {
				t.Errorf("payout %s is %s, the provider moved %d", p.GetId(), p.GetState(), sum)
			}
		}
	}
	for reference, sum := range moved {
		if sum != 0 {
			t.Errorf("the provider moved %d for reference %s, which is no payout's", sum, reference)
		}
	}
}

func (w *world) promise3(t *testing.T) {
	w.youngest().verify()
	odd := w.count("SELECT count(*) FROM payments WHERE gross <> commission + net") + w.count("SELECT count(*) FROM payouts WHERE gross <> commission + net")
	if odd != 0 {
		t.Errorf("%d rows lose or make money between gross, commission and net", odd)
	}
	// What a payee was paid, is about to be paid and is still owed is what they earned, to the last unit.
	if n := w.count(`SELECT count(*) FROM (
		SELECT y.payee_id,
			(SELECT coalesce(sum(p.net), 0) FROM payments p WHERE p.payee_id = y.payee_id AND p.status = 'completed') AS earned,
			(SELECT coalesce(sum(o.net), 0) FROM payouts o WHERE o.payee_id = y.payee_id AND o.state IN ('succeeded', 'manual_review', 'held')) AS paid,
			(SELECT coalesce(sum(p.net), 0) FROM payments p WHERE p.payee_id = y.payee_id AND p.payout_id IS NULL AND (p.status = 'completed' OR p.carried)) AS open,
			(SELECT coalesce(sum(c.net), 0) FROM carries c WHERE c.payee_id = y.payee_id AND c.payout_id IS NULL AND c.voided_at IS NULL) AS owed
		FROM payees y) s WHERE earned <> paid + open - owed`); n != 0 {
		t.Errorf("%d payees whose earnings are not what was paid, waits and is owed", n)
	}
}

func (w *world) promise5(t *testing.T) {
	w.Until("the outbox is empty", func() bool { return w.count("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0 })
	states, versions := w.rebuild(t)
	for _, p := range w.payouts() {
		key := "payout " + p.GetId()
		if states[key] != p.GetState() || versions[key] != p.GetVersion() {
			t.Errorf("%s: events end in %s version %d, the table has %s version %d", key, states[key], versions[key], p.GetState(), p.GetVersion())
		}
		delete(states, key)
	}
	for key := range states {
		if strings.HasPrefix(key, "payout ") {
			t.Errorf("events tell of %s, the table does not have it", key)
		}
	}
}

// rebuild reads EVENTS from its beginning, as an audit does, and follows every aggregate.
func (w *world) rebuild(t *testing.T) (states map[string]string, versions map[string]int64) {
	c, err := w.NATS.JS.OrderedConsumer(w.Ctx, stream.Events, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"agogo.evt.lebenis.payouts.>"}})
	if err != nil {
		t.Fatal(err)
	}
	states, versions = map[string]string{}, map[string]int64{}
	for {
		m, err := c.Next(jetstream.FetchMaxWait(500 * time.Millisecond))
		if err != nil {
			return states, versions
		}
		e, err := event.ParseHeaders(m.Headers().Get)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			State    string `json:"state"`
			Previous string `json:"previous_state"`
		}
		if err := json.Unmarshal(m.Data(), &body); err != nil {
			t.Fatal(err)
		}
		key := e.Type.Aggregate() + " " + e.Subject
		if e.Version != versions[key]+1 {
			t.Errorf("%s: %s has version %d after %d", key, e.Type, e.Version, versions[key])
		}
		if before, known := states[key]; known && before != body.Previous {
			t.Errorf("%s: %s comes from %q, the event before led to %q", key, e.Type, body.Previous, before)
		}
		states[key], versions[key] = body.State, e.Version
	}
}
