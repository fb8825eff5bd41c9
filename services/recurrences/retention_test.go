package recurrences_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

// What nobody can deliver or repeat any more is forgotten from the start on, and the rest is kept.
func TestOldRowsAreForgotten(t *testing.T) {
	t.Parallel()
	in := install(t)
	if err := in.start().stop(); err != nil { // it makes the tables
		t.Fatal(err)
	}
	pool := pgtest.Open(t, pg.Config{DSN: in.dsn, Schema: "recurrences"})
	for _, insert := range []string{
		`INSERT INTO inbox VALUES ('c', 'old', now() - interval '61 days'), ('c', 'young', now() - interval '59 days')`,
		`INSERT INTO idempotent_requests VALUES ('wallclub', 'ada', 'm', 'old', '', '', now() - interval '8 days'),
			('wallclub', 'ada', 'm', 'young', '', '', now() - interval '6 days')`,
		`INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at, next_try_at)
			SELECT 'wallclub', 'cielo', sha256(name::bytea), '', ARRAY[name], now, now
			FROM (VALUES ('old', '2025-09-29T00:00:00Z'::timestamptz), ('young', '2025-10-01T00:00:00Z')) v(name, now)`,
	} {
		if _, err := pool.Exec(in.ctx, insert); err != nil {
			t.Fatal(err)
		}
	}
	in.start()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(patience); ; {
		rows, err := pool.Query(in.ctx, `SELECT msg_id FROM inbox UNION ALL SELECT request_id FROM idempotent_requests UNION ALL SELECT refs[1] FROM webhooks ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		left, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		diff := cmp.Diff([]string{"young", "young", "young"}, left)
		if diff == "" {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal(diff)
		}
	}
}
