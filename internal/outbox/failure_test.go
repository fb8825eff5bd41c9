package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// Two relays publish to a replicated stream while its leader is stopped and comes back: nothing is lost, nothing doubled,
// no key out of order.
func TestClusterLosesItsLeaderUnderLoad(t *testing.T) {
	t.Parallel()
	nodes := natstest.Cluster(t, 3)
	b := newBed(t, nodes.JS(0))
	b.stream("A", func(c *jetstream.StreamConfig) { c.Replicas = 3 })
	second := *b
	second.js = nodes.JS(1)
	o := b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Batch = 100 })
	b.run(o)
	second.run(second.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Batch = 100 }))

	const writers, each = 4, 150
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				b.append(o, message("A", fmt.Sprintf("x%d", w), n), message("A", fmt.Sprintf("y%d", w), n))
			}
		})
	}
	b.awaitSome(100)
	stopped := nodes.StopLeader("A")
	b.awaitSome(300)
	nodes.Restart(stopped)
	wg.Wait()
	b.awaitMarked(2 * writers * each)
	want := map[string]int{}
	for w := range writers {
		want[fmt.Sprintf("x%d", w)], want[fmt.Sprintf("y%d", w)] = each, each
	}
	b.checkStream("A", want)
}

func (b *bed) awaitSome(n int) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("%d rows published", n), func(ctx context.Context) (bool, error) {
		var published int
		err := b.pool.QueryRow(ctx, "SELECT count(published_at) FROM outbox").Scan(&published)
		return published >= n, err
	})
}

// All servers are gone for a while. A relay without NATS gives its parts up, waits, and goes on.
func TestNATSGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	nodes := natstest.Cluster(t, 3)
	b := newBed(t, nodes.JS(0))
	b.stream("A", func(c *jetstream.StreamConfig) { c.Replicas = 3 })
	o := b.outbox()
	b.run(o)
	msgs, want := load([]string{"A"}, 10, 20)
	b.append(o, msgs[:100]...)
	b.awaitMarked(100)
	for i := range 3 {
		nodes.Stop(i)
	}
	b.append(o, msgs[100:]...)
	b.awaitShares() // nobody holds anything
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { nodes.Restart(i) })
	}
	wg.Wait()
	b.awaitMarked(200)
	b.checkStream("A", want)
}

// The database goes away for the relay: it says so, waits, and goes on.
func TestDatabaseSessionsAreCut(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	b.run(o)
	msgs, want := load([]string{"A"}, 10, 30)
	for i := 0; i < len(msgs); i += 30 {
		b.append(o, msgs[i:i+30]...)
		b.cutSessions()
	}
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
}

// cutSessions ends all other sessions of this test.
func (b *bed) cutSessions() {
	b.t.Helper()
	await(b.t, "sessions cut", func(ctx context.Context) (bool, error) {
		_, err := b.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()`)
		return err == nil, err
	})
}

// The end of the context does not leave what is in flight to chance: it is awaited and marked.
func TestStopMarksWhatIsInFlight(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Batch = 20_000 })
	msgs, _ := load([]string{"A"}, 1, 20_000) // one key: one message at a time, seconds of work
	b.append(o, msgs...)
	stop := b.run(o)
	b.awaitStored("A", 10)
	stop()
	marked := b.count("SELECT count(published_at) FROM outbox")
	if stored := len(b.stored("A")); stored != marked {
		t.Errorf("%d stored, %d marked", stored, marked)
	}
	if marked == len(msgs) {
		t.Error("everything was published before the stop: the test shows nothing")
	}
}

func TestStopWhileNothingWorks(t *testing.T) {
	t.Parallel()
	nodes := natstest.Cluster(t, 3)
	b := newBed(t, nodes.JS(0))
	o := b.outbox()
	stop := b.run(o)
	b.append(o, message("A", "k", 0))
	for i := range 3 {
		nodes.Stop(i)
	}
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 12*time.Second {
		t.Errorf("stop took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Run with an ended context: %v", err)
	}
	b.awaitWaiting(1)
}
