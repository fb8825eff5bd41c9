package sweep_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// clone makes payouts of the first payee's, from one number to another, contradicted or not.
const clone = `INSERT INTO payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission, net,
		item_count, provider, destination, nominal_time, version, created_at, updated_at, contradicted)
	SELECT gen_random_uuid(), p.tenant, 'clone-' || i, p.run_id, p.batch_id, 1 + i / 500, p.period_date, p.kind, p.seq,
		CASE WHEN i % 2 = 0 THEN 'approved' ELSE 'held' END, p.currency, p.gross, p.commission, p.net, 0, p.provider, p.destination,
		p.nominal_time, p.version, p.created_at, p.updated_at, $3
	FROM payouts p, generate_series($1::integer, $2::integer) i WHERE p.payee_id = 'drv-00'`

// A cancelled run has 100,000 payouts left that cannot be ended yet, and some that can, at the end and between. A page reads in proportion to
// its rows, wherever it is; a sweep looks at a bounded number of pages and the next one goes on there; and whoever can be ended is reached.
func TestWhatACancelledRunHasLeftIsWalkedInBoundedSteps(t *testing.T) {
	t.Parallel()
	const left, page, pagesOfASweep = 100_000, 500, 10
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	e.SQL("UPDATE payouts SET contradicted = true")
	e.SQL(clone, 0, left-2, true)
	e.SQL(clone, left, left+1, false)
	e.SQL("ANALYZE payouts")
	e.SQL("UPDATE batches SET control = 'cancelled', state = 'cancelled'")
	cancelled := func() int64 { return e.Count("SELECT count(*) FROM payouts WHERE state = 'cancelled'") }

	s := sweeper(e)
	for range left / page / pagesOfASweep {
		once(t, s)
	}
	if n := cancelled(); n != 0 {
		t.Fatalf("%d are cancelled: a sweep looks at more than %d pages", n, pagesOfASweep)
	}
	once(t, s)
	if n := cancelled(); n != 2 {
		t.Errorf("%d are cancelled after a round, want 2", n)
	}
	e.SQL("UPDATE payouts SET contradicted = false WHERE payee_id IN ('clone-0', 'clone-1')") // near the beginning again
	once(t, s)
	if n := cancelled(); n != 4 {
		t.Errorf("%d are cancelled when another round begins, want 4", n)
	}

	var at store.Rest
	pages := 1
	for ; ; pages++ {
		var before, after int64
		e.InTx(func(tx pgx.Tx) (err error) {
			if before, err = rowsRead(tx); err != nil {
				return err
			}
			var ids []uuid.UUID
			if ids, at, err = e.Store.Rest(e.Ctx(), tx, at, page); err != nil {
				return err
			}
			if _, err = e.Store.CancelRest(e.Ctx(), tx, ids); err != nil {
				return err
			}
			after, err = rowsRead(tx)
			return err
		})
		if read := after - before; read < 1 || read > 4*page {
			t.Fatalf("page %d of %d rows read %d", pages, page, read)
		}
		if at == (store.Rest{}) {
			break
		}
	}
	if pages != left/page {
		t.Errorf("%d pages, want %d", pages, left/page)
	}
}

// rowsRead is how many rows of payouts, or of other tables, the connection has read so far.
func rowsRead(tx pgx.Tx, tables ...string) (n int64, err error) {
	err = tx.QueryRow(context.Background(), `SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_user_tables
		WHERE relname = ANY($1) AND schemaname = current_schema()`, append(tables, "payouts")).Scan(&n)
	return n, err
}
