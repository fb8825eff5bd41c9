package outbox

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/outbox/db"
)

// byIndex are queries that walk the indexes, whatever the planner believes about the table. Each is over before anything is published.
func (r *relay) byIndex() *db.Queries { return db.New(indexed{r.deps.Pool}) }

// onlyIndexes turns every other way off for the rest of a transaction. Statistics are wrong here by nature: a new day's partition has
// none, and how many rows wait changes from none to a million within minutes. Whatever they say, the index is the right way, so there is
// nothing to plan again for other rows of other days: what is known of partitions only when a statement runs narrows them down then.
const onlyIndexes = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), " +
	"set_config('plan_cache_mode', 'force_generic_plan', true)"

// indexed sends a statement right behind that one. Together they are one round trip, and one transaction, which Postgres makes of what
// comes before a pipeline's end; the relay asks so often that beginning, setting and committing would cost more than the asking.
type indexed struct{ pool *pgxpool.Pool }

func (x indexed) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	b := &pgx.Batch{}
	b.Queue(onlyIndexes)
	b.Queue(sql, args...)
	results := x.pool.SendBatch(ctx, b)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		return nil, err
	}
	return results, nil
}

// Exec implements [db.DBTX].
func (x indexed) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	results, err := x.send(ctx, sql, args)
	if err != nil {
		return tag, err
	}
	tag, err = results.Exec()
	if cerr := results.Close(); err == nil { // only now it is committed
		err = cerr
	}
	return tag, err
}

// Query implements [db.DBTX].
func (x indexed) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results, err := x.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	found, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return rows{found, results}, nil
}

// QueryRow implements [db.DBTX].
func (x indexed) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	results, err := x.send(ctx, sql, args)
	return row{results, err}
}

// rows give the connection back when they are closed.
type rows struct {
	pgx.Rows
	results pgx.BatchResults
}

func (r rows) Close() {
	r.Rows.Close()
	_ = r.results.Close() // reading was the last there was to do: what went wrong is in Err
}

type row struct {
	results pgx.BatchResults
	err     error
}

func (r row) Scan(into ...any) error {
	if r.err != nil {
		return r.err
	}
	err := r.results.QueryRow().Scan(into...)
	if cerr := r.results.Close(); err == nil {
		err = cerr
	}
	return err
}
