package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
)

// owner is the role that all schemas of this process belong to: it may log in and nothing more.
var owner = struct {
	sync.Mutex
	name, password string
}{name: "agogo_test_" + token(), password: rand.Text()}

func token() string { return strings.ToLower(rand.Text()[:12]) }

func newSchema(ctx context.Context, conn *pgx.Conn, admin, test string, sets []pg.Set) (pg.Config, error) {
	if err := ensureOwner(ctx, conn); err != nil {
		return pg.Config{}, err
	}
	dsn, err := withUser(admin, owner.name, owner.password)
	if err != nil {
		return pg.Config{}, err
	}
	c := pg.Config{DSN: dsn, Schema: "t_" + token(), AppName: test[:min(63, len(test))]}
	if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s", c.Schema, owner.name)); err != nil {
		return pg.Config{}, err
	}
	return c, pg.Migrate(ctx, c, sets...)
}

func ensureOwner(ctx context.Context, conn *pgx.Conn) error {
	owner.Lock()
	defer owner.Unlock()
	_, err := conn.Exec(ctx, fmt.Sprintf(`
		DO $$ BEGIN
			IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') THEN
				CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s';
				GRANT %[1]s TO CURRENT_USER;
			END IF;
		END $$`, owner.name, owner.password))
	return err
}
