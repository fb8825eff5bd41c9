package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func accept(t *testing.T, pool *pgxpool.Pool, consumer string, ids ...string) []string {
	t.Helper()
	var fresh []string
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
		fresh, err = inbox.Accept(t.Context(), tx, consumer, ids...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func TestAcceptReturnsWhatIsNewInItsOrder(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, inbox.Migrations)
	if got := accept(t, pool, "payouts-exec"); len(got) != 0 {
		t.Errorf("nothing given, %v accepted", got)
	}
	if diff := cmp.Diff([]string{"c", "a"}, accept(t, pool, "payouts-exec", "c", "a", "c")); diff != "" {
		t.Errorf("first batch: %s", diff)
	}
	if diff := cmp.Diff([]string{"d", "b"}, accept(t, pool, "payouts-exec", "d", "c", "b", "a")); diff != "" {
		t.Errorf("second batch: %s", diff)
	}
	if diff := cmp.Diff([]string{"a"}, accept(t, pool, "notifier", "a")); diff != "" {
		t.Errorf("another consumer has its own inbox: %s", diff)
	}
}

func TestAcceptIsUndoneWithItsEffect(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, inbox.Migrations)
	broken := errors.New("the effect failed")
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := inbox.Accept(t.Context(), tx, "c", "m"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("InTx: %v", err)
	}
	if diff := cmp.Diff([]string{"m"}, accept(t, pool, "c", "m")); diff != "" {
		t.Error(diff)
	}
}

// Two deliveries of one message at the same time: the second waits for the first, and only its rollback makes the message
// new again.
func TestConcurrentAcceptsOfOneMessage(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("first commits %v", commit), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Pool(t, inbox.Migrations)
			first, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = first.Rollback(context.Background()) }()
			if _, err := inbox.Accept(t.Context(), first, "c", "a", "m"); err != nil {
				t.Fatal(err)
			}
			second := make(chan []string, 1)
			go func() { second <- accept(t, pool, "c", "m", "z") }()
			awaitLockWait(t, pool)
			want := []string{"m", "z"}
			if commit {
				want = []string{"z"}
				err = first.Commit(t.Context())
			} else {
				err = first.Rollback(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, <-second); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// awaitLockWait returns when a session of this test's schema waits for another transaction.
func awaitLockWait(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for waiting := false; !waiting; {
		err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = current_setting('application_name') AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatalf("nobody waits: %v", err)
		}
	}
}

// Batches that share messages in opposite order would deadlock if they were inserted as given.
func TestBatchesInOppositeOrderDoNotDeadlock(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, inbox.Migrations)
	const rounds, size = 40, 200
	results := make(chan []string, 2*rounds)
	for round := range rounds {
		up, down := make([]string, size), make([]string, size)
		for i := range size {
			up[i] = fmt.Sprintf("%d-%d", round, i)
			down[size-1-i] = up[i]
		}
		for _, ids := range [][]string{up, down} {
			go func() {
				tx, err := pool.Begin(context.Background()) // not InTx, which would repeat after a deadlock
				if err != nil {
					t.Error(err)
					results <- nil
					return
				}
				fresh, err := inbox.Accept(context.Background(), tx, "c", ids...)
				if err = errors.Join(err, tx.Commit(context.Background())); err != nil {
					t.Error(err)
				}
				results <- fresh
			}()
		}
	}
	accepted := 0
	for range 2 * rounds {
		accepted += len(<-results)
	}
	if accepted != rounds*size {
		t.Errorf("%d accepted, want each of %d once", accepted, rounds*size)
	}
}

func TestRetentionForgetsWhatIsOldAndNothingElse(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, inbox.Migrations)
	if _, err := pool.Exec(t.Context(), `INSERT INTO inbox SELECT 'c', 'old-' || i, now() - interval '7 days' - make_interval(secs => i)
		FROM generate_series(1, 250) i`); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO inbox VALUES ('c', 'almost', now() - interval '7 days' + interval '1 minute')`); err != nil {
		t.Fatal(err)
	}
	accept(t, pool, "c", "young")
	rule := inbox.Retention(pool, 7*24*time.Hour)
	for _, want := range []int64{100, 100, 50, 0} {
		if n, err := rule.Delete(t.Context(), 100); err != nil || n != want {
			t.Fatalf("forgot %d, %v; want %d of at most 100", n, err, want)
		}
		if want == 100 { // the oldest go first
			if diff := cmp.Diff([]string(nil), accept(t, pool, "c", "old-1", "almost", "young"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("forgotten too early: %s", diff)
			}
		}
	}
	if diff := cmp.Diff([]string{"old-1"}, accept(t, pool, "c", "old-1", "almost", "young")); diff != "" {
		t.Error(diff)
	}
}

// Two replicas forget at the same time: neither waits for the other, and together they forget each id once.
func TestReplicasForgetTogether(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, inbox.Migrations)
	if _, err := pool.Exec(t.Context(), `INSERT INTO inbox SELECT 'c', 'old-' || i, now() - interval '8 days' FROM generate_series(1, 10) i`); err != nil {
		t.Fatal(err)
	}
	first, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Rollback(context.Background()) }()
	if n, err := inbox.Retention(first, time.Hour).Delete(t.Context(), 6); err != nil || n != 6 {
		t.Fatalf("first: %d, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if n, err := inbox.Retention(pool, time.Hour).Delete(ctx, 6); err != nil || n != 4 {
		t.Errorf("second, while the first has not committed: %d, %v; want the other 4", n, err)
	}
}
