package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var at = time.Date(2025, time.January, 24, 23, 59, 0, 123456789, time.UTC)

type trail struct {
	pool *pgxpool.Pool
	ob   *outbox.Outbox
}

func newTrail(t *testing.T) trail {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, auth.Migrations)
	return trail{pool: pool, ob: outbox.New(outbox.Config{Service: "payouts"}, outbox.Deps{Pool: pool})}
}

func asAda(ctx context.Context) context.Context {
	ctx = event.WithCause(ctx, event.Cause{Actor: "user:ada", CorrelationID: "req-1"})
	return auth.WithActor(ctx, auth.Actor{Name: "user:ada", Role: auth.Operator, Tenants: []string{"*"}})
}

func (tr trail) record(ctx context.Context, e auth.Entry) error {
	return pg.InTx(ctx, tr.pool, func(tx pgx.Tx) error { return auth.Record(ctx, tx, tr.ob, e) })
}

// fill records n entries for a tenant and service.
func (tr trail) fill(t *testing.T, tenant, service string, n int) {
	t.Helper()
	for i := range n {
		err := tr.record(asAda(t.Context()), auth.Entry{
			Tenant: tenant, Service: service, Action: "PausePayout", Target: fmt.Sprint(i), Detail: "paused", At: at,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// report adds up what was found: entries that hold, and the first break.
type report struct {
	Entries int64
	Break   *auth.Break
}

func (tr trail) verify(t *testing.T, tenant string) (r report) {
	t.Helper()
	chains, err := auth.Verify(t.Context(), tr.pool, tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		r.Entries += c.Entries
		if c.Tenant != tenant && tenant != "" {
			t.Errorf("a chain of %s among those of %s", c.Tenant, tenant)
		}
		if r.Break == nil {
			r.Break = c.Break
		}
	}
	return r
}

func TestRecordPublishesAChain(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	ctx := asAda(t.Context())
	for i, detail := range []string{"asked for +2250700000101", "broken \xff and \x00"} {
		err := tr.record(ctx, auth.Entry{
			Tenant: "lebenis", Service: "payouts", Action: "ResolvePayout", Target: fmt.Sprintf("p%d", i), Detail: detail,
			RequestID: "r1", At: at,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tr.pool.Query(ctx, "SELECT msg_id, stream, subject, key, payload FROM outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	type message struct {
		ID, Stream, Subject, Key string
		Payload                  []byte
	}
	messages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[message])
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != 2 {
		t.Fatalf("%d messages", len(messages))
	}
	prev := sum("agogo.audit.v1", "lebenis", "payouts")
	for i, m := range messages {
		var got map[string]string
		if err := json.Unmarshal(m.Payload, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"tenant": "lebenis", "service": "payouts", "seq": fmt.Sprint(i + 1), "at": "2025-01-24T23:59:00.123456Z",
			"actor": "user:ada", "role": "operator", "action": "ResolvePayout", "target": fmt.Sprintf("p%d", i),
			"detail": []string{"asked for +***01", "broken \uFFFD and \uFFFD"}[i], "request_id": "r1", "correlation_id": "req-1",
			"prev_hash": hex.EncodeToString([]byte(prev)),
		}
		// The hash as the documentation of the message says, computed without the package.
		prev = sum(prev, want["tenant"], want["service"], want["seq"], want["at"], want["actor"], want["role"], want["action"],
			want["target"], want["detail"], want["request_id"], want["correlation_id"])
		want["hash"] = hex.EncodeToString([]byte(prev))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("message %d (-want +got):\n%s", i, d)
		}
		if m.Stream != "AUDIT" || m.Subject != "agogo.audit.lebenis.payouts" || m.Key != "lebenis" || m.ID != "audit-"+want["hash"] {
			t.Errorf("message %d is %s %s %s %s", i, m.Stream, m.Subject, m.Key, m.ID)
		}
	}
	if r := tr.verify(t, "lebenis"); r.Entries != 2 || r.Break != nil {
		t.Errorf("verify: %+v", r)
	}
}

func sum(fields ...string) string {
	h := sha256.New()
	for _, f := range fields {
		_ = binary.Write(h, binary.BigEndian, uint64(len(f)))
		h.Write([]byte(f))
	}
	return string(h.Sum(nil))
}

func TestRecordRefuses(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	good := auth.Entry{Tenant: "lebenis", Service: "payouts", Action: "HoldPayout", At: at}
	if err := tr.record(t.Context(), good); err == nil || !strings.Contains(err.Error(), "no authenticated actor") {
		t.Errorf("without an actor: %v", err)
	}
	for what, spoil := range map[string]func(*auth.Entry){
		"tenant":  func(e *auth.Entry) { e.Tenant = "" },
		"service": func(e *auth.Entry) { e.Service = "" },
		"action":  func(e *auth.Entry) { e.Action = "" },
		"time":    func(e *auth.Entry) { e.At = time.Time{} },
	} {
		e := good
		spoil(&e)
		if err := tr.record(asAda(t.Context()), e); err == nil {
			t.Errorf("recorded without %s", what)
		}
	}
	if r := tr.verify(t, "lebenis"); r.Entries != 0 || r.Break != nil {
		t.Errorf("something was recorded: %+v", r)
	}
}

// TestRecordInParallel writes one chain from many transactions, some of which roll back.
func TestRecordInParallel(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	const writers, each = 8, 10
	group, ctx := errgroup.WithContext(asAda(t.Context()))
	for w := range writers {
		group.Go(func() error {
			for i := range each {
				err := pg.InTx(ctx, tr.pool, func(tx pgx.Tx) error {
					err := auth.Record(ctx, tx, tr.ob, auth.Entry{
						Tenant: "lebenis", Service: "payouts", Action: "HoldPayout", Target: fmt.Sprintf("%d/%d", w, i), At: at,
					})
					if err == nil && i%2 == 1 {
						return errRollback
					}
					return err
				})
				if err != nil && (i%2 == 0 || err != errRollback) { //nolint:errorlint // InTx returns it as it is
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if r := tr.verify(t, "lebenis"); r.Entries != writers*each/2 || r.Break != nil {
		t.Errorf("verify: %+v", r)
	}
}

var errRollback = fmt.Errorf("roll back")

// TestVerifyNamesTheBreak damages a good trail in every way that a hand on the database could.
func TestVerifyNamesTheBreak(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		damage string
		want   report
	}{
		"none":    {"SELECT 1", report{Entries: 8}},
		"content": {"UPDATE audit_entries SET detail = 'nothing' WHERE service = 'payouts' AND seq = 2", report{Entries: 1 + 3, Break: &auth.Break{Service: "payouts", Seq: 2, Problem: "its content is not what was recorded"}}},
		"time":    {"UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE service = 'payouts' AND seq = 1", report{Entries: 0 + 3, Break: &auth.Break{Service: "payouts", Seq: 1, Problem: "its content is not what was recorded"}}},
		"moved text": {
			"UPDATE audit_entries SET action = action || target, target = '' WHERE service = 'payouts' AND seq = 5",
			report{Entries: 4 + 3, Break: &auth.Break{Service: "payouts", Seq: 5, Problem: "its content is not what was recorded"}},
		},
		"removed":   {"DELETE FROM audit_entries WHERE service = 'payouts' AND seq = 3", report{Entries: 2 + 3, Break: &auth.Break{Service: "payouts", Seq: 3, Problem: "missing: the next entry is 4"}}},
		"first":     {"DELETE FROM audit_entries WHERE service = 'payouts' AND seq = 1", report{Entries: 0 + 3, Break: &auth.Break{Service: "payouts", Seq: 1, Problem: "missing: the next entry is 2"}}},
		"last":      {"DELETE FROM audit_entries WHERE service = 'payouts' AND seq = 5", report{Entries: 4 + 3, Break: &auth.Break{Service: "payouts", Seq: 5, Problem: "the chain ends here, but its head says 5 entries"}}},
		"head":      {"DELETE FROM audit_heads WHERE service = 'scheduler'", report{Entries: 5, Break: &auth.Break{Service: "scheduler", Seq: 1, Problem: "the chain's head is gone"}}},
		"all":       {"DELETE FROM audit_entries WHERE service = 'scheduler'", report{Entries: 5, Break: &auth.Break{Service: "scheduler", Seq: 1, Problem: "the chain ends here, but its head says 3 entries"}}},
		"head hash": {"UPDATE audit_heads SET hash = '\\x00' WHERE service = 'payouts'", report{Entries: 5 + 3, Break: &auth.Break{Service: "payouts", Seq: 5, Problem: "the last entry is not the one that the chain's head names"}}},
		"other's entry": {
			"UPDATE audit_entries e SET prev_hash = o.prev_hash, hash = o.hash FROM audit_entries o WHERE e.service = 'payouts' AND e.seq = 3 AND o.service = 'scheduler' AND o.seq = 3",
			report{Entries: 2 + 3, Break: &auth.Break{Service: "payouts", Seq: 3, Problem: "it does not follow from the entry before it"}},
		},
		"newer than the head": {
			"INSERT INTO audit_entries SELECT tenant, service, 6, at, actor, role, action, target, detail, request_id, correlation_id, hash, hash FROM audit_entries WHERE service = 'payouts' AND seq = 5",
			report{Entries: 8},
		},
		"other tenant": {"DELETE FROM audit_entries WHERE tenant = 'wallclub'", report{Entries: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrail(t)
			tr.fill(t, "lebenis", "payouts", 5)
			tr.fill(t, "lebenis", "scheduler", 3)
			tr.fill(t, "wallclub", "payouts", 1)
			for _, sql := range []string{"ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only", tc.damage} {
				if _, err := tr.pool.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(tc.want, tr.verify(t, "lebenis")); d != "" {
				t.Errorf("report (-want +got):\n%s", d)
			}
		})
	}
}

// TestVerifyEveryTenant is what an auditor of the whole installation asks for.
func TestVerifyEveryTenant(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.fill(t, "lebenis", "payouts", 2)
	tr.fill(t, "wallclub", "payouts", 1)
	chains, err := auth.Verify(t.Context(), tr.pool, "")
	if err != nil || len(chains) != 2 || chains[0].Tenant != "lebenis" || chains[1].Tenant != "wallclub" || chains[0].Entries != 2 {
		t.Fatalf("%+v, %v", chains, err)
	}
	var last string
	if err := tr.pool.QueryRow(t.Context(), "SELECT encode(hash, 'hex') FROM audit_heads WHERE tenant = 'lebenis'").Scan(&last); err != nil {
		t.Fatal(err)
	}
	if chains[0].Hash != last {
		t.Errorf("hash %s, the head's is %s", chains[0].Hash, last)
	}
}

func TestVerifyReadsPages(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	ctx := asAda(t.Context())
	const n = 2500 // more than two pages
	err := pg.InTx(ctx, tr.pool, func(tx pgx.Tx) error {
		for range n {
			if err := auth.Record(ctx, tx, tr.ob, auth.Entry{Tenant: "lebenis", Service: "payouts", Action: "HoldPayout", At: at}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := tr.verify(t, "lebenis"); r.Entries != n || r.Break != nil {
		t.Errorf("verify: %+v", r)
	}
}

func TestTrailIsAppendOnly(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.fill(t, "lebenis", "payouts", 1)
	for _, sql := range []string{"UPDATE audit_entries SET detail = ''", "DELETE FROM audit_entries", "TRUNCATE audit_entries"} {
		if _, err := tr.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
