package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// lost is a lost-property office: attempts that somebody began and nobody finished, a provider to be asked about them, and
// a book that only notes what it is told.
type lost struct {
	t          *testing.T
	pool       *pgxpool.Pool
	clock      *clock.Virtual
	connectors *connector.Set
	worker     *reconcile.Worker
	n          int

	answer func(t provider.Transfer) (provider.Found, error) // nil: found and succeeded
	bad    map[uuid.UUID]error                               // what the book refuses

	mu      sync.Mutex
	asked   []string // references
	applied []attempt.Moved
	decided []attempt.Update
	alarms  []string
}

const tenant = "lebenis"

func newLost(t *testing.T) *lost {
	t.Helper()
	l := &lost{
		t: t, pool: pgtest.Pool(t, outbox.Migrations, ledger.Migrations, attempt.Migrations, precheck.Migrations, reconcile.Migrations),
		clock:      clock.NewVirtual(time.Date(2025, 1, 25, 12, 0, 0, 0, time.UTC)),
		connectors: &connector.Set{}, bad: map[uuid.UUID]error{},
	}
	l.connectors.Add(connector.New(tenant, config.Provider{Name: "orange", Kind: "van", Timeout: time.Second, QuietTime: time.Second, Concurrency: 4}, l))
	l.worker = reconcile.New(reconcile.Config{Service: "lost", Item: "umbrella", Page: 50}, reconcile.Deps{
		Pool: l.pool, Clock: l.clock, Connectors: l.connectors, Book: l, Logger: slog.New(slog.DiscardHandler),
		Outbox: l.outbox(),
	})
	return l
}

func (l *lost) outbox() *outbox.Outbox {
	return outbox.New(outbox.Config{Service: "lost"}, outbox.Deps{Pool: l.pool})
}

// begin begins n attempts of a provider, and has their leases run out if they are to be expired.
func (l *lost) begin(n int, through string, expired bool) []uuid.UUID {
	l.t.Helper()
	var starts []attempt.Start
	for range n {
		l.n++
		starts = append(starts, attempt.Start{
			Key: attempt.Key{Subject: uuid.New(), Number: 1}, Tenant: tenant, Provider: through, Reference: fmt.Sprintf("ref-%03d", l.n),
			Amount: money.Amount{Minor: 700, Currency: "XOF"},
		})
	}
	var begun []attempt.Attempt
	l.inTx(func(ctx context.Context, tx pgx.Tx) (err error) {
		begun, err = attempt.Begin(ctx, tx, "gone", time.Minute, l.clock.Now(), starts)
		return err
	})
	var ids []uuid.UUID
	for _, a := range begun {
		ids = append(ids, a.Subject)
	}
	if expired {
		l.sql("UPDATE attempts SET lease_expires_at = now() - interval '1 second' WHERE subject_id = ANY($1)", ids)
	}
	return ids
}

// open makes attempts whose outcome is outstanding and due now.
func (l *lost) open(n int, through string) []uuid.UUID {
	ids := l.begin(n, through, false)
	l.sql(`UPDATE attempts SET state = 'unknown', opened_at = $1, next_lookup_at = $1, lease_owner = '', lease_expires_at = NULL
		WHERE subject_id = ANY($2)`, l.clock.Now(), ids)
	return ids
}

// closed makes attempts whose outcome is proven.
func (l *lost) closed(state attempt.State) attempt.Attempt {
	id := l.begin(1, "orange", false)[0]
	l.sql("UPDATE attempts SET state = $1, closed_at = $2, lease_owner = '', lease_expires_at = NULL WHERE subject_id = $3", string(state), l.clock.Now(), id)
	return l.get(id)
}

func (l *lost) get(id uuid.UUID) attempt.Attempt {
	l.t.Helper()
	all, err := attempt.OfSubjects(l.t.Context(), l.pool, id)
	if err != nil || len(all[id]) != 1 {
		l.t.Fatal(len(all[id]), err)
	}
	return all[id][0]
}

func (l *lost) sql(sql string, args ...any) {
	l.t.Helper()
	if _, err := l.pool.Exec(l.t.Context(), sql, args...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lost) count(sql string, args ...any) (n int) {
	l.t.Helper()
	if err := l.pool.QueryRow(l.t.Context(), sql, args...).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l *lost) inTx(fn func(ctx context.Context, tx pgx.Tx) error) {
	l.t.Helper()
	if err := pg.InTx(l.t.Context(), l.pool, func(tx pgx.Tx) error { return fn(l.t.Context(), tx) }); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lost) pass() {
	l.t.Helper()
	for more := true; more; {
		var err error
		if more, err = l.worker.Pass(l.t.Context()); err != nil {
			l.t.Fatal(err)
		}
	}
}

// The provider.

func (l *lost) Submit(context.Context, provider.Transfer) provider.Result {
	l.t.Error("reconciling sent something")
	return provider.Result{}
}

func (l *lost) Lookup(_ context.Context, t provider.Transfer) (provider.Found, error) {
	l.mu.Lock()
	l.asked = append(l.asked, t.Reference)
	l.mu.Unlock()
	if l.answer != nil {
		return l.answer(t)
	}
	return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}, nil
}

// The book.

func (l *lost) Apply(_ context.Context, _ pgx.Tx, moved []attempt.Moved) error {
	for _, m := range moved {
		if err := l.bad[m.Attempt.Subject]; err != nil {
			return err
		}
	}
	l.applied = append(l.applied, moved...)
	return nil
}

func (l *lost) Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	for _, u := range updates {
		if err := l.bad[u.Attempt.Subject]; err != nil {
			return err
		}
	}
	_, valid, err := reconcile.Decide(ctx, tx, l.clock.Now(), updates)
	l.decided = append(l.decided, valid...)
	return err
}

func (l *lost) Alarm(_ context.Context, a attempt.Attempt, alarm string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarms = append(l.alarms, a.Reference+" "+alarm)
}

func (l *lost) alarmed(word string) bool {
	return slices.ContainsFunc(l.alarms, func(a string) bool { return strings.Contains(a, word) })
}
