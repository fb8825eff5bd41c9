package pgtest_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func things() pg.Set {
	return pg.Set{Name: "things", FS: fstest.MapFS{"0001_things.sql": &fstest.MapFile{
		Data: []byte("-- +goose Up\nCREATE TABLE things (id bigint PRIMARY KEY);\nINSERT INTO things VALUES (1);\n"), Mode: fs.ModePerm,
	}}}
}

func TestEachTestHasASchemaOfItsOwnAndLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	watch := pgtest.Pool(t)
	var schemas []string
	t.Run("two pools", func(t *testing.T) {
		for range 2 {
			pool := pgtest.Pool(t, things())
			var schema string
			var rows int
			if err := pool.QueryRow(ctx, "SELECT current_schema(), count(*) FROM things").Scan(&schema, &rows); err != nil {
				t.Fatal(err)
			}
			if rows != 1 {
				t.Fatalf("schema %s has %d rows of the migration, want 1", schema, rows)
			}
			if _, err := pool.Exec(ctx, "INSERT INTO things VALUES (2)"); err != nil {
				t.Fatal(err)
			}
			schemas = append(schemas, schema)
		}
	})
	if schemas[0] == schemas[1] {
		t.Fatalf("both pools use schema %s", schemas[0])
	}
	var left int
	if err := watch.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname = ANY($1)", schemas).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Fatalf("%d of %v were not dropped", left, schemas)
	}
}

// TestTheTablesAreThoseOfMigrate, whose they are, and what they are made of.
func TestTheTablesAreThoseOfMigrate(t *testing.T) {
	t.Parallel()
	sets := []pg.Set{outbox.Migrations, auth.Migrations, ledger.Migrations}
	migrated := pgtest.Config(t)
	if err := pg.Migrate(t.Context(), migrated, sets...); err != nil {
		t.Fatal(err)
	}
	want, got := catalog(t, pgtest.Open(t, migrated)), catalog(t, pgtest.Pool(t, sets...))
	if len(want) < 50 {
		t.Errorf("only %d things were found", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// catalog lists what is in the schema of a pool, but for the tables of versions.
func catalog(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `WITH mine AS (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname !~ '^goose_')
		SELECT concat_ws(' ', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull) FROM pg_attribute WHERE attrelid IN (SELECT oid FROM mine) AND attnum > 0
		UNION ALL SELECT replace(pg_get_indexdef(indexrelid), current_schema(), '') FROM pg_index WHERE indrelid IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid IN (SELECT oid FROM mine)
		UNION ALL SELECT replace(pg_get_triggerdef(oid), current_schema(), '') FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM mine) AND NOT tgisinternal
		UNION ALL SELECT concat_ws(' ', proname, proowner::regrole, proconfig, prosrc) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
		UNION ALL SELECT concat_ws(' ', oid::regclass, relkind, relowner::regrole, relacl) FROM pg_class WHERE oid IN (SELECT oid FROM mine) ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPoolHasNoRightsOfASuperuser(t *testing.T) {
	t.Parallel()
	var powerful bool
	err := pgtest.Pool(t).QueryRow(context.Background(),
		"SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user").Scan(&powerful)
	if err != nil {
		t.Fatal(err)
	}
	if powerful {
		t.Fatal("tests run with rights that no service has in production")
	}
}

func TestInstalledIsAServicesOwnDatabaseAndLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	watch := pgtest.Pool(t)
	var database, role string
	t.Run("two installations", func(t *testing.T) {
		for range 2 {
			before := database
			c := pg.Config{DSN: pgtest.Installed(t, "payouts"), Schema: "payouts"}
			if err := pg.Migrate(ctx, c, things()); err != nil {
				t.Fatal(err)
			}
			pool := pgtest.Open(t, c)
			var powerful bool
			err := pool.QueryRow(ctx, `SELECT current_database(), current_user, rolsuper OR rolcreaterole OR rolcreatedb
				FROM pg_roles WHERE rolname = current_user`).Scan(&database, &role, &powerful)
			if err != nil {
				t.Fatal(err)
			}
			if powerful || database == before {
				t.Errorf("database %s after %s, with rights that no service has: %v", database, before, powerful)
			}
		}
	})
	var left int
	err := watch.QueryRow(ctx, "SELECT (SELECT count(*) FROM pg_database WHERE datname = $1) + (SELECT count(*) FROM pg_roles WHERE rolname = $2)", database, role).Scan(&left)
	if err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("database %s or role %s was not dropped", database, role)
	}
}

func BenchmarkPool(b *testing.B) {
	pgtest.DSN(b)
	for b.Loop() {
		pgtest.Pool(b, things())
	}
}
