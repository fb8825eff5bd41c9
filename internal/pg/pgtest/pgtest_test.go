package pgtest_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"

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
