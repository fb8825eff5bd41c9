package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

const (
	oldest = "agogo_outbox_oldest_unpublished_seconds"
	leases = "agogo_outbox_leases"
)

// What the gauges say is so whoever holds the leases: nobody here, this relay with nothing to send, this relay before a stream that takes
// nothing, and this relay without its database, of which it would otherwise go on telling what was so when it saw it last.
func TestGaugesAreTrueInEveryState(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	line := pgtest.NewLine(t, b.pool)
	registry := prometheus.NewRegistry()
	o := b.outbox(func(_ *outbox.Config, d *outbox.Deps) { d.Pool, d.Registerer = line.Pool, registry })
	shows := func(what string, ok func(age, held float64) bool) {
		t.Helper()
		await(t, what, func(context.Context) (bool, error) {
			return ok(value(t, registry, oldest), value(t, registry, leases)), nil
		})
	}

	b.exec("UPDATE outbox_leases SET owner = 'other', expires_at = 'infinity'")
	b.append(o, message("A", "k", 0))
	b.exec("UPDATE outbox_parcels SET created_at = created_at - interval '90 seconds'")
	b.run(o)
	shows("a message waits, though for another relay", func(age, held float64) bool { return age >= 90 && held == 0 })

	b.exec("UPDATE outbox_leases SET expires_at = '-infinity'")
	shows("it waits for a stream", func(age, held float64) bool { return age >= 90 && held == 16 })
	b.stream("A")
	b.awaitMarked(1)
	shows("nothing waits", func(age, held float64) bool { return age == 0 && held == 16 })

	if err := b.js.DeleteStream(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	b.append(o, message("A", "k", 1))
	b.exec("UPDATE outbox_parcels SET created_at = created_at - interval '90 seconds' WHERE waits")
	shows("another one waits", func(age, held float64) bool { return age >= 90 && held == 16 })
	line.Cut()
	shows("no part is held without the database", func(_, held float64) bool { return held == 0 })
	was := value(t, registry, oldest)
	shows("what waited goes on waiting", func(age, _ float64) bool { return age > was })

	b.stream("A")
	line.Mend()
	b.awaitMarked(2)
	shows("nothing waits any more", func(age, held float64) bool { return age == 0 && held == 16 })
}

// A relay that has ended holds nothing, and says so.
func TestGaugeOfLeasesEndsWithTheRelay(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	registry := prometheus.NewRegistry()
	stop := b.run(b.outbox(func(_ *outbox.Config, d *outbox.Deps) { d.Registerer = registry }))
	b.awaitShares(16)
	stop()
	if n := value(t, registry, leases); n != 0 {
		t.Errorf("%v parts are relayed by a relay that has ended", n)
	}
}

// How long ago the newest row was written does not depend on what became of it: it waits for a relay, for its stream, or is published.
// Without a row nobody can tell.
func TestIdleIsSinceTheNewestRow(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	o := b.outbox()
	idle := func() time.Duration {
		t.Helper()
		known, err := outbox.ReadKnown(t.Context(), b.pool)
		if err != nil {
			t.Fatal(err)
		}
		return known.Idle
	}
	about := func(when string, want time.Duration) {
		t.Helper()
		if got := idle(); got < want || got > want+patience {
			t.Errorf("%s: idle for %s, want %s", when, got, want)
		}
	}
	if got := idle(); got >= 0 {
		t.Errorf("nothing was ever written, and that %s ago", got)
	}
	b.append(o, message("A", "old", 0))
	b.append(o, message("A", "new", 0))
	b.exec("UPDATE outbox_parcels SET created_at = created_at - CASE keys[1] WHEN 'old' THEN interval '1 day' ELSE interval '1 hour' END")
	about("nobody relays", time.Hour)
	b.run(o)
	b.awaitShares(16)
	about("there is no stream", time.Hour)
	b.stream("A")
	b.awaitMarked(2)
	about("all is published", time.Hour)
	b.append(o, message("A", "new", 1))
	about("another row", 0)
	b.awaitMarked(3)
	b.exec("UPDATE outbox_parcels SET created_at = created_at - interval '9 days'")
	b.exec("SELECT outbox_drop_partitions(now() - interval '3 days')")
	if got := idle(); got >= 0 {
		t.Errorf("no row is left, and the newest was written %s ago", got)
	}
}
