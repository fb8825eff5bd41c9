package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/pg"
)

// owner is the role that all schemas of this process belong to: it may log in and nothing more.
var owner = struct {
	sync.Mutex
	name, password string
	made           bool
}{name: "agogo_test_" + token(), password: rand.Text()}

func token() string { return strings.ToLower(rand.Text()[:12]) }

func newSchema(ctx context.Context, admin *pgxpool.Pool, dsn, test string) (pg.Config, error) {
	if err := ensureOwner(ctx, admin); err != nil {
		return pg.Config{}, err
	}
	dsn, err := withUser(dsn, owner.name, owner.password)
	if err != nil {
		return pg.Config{}, err
	}
	c := pg.Config{DSN: dsn, Schema: "t_" + token(), AppName: test[:min(63, len(test))]}
	_, err = admin.Exec(ctx, fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s", c.Schema, owner.name))
	return c, err
}

func ensureOwner(ctx context.Context, admin *pgxpool.Pool) error {
	owner.Lock()
	defer owner.Unlock()
	if owner.made {
		return nil
	}
	_, err := admin.Exec(ctx, fmt.Sprintf("CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s'; GRANT %[1]s TO CURRENT_USER", owner.name, owner.password))
	owner.made = err == nil
	return err
}

// build makes the tables of sets in a schema. In one statement, over a connection that is there: what [pg.Migrate] does takes twice as long, and
// most of the time of a test is that of its tables.
func build(ctx context.Context, admin *pgxpool.Pool, schema string, sets []pg.Set) error {
	if len(sets) == 0 {
		return nil
	}
	script := fmt.Sprintf("BEGIN; SET LOCAL ROLE %s; SET LOCAL search_path = %s; SET LOCAL timezone = 'UTC';\n", owner.name, schema)
	for _, set := range sets {
		up, err := migrations(set)
		if err != nil {
			return fmt.Errorf("read the migrations of %s: %w", set.Name, err)
		}
		script += up
	}
	if _, err := admin.Exec(ctx, script+"COMMIT"); err != nil {
		return fmt.Errorf("make the tables of %s: %w", schema, err)
	}
	return nil
}

// migrations is what the files of a set do on the way up.
func migrations(set pg.Set) (up string, err error) {
	files, err := fs.Glob(set.FS, path.Join(set.Dir, "*.sql")) // in order
	if err != nil {
		return "", err
	}
	for _, name := range files {
		text, err := fs.ReadFile(set.FS, name)
		if err != nil {
			return "", err
		}
		sql, _, _ := strings.Cut(string(text), "-- +goose Down")
		up += sql + "\n"
	}
	return up, nil
}

// dropOwner matters on a server that outlives us. A schema that a test could not drop keeps its owner, and says so.
func dropOwner(ctx context.Context, admin *pgxpool.Pool) error {
	owner.Lock()
	defer owner.Unlock()
	if !owner.made {
		return nil
	}
	if _, err := admin.Exec(ctx, "DROP ROLE "+owner.name); err != nil {
		return fmt.Errorf("drop the role of the tests: %w", err)
	}
	return nil
}
