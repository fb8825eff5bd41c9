package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestRelayPublishesEachMessageOnceAndInOrderPerKey(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	b.stream("B")
	o := b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Batch = 50 })
	msgs, want := load([]string{"A", "B"}, 40, 7)
	b.append(o, msgs...)
	b.run(o)
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
	b.checkStream("B", want)
}

// load makes n messages for each of some keys, for each stream.
func load(streams []string, keys, n int) (msgs []outbox.Message, perKey map[string]int) {
	perKey = map[string]int{}
	for i := range n {
		for k := range keys {
			key := fmt.Sprintf("key%d", k)
			for _, s := range streams {
				msgs = append(msgs, message(s, key, i))
			}
			perKey[key] = i + 1
		}
	}
	return msgs, perKey
}

// A transaction that took lower numbers and commits later is not skipped.
func TestLateCommitOfLowerNumbersIsPublished(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	b.run(o)
	late, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Append(t.Context(), late, message("A", "late", 0), message("A", "late", 1)); err != nil {
		t.Fatal(err)
	}
	b.append(o, message("A", "early", 0))
	b.awaitMarked(1)
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.awaitMarked(3)
	b.checkStream("A", map[string]int{"late": 2, "early": 1})
}

// While nothing may be told, what waits is not published either, and goes out when it may.
func TestARefusedRelayPublishesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	b.append(b.outbox(), message("A", "k", 0), message("A", "k", 1))
	var free atomic.Bool
	asked := make(chan struct{}, 1)
	o := b.outbox(func(_ *outbox.Config, d *outbox.Deps) {
		d.Refuse = func() error {
			if free.Load() {
				return nil
			}
			select {
			case asked <- struct{}{}:
			default:
			}
			return errors.New("restored")
		}
	})
	b.run(o)
	for range 5 { // upkeep asks too, the lane every time it is woken
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatal("the relay does not ask whether it may publish")
		}
	}
	s, err := b.js.Stream(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages were published while nothing may be told", n)
	}
	free.Store(true)
	b.awaitMarked(2)
	b.checkStream("A", map[string]int{"k": 2})
}

func TestNudgeWakesTheRelay(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Poll = time.Hour })
	b.append(o, message("A", "k", 0))
	b.run(o)
	b.awaitMarked(1) // by the first look; nothing but a nudge leads to another one
	b.append(o, message("A", "k", 1))
	o.Nudge()
	b.awaitMarked(2)
}

// What a kill between PubAck and mark does: the rows are published again. The window of the stream is made so short that
// it takes them again, which shows that it is the same id each time, and that no order is lost.
func TestFailedMarkRepeatsUnderTheSameID(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A", func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond })
	o := b.outbox()
	b.exec(`CREATE SEQUENCE failures`)
	b.exec(`CREATE FUNCTION fail_mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('failures') <= 5 THEN RAISE EXCEPTION 'no mark' USING ERRCODE = '57P01'; END IF; RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER fail_mark BEFORE UPDATE ON outbox_parcels FOR EACH ROW EXECUTE FUNCTION fail_mark()`)
	msgs, want := load([]string{"A"}, 5, 3)
	b.append(o, msgs...)
	b.run(o)
	b.awaitMarked(len(msgs))

	got, last, copies := map[string]int{}, map[string]int{}, 0
	for _, m := range b.stored("A") {
		id := m.Header.Get(jetstream.MsgIDHeader)
		key, n := split(t, id)
		if string(m.Data) != id || m.Subject != "A."+key {
			t.Errorf("id %s on %s with %s", id, m.Subject, m.Data)
		}
		if n > got[key] {
			t.Errorf("%s came before its predecessor", id)
		}
		got[key] = max(got[key], n+1)
		last[key] = n
		copies++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if copies <= len(msgs) {
		t.Errorf("%d stored of %d: no mark failed", copies, len(msgs))
	}
	for key, n := range last {
		if n != want[key]-1 {
			t.Errorf("the newest of %s is %d: a repetition overtook it", key, n)
		}
	}
}

func split(t *testing.T, id string) (key string, n int) {
	t.Helper()
	i := strings.LastIndexByte(id, '-')
	if _, err := fmt.Sscan(id[i+1:], &n); err != nil {
		t.Fatal(err)
	}
	return id[:i], n
}

func (b *bed) exec(sql string) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql); err != nil {
		b.t.Fatal(err)
	}
}

// A full stream that refuses new messages holds up its own and nobody else's, and loses nothing.
func TestFullStreamWaitsAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	b.stream("Q", func(c *jetstream.StreamConfig) { c.Retention, c.MaxMsgs = jetstream.WorkQueuePolicy, 10 })
	o := b.outbox()
	b.run(o)
	msgs, want := load([]string{"Q", "A"}, 6, 10)
	b.append(o, msgs...)
	await(t, "stream A complete while Q is full", func(ctx context.Context) (bool, error) {
		var a, q int
		err := b.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE stream = 'A' AND published_at IS NULL),
			count(*) FILTER (WHERE stream = 'Q' AND published_at IS NULL) FROM outbox`).Scan(&a, &q)
		return a == 0 && q == 50, err
	})
	got := b.consume("Q", 60)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
}

// consume takes n messages from a stream and checks that each key's come in order and once.
func (b *bed) consume(stream string, n int) map[string]int {
	b.t.Helper()
	c, err := b.js.CreateConsumer(b.t.Context(), stream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		b.t.Fatal(err)
	}
	got := map[string]int{}
	for range n {
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			b.t.Fatalf("after %v: %v", got, err)
		}
		key := strings.TrimPrefix(m.Subject(), stream+".")
		if want := fmt.Sprintf("%s-%d", key, got[key]); string(m.Data()) != want {
			b.t.Errorf("%s, want %s", m.Data(), want)
		}
		got[key]++
		if err := m.Ack(); err != nil {
			b.t.Fatal(err)
		}
	}
	return got
}

// A message that its stream refuses keeps its key waiting, raises an alarm, and goes when the cause is gone.
func TestRefusedMessageHoldsItsKeyOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	size := func(n int32) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: "A", Subjects: []string{"A.>"}, Discard: jetstream.DiscardNew, MaxMsgSize: n}
	}
	if _, err := b.js.CreateStream(t.Context(), size(500)); err != nil {
		t.Fatal(err)
	}
	var log recorder
	registry := prometheus.NewRegistry()
	o := b.outbox(func(_ *outbox.Config, d *outbox.Deps) {
		d.Logger, d.Registerer = slog.New(slog.NewTextHandler(&log, nil)), registry
	})
	b.run(o)
	big := message("A", "big", 1)
	big.Headers["filler"] = strings.Repeat("x", 600)
	b.append(o, message("A", "big", 0), big, message("A", "big", 2), message("A", "small", 0))
	await(t, "what can go has gone", func(ctx context.Context) (bool, error) {
		var waiting int
		err := b.pool.QueryRow(ctx, "SELECT count(*) FROM outbox WHERE published_at IS NULL").Scan(&waiting)
		return waiting == 2 && log.contains("outbox message is refused"), err
	})
	for n := 1; n < 40; n++ {
		b.append(o, message("A", "small", n))
		b.awaitWaiting(2)
	}
	b.checkStream("A", map[string]int{"big": 1, "small": 40})
	if v := value(t, registry, "agogo_outbox_refused_total"); v < 1 {
		t.Errorf("refused_total = %v", v)
	}
	// Far fewer tries than batches: each one is later than the last.
	if v := value(t, registry, "agogo_outbox_retries_total"); v > 20 {
		t.Errorf("the refused message was tried %v times meanwhile", v)
	}
	if log.contains("filler") {
		t.Error("the log shows what the message says")
	}
	if log.contains("service=") {
		t.Error("the outbox names the service, which the service's own logger does on every line")
	}
	if _, err := b.js.UpdateStream(t.Context(), size(-1)); err != nil {
		t.Fatal(err)
	}
	b.awaitMarked(43)
	b.checkStream("A", map[string]int{"big": 3, "small": 40})
}

// Parcels that each keep one message of a refused key, more than a batch of them, are passed over in one go: nothing behind them
// waits for another look, of whichever tenant it is.
func TestRefusedMessageInManyParcelsHoldsItsKeyOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 500 })
	// No poll but the first one: what wakes the relay is a nudge, or that the refused key is due.
	registry := prometheus.NewRegistry()
	o := b.outbox(func(c *outbox.Config, d *outbox.Deps) { c.Poll, c.Batch, d.Registerer = time.Hour, 8, registry })
	const parcels, each = 60, 4
	refused := message("A", "t1/refused", 0)
	refused.Headers["filler"] = strings.Repeat("x", 600)
	b.append(o, refused)
	for n := range parcels {
		msgs := []outbox.Message{message("A", "t1/refused", n+1)}
		for k := range each - 1 {
			msgs = append(msgs, message("A", fmt.Sprintf("t1/fine%d", k), n))
		}
		b.append(o, msgs...)
	}
	b.append(o, message("A", "t2/fine", 0))
	b.run(o)
	b.awaitWaiting(parcels + 1)
	await(t, "the refused key was due again", func(context.Context) (bool, error) {
		return value(t, registry, "agogo_outbox_retries_total") >= 3, nil // so the parcels with little left are read again
	})
	b.append(o, message("A", "t1/fine0", parcels), message("A", "t2/fine", 1))
	o.Nudge()
	b.awaitWaiting(parcels + 1)
	b.checkStream("A", map[string]int{"t1/fine0": parcels + 1, "t1/fine1": parcels, "t1/fine2": parcels, "t2/fine": 2})
}

func TestMessageForAnotherStreamIsNotStored(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	var log recorder
	o := b.outbox(func(_ *outbox.Config, d *outbox.Deps) { d.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	b.run(o)
	lost := message("A", "lost", 0)
	lost.Stream = "B" // the subject is A's
	b.append(o, lost, message("A", "fine", 0))
	await(t, "alarm", func(context.Context) (bool, error) { return log.contains("expected stream does not match"), nil })
	b.awaitWaiting(1)
	b.checkStream("A", map[string]int{"fine": 1})
}

func (b *bed) awaitWaiting(n int) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("%d rows waiting", n), func(ctx context.Context) (bool, error) {
		var waiting int
		err := b.pool.QueryRow(ctx, "SELECT count(*) FROM outbox WHERE published_at IS NULL").Scan(&waiting)
		return waiting == n, err
	})
}

// A subject without a stream, or a stream without a leader: both answer alike, and both may end.
func TestStreamThatAppearsLater(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	var log recorder
	o := b.outbox(func(_ *outbox.Config, d *outbox.Deps) { d.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	b.run(o)
	msgs, want := load([]string{"A"}, 3, 3)
	b.append(o, msgs...)
	await(t, "a warning", func(context.Context) (bool, error) { return log.contains("outbox retries"), nil })
	b.stream("A")
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
}

func TestTwoRelaysShareTheWork(t *testing.T) {
	t.Parallel()
	node := natstest.Server(t)
	b := newBed(t, node.JS)
	b.stream("A")
	first, second := b.outbox(), b.outbox()
	stopFirst := b.run(first)
	b.awaitShares(16)
	b.run(second)
	b.awaitShares(8, 8)
	msgs, want := load([]string{"A"}, 64, 10)
	b.append(first, msgs...)
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
	stopFirst()
	b.awaitShares(16)
	third, fourth := b.outbox(), b.outbox()
	b.run(third)
	b.run(fourth)
	b.awaitShares(6, 5, 5)
}

// awaitShares waits until the parts are held in these shares, largest first.
func (b *bed) awaitShares(want ...int64) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("shares %v", want), func(ctx context.Context) (bool, error) {
		rows, err := b.pool.Query(ctx, "SELECT count(*) FROM outbox_leases WHERE expires_at > now() GROUP BY owner ORDER BY 1 DESC")
		if err != nil {
			return false, err
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		return slices.Equal(want, got), err
	})
}

// A relay that died with leases in its name delays its parts by the rest of the lease, and by no more. Leases are an hour long here: which
// of them are over is said in the table, not left to how busy the machine is.
func TestExpiredLeasesAreTakenOver(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	b.exec("UPDATE outbox_leases SET owner = 'ghost', term = 7, expires_at = now() + interval '1 hour'")
	b.exec("INSERT INTO outbox_relays VALUES ('ghost', now() + interval '1 hour')")
	long := func(c *outbox.Config, _ *outbox.Deps) { c.Lease = time.Hour }
	msgs, want := load([]string{"A"}, 32, 2)
	b.append(b.outbox(), msgs...)
	registry := prometheus.NewRegistry()
	stop := b.run(b.outbox(long, func(_ *outbox.Config, d *outbox.Deps) { d.Registerer = registry }))
	await(t, "a look, which follows the first try to take parts", func(context.Context) (bool, error) {
		return value(t, registry, "agogo_outbox_oldest_unpublished_seconds") > 0, nil
	})
	if n := value(t, registry, "agogo_outbox_leases"); n != 0 {
		t.Errorf("it says that it has %v parts", n)
	}
	stop()
	if n := b.count("SELECT count(*) FROM outbox_leases WHERE owner = 'ghost' AND term = 7 AND expires_at > now()"); n != 16 {
		t.Errorf("the ghost has %d parts left of 16, though its leases are not over", n)
	}
	b.awaitWaiting(len(msgs))
	b.exec("UPDATE outbox_leases SET expires_at = now() - interval '1 millisecond'")
	b.exec("UPDATE outbox_relays SET expires_at = now() - interval '1 millisecond'")
	o := b.outbox(long)
	b.run(o)
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
	b.awaitShares(16)
	var terms []int64
	rows, err := b.pool.Query(t.Context(), "SELECT DISTINCT term FROM outbox_leases")
	if err != nil {
		t.Fatal(err)
	}
	if terms, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(terms, []int64{8}) {
		t.Errorf("terms %v, want 8: a change of owner raises it", terms)
	}
}

// Somebody took our parts while we thought we had them: the term fences our renewal, and we stop relaying them.
func TestRelayStopsWhatItLost(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	b.run(o)
	b.awaitShares(16)
	b.exec("UPDATE outbox_leases SET owner = 'thief', term = term + 1, expires_at = 'infinity'")
	b.exec("INSERT INTO outbox_relays VALUES ('thief', 'infinity')")
	// Two heartbeats later every lease of ours is gone.
	var before time.Time
	if err := b.pool.QueryRow(t.Context(), "SELECT now()").Scan(&before); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		await(t, "a heartbeat", func(ctx context.Context) (bool, error) {
			var beat time.Time
			err := b.pool.QueryRow(ctx, "SELECT expires_at FROM outbox_relays WHERE owner <> 'thief'").Scan(&beat)
			if err == nil && beat.Add(-400*time.Millisecond).After(before) {
				before = beat.Add(-400 * time.Millisecond)
				return true, nil
			}
			return false, err
		})
	}
	b.append(o, message("A", "k", 0))
	o.Nudge()
	b.exec("SELECT pg_sleep(0.3)") // many polls: a row that must stay unpublished sends no signal
	b.awaitWaiting(1)
	b.exec("UPDATE outbox_leases SET expires_at = '-infinity'")
	b.exec("DELETE FROM outbox_relays WHERE owner = 'thief'")
	b.awaitMarked(1)
}

// Losing a part ends its batch, not only the ones after it.
func TestLostPartStopsInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Batch = 20_000 })
	msgs, _ := load([]string{"A"}, 1, 20_000) // one key: one message at a time, seconds of work
	b.append(o, msgs...)
	b.run(o)
	b.awaitStored("A", 10)
	b.exec("UPDATE outbox_leases SET owner = 'thief', term = term + 1, expires_at = 'infinity'")
	// What is marked catches up with what is stored when the batch is over, and not before: on a busy machine an earlier one may have ended
	// for a lease that ran out.
	marked := 0
	await(t, "the batch is over", func(ctx context.Context) (bool, error) {
		marked = b.count("SELECT count(published_at) FROM outbox")
		s, err := b.js.Stream(ctx, "A")
		return err == nil && marked > 0 && s.CachedInfo().State.Msgs == uint64(marked), err
	})
	if marked == len(msgs) {
		t.Errorf("all %d were published, by a relay that had lost their part", marked)
	}
}

func (b *bed) awaitStored(stream string, n uint64) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("%d stored", n), func(ctx context.Context) (bool, error) {
		s, err := b.js.Stream(ctx, stream)
		return err == nil && s.CachedInfo().State.Msgs >= n, err
	})
}

func TestStopGivesTheLeasesBackAtOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Lease = time.Hour })
	stop := b.run(o)
	b.awaitShares(16)
	stop()
	var held, relays int
	err := b.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM outbox_leases WHERE expires_at > now()), (SELECT count(*) FROM outbox_relays)").Scan(&held, &relays)
	if err != nil || held != 0 || relays != 0 {
		t.Errorf("%d leases and %d relays are left, %v", held, relays, err)
	}
}

func TestReplayPublishesAgainUnderTheSameIDs(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	b.run(o)
	msgs, want := load([]string{"A"}, 20, 5)
	old := func(m outbox.Message) bool { return m.Key == "key0" }
	b.append(o, slices.DeleteFunc(slices.Clone(msgs), old)...)
	b.append(o, slices.DeleteFunc(slices.Clone(msgs), func(m outbox.Message) bool { return !old(m) })...)
	b.awaitMarked(len(msgs))
	b.exec("UPDATE outbox_parcels SET created_at = created_at - interval '2 hours' WHERE 'key0' = ANY(keys)")
	// The broker loses everything it acknowledged.
	if err := b.js.DeleteStream(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	b.stream("A")
	n, err := o.Replay(t.Context(), time.Now().Add(-time.Hour))
	if err != nil || n != 95 {
		t.Fatalf("replayed %d, %v; want 95", n, err)
	}
	b.awaitMarked(len(msgs))
	delete(want, "key0")
	b.checkStream("A", want)
}

// A parcel of which one message waited is replayed after the relay has read it and before it marks it: the mark is about what
// was read, and takes nothing of the replay back.
func TestReplayBetweenReadAndMarkIsNotLost(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	config := func(size int32) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: "A", Subjects: []string{"A.>"}, MaxMsgSize: size}
	}
	if _, err := b.js.CreateStream(t.Context(), config(500)); err != nil {
		t.Fatal(err)
	}
	o := b.outbox()
	big := message("A", "t/big", 0)
	big.Headers["filler"] = strings.Repeat("x", 600)
	b.append(o, message("A", "t/small", 0), big)
	b.run(o)
	await(t, "half of the parcel is marked", func(context.Context) (bool, error) {
		return b.count("SELECT count(*) FROM outbox_parcels WHERE waiting = '{2}'") == 1, nil
	})
	release := b.lock("SELECT FROM outbox_parcels FOR UPDATE")
	replayed := make(chan error, 1)
	go func() {
		n, err := o.Replay(context.Background(), time.Now().Add(-time.Hour))
		if err == nil && n != 1 {
			err = fmt.Errorf("replayed %d messages, want 1", n)
		}
		replayed <- err
	}()
	b.awaitLockWaiters(1)
	if _, err := b.js.UpdateStream(t.Context(), config(-1)); err != nil {
		t.Fatal(err)
	}
	b.awaitStored("A", 2)
	b.awaitLockWaiters(2) // the mark, behind the replay
	// The broker loses everything it acknowledged: that is what the replay is for.
	if err := b.js.DeleteStream(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	b.stream("A")
	release()
	if err := <-replayed; err != nil {
		t.Fatal(err)
	}
	b.awaitMarked(2)
	b.checkStream("A", map[string]int{"t/small": 1, "t/big": 1})
}

// lock runs a query in a transaction that lasts until release is called.
func (b *bed) lock(sql string) (release func()) {
	b.t.Helper()
	tx, err := b.pool.Begin(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	release = func() { _ = tx.Rollback(context.Background()) }
	b.t.Cleanup(release)
	if _, err := tx.Exec(b.t.Context(), sql); err != nil {
		b.t.Fatal(err)
	}
	return release
}

// awaitLockWaiters waits until n sessions of this test stand before a lock.
func (b *bed) awaitLockWaiters(n int) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("%d sessions wait for a lock", n), func(context.Context) (bool, error) {
		return b.count(`SELECT count(*) FROM pg_stat_activity
			WHERE application_name = current_setting('application_name') AND wait_event_type = 'Lock'`) == n, nil
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	registry := prometheus.NewRegistry()
	o := b.outbox(func(_ *outbox.Config, d *outbox.Deps) { d.Registerer = registry })
	b.outbox(func(_ *outbox.Config, d *outbox.Deps) { d.Registerer = registry }) // a second one in the process shares them
	b.append(o, message("A", "a", 0))
	b.append(o, message("A", "b", 0))
	b.exec("UPDATE outbox_parcels SET created_at = created_at - interval '90 seconds' WHERE 'a' = ANY(keys)")
	b.run(o)
	await(t, "age and retries are shown", func(context.Context) (bool, error) {
		return value(t, registry, "agogo_outbox_oldest_unpublished_seconds") >= 90 && value(t, registry, "agogo_outbox_retries_total") > 0, nil
	})
	b.stream("A")
	b.awaitMarked(2)
	await(t, "nothing waits", func(context.Context) (bool, error) {
		return value(t, registry, "agogo_outbox_oldest_unpublished_seconds") == 0, nil
	})
	for name, want := range map[string]float64{"agogo_outbox_published_total": 2, "agogo_outbox_leases": 16, "agogo_outbox_refused_total": 0} {
		if got := value(t, registry, name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

// value adds a metric up over its labels.
func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// recorder is a log that can be read while it is written.
type recorder struct {
	mu  sync.Mutex
	log strings.Builder
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *recorder) contains(s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), s)
}
