package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Backup copies every row of the pool's schema as it is now, and returns a function that puts the tables back to that, as often as it
// is called; there may be several at once. Sequences go on, as they would in a database that is newer than its backup's rows.
func Backup(t testing.TB, pool *pgxpool.Pool) (restore func()) {
	t.Helper()
	var schema, name string
	err := pool.QueryRow(t.Context(), `SELECT current_schema(), current_schema() || '_backup' || (SELECT COALESCE(max(substring(nspname FROM '_backup([0-9]+)$')::integer), 0) + 1
		FROM pg_namespace WHERE starts_with(nspname, current_schema() || '_backup'))`).Scan(&schema, &name)
	if err != nil {
		t.Fatal(err)
	}
	kept := pgx.Identifier{name}.Sanitize()
	tables := tablesOf(t, pool)
	within := "SET LOCAL search_path = " + pgx.Identifier{schema}.Sanitize()
	statements := []string{within, "CREATE SCHEMA " + kept}
	for _, name := range tables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s.%s AS TABLE %s", kept, name, name))
	}
	apply(t, statements)
	dropAfter(t, "SCHEMA "+kept+" CASCADE")
	return func() {
		t.Helper()
		// Triggers and foreign keys watch over what services do; a restore puts rows back in any order.
		statements := []string{within, "SET LOCAL session_replication_role = replica"}
		for _, name := range tables {
			statements = append(statements, "DELETE FROM "+name)
		}
		for _, name := range tables {
			columns := columnsOf(t, pool, name)
			statements = append(statements, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s.%s", name, columns, columns, kept, name))
		}
		apply(t, statements)
	}
}

// columnsOf lists a table's columns but those that follow from others, which nobody may write.
func columnsOf(t testing.TB, pool *pgxpool.Pool, table string) (columns string) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, table).Scan(&columns)
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func tablesOf(t testing.TB, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT quote_ident(c.relname) FROM pg_class c
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		  AND c.relname NOT LIKE 'goose%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// apply has the administrator do what no service may.
func apply(t testing.TB, statements []string) {
	t.Helper()
	tx, err := process.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	for _, sql := range statements {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
