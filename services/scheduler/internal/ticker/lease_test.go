package ticker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
	"github.com/agogopay/agogo/services/scheduler/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// stopwatch stands in for a process's monotonic clock.
type stopwatch struct{ at time.Time }

func (s *stopwatch) now() time.Time { return s.at }

type contender struct {
	*Lease
	watch *stopwatch
	won   chan struct{}
}

func contend(t *testing.T, rows Leases, holder string) contender {
	t.Helper()
	c := contender{watch: &stopwatch{at: time.Unix(0, 0)}, won: make(chan struct{}, 10)}
	c.Lease = NewLease(rows, holder, c.watch.now, func() { c.won <- struct{}{} }, slog.New(slog.DiscardHandler))
	return c
}

func (c contender) leads() bool { return c.Leads() && c.IsLeader(context.Background()) == nil }

func leaseTable(t *testing.T) (*store.Store, func()) {
	t.Helper()
	pool := pgtest.Pool(t, migrations.Set)
	expire := func() {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `UPDATE leases SET expires_at = now()`); err != nil {
			t.Fatal(err)
		}
	}
	return &store.Store{Pool: pool}, expire
}

func TestOneReplicaLeadsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	rows, expire := leaseTable(t)
	a, b := contend(t, rows, "a"), contend(t, rows, "b")
	a.contend(t.Context())
	b.contend(t.Context())
	if !a.leads() || b.leads() {
		t.Fatalf("a leads: %t, b leads: %t", a.leads(), b.leads())
	}
	a.watch.at = a.watch.at.Add(LeaseRenew)
	a.contend(t.Context())
	b.contend(t.Context())
	if !a.leads() || b.leads() || len(a.won) != 1 {
		t.Fatalf("after a renewal a leads: %t, b leads: %t, won %d times", a.leads(), b.leads(), len(a.won))
	}

	expire() // a hung for longer than its lease
	b.contend(t.Context())
	if !b.leads() || len(b.won) != 1 {
		t.Fatal("b did not take over")
	}
	a.contend(t.Context())
	if a.leads() {
		t.Fatal("a still leads although b took over")
	}
	a.contend(t.Context())
	b.contend(t.Context())
	if a.leads() || !b.leads() {
		t.Fatal("the old leader came back")
	}
}

func TestATermThatRanOutIsNotRenewed(t *testing.T) {
	t.Parallel()
	rows, expire := leaseTable(t)
	a := contend(t, rows, "a")
	a.contend(t.Context())
	expire()
	a.contend(t.Context())
	if !a.leads() || a.term != 2 || len(a.won) != 2 {
		t.Fatalf("leads %t in term %d, won %d times, want a second term", a.leads(), a.term, len(a.won))
	}
}

func TestTheLeaseIsTrustedOnlyWhileTheDatabaseMustStillHoldIt(t *testing.T) {
	t.Parallel()
	rows, _ := leaseTable(t)
	a := contend(t, rows, "a")
	a.contend(t.Context())
	rows.Pool.Close() // the database is gone: renewals fail
	began := a.watch.at
	for _, step := range []struct {
		after time.Duration
		leads bool
	}{{LeaseRenew, true}, {2 * LeaseRenew, true}, {LeaseTTL - leaseMargin - 1, true}, {LeaseTTL - leaseMargin, false}, {LeaseTTL, false}} {
		a.watch.at = began.Add(step.after)
		a.contend(t.Context())
		if a.leads() != step.leads {
			t.Errorf("%s after the last renewal leads: %t", step.after, a.leads())
		}
	}
}

func TestAReplicaThatStopsGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	rows, _ := leaseTable(t)
	a, b := contend(t, rows, "a"), contend(t, rows, "b")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	<-a.won
	b.contend(t.Context())
	if b.leads() {
		t.Fatal("two lead")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b.contend(t.Context())
	if a.leads() || !b.leads() {
		t.Fatalf("after a stopped, a leads: %t, b leads: %t", a.leads(), b.leads())
	}
}
