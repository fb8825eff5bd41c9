package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
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
