package outbox

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

// The settings hold for the statement and for nobody after it on the same connection; an error costs no connection.
func TestIndexedStatements(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	c.MaxConns = 1
	pool := pgtest.Open(t, c)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE n (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)"); err != nil {
		t.Fatal(err)
	}
	const seqscan = "SELECT current_setting('enable_seqscan')"
	var during, after string
	for range 3 { // unknown to the connection, and known
		x := indexed{pool}
		if err := x.QueryRow(t.Context(), seqscan).Scan(&during); err != nil || during != "off" {
			t.Errorf("a row: %q, %v", during, err)
		}
		rows, err := x.Query(t.Context(), seqscan)
		if err != nil {
			t.Fatal(err)
		}
		if during, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); err != nil || during != "off" {
			t.Errorf("rows: %q, %v", during, err)
		}
		if err := pool.QueryRow(t.Context(), seqscan).Scan(&after); err != nil || after != "on" {
			t.Errorf("after them: %q, %v", after, err)
		}
		if tag, err := x.Exec(t.Context(), "INSERT INTO n VALUES (NULL)"); err != nil || tag.RowsAffected() != 1 {
			t.Errorf("an insert: %v, %v", tag, err)
		}
		if rows, err := x.Query(t.Context(), "SELECT nothing"); err == nil {
			rows.Close()
			t.Error("a query without sense has rows")
		}
		if err := x.QueryRow(t.Context(), "SELECT 1/0").Scan(&after); err == nil {
			t.Error("a row of a division by nothing")
		}
		// What is refused at the commit, when every statement has been answered, is refused.
		if _, err := x.Exec(t.Context(), "INSERT INTO n VALUES (7), (7)"); pg.KindOf(err) != pg.Unique {
			t.Errorf("the same number twice: %v", err)
		}
	}
	var n int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM n").Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows are committed: %v", n, err)
	}
}
