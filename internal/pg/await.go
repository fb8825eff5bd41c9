package pg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	awaitPatience = 2 * time.Minute // for a database that is provisioned at the same time as we start
	awaitPoll     = 500 * time.Millisecond
)

// Await waits until the schema is there for the role to use. A first installation starts its services beside its provisioner,
// and a service that gave up would be started again and again for nothing.
func Await(ctx context.Context, c Config, log *slog.Logger) error {
	cc, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return fmt.Errorf("postgres DSN: %w", err)
	}
	if err := c.apply(cc); err != nil {
		return err
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, awaitPatience)
	defer cancel()
	for told := false; ; told = true {
		renew(c.DSN, cc) // a password or an authority may come while we wait
		missing := look(ctx, cc, c.Schema)
		if missing == nil {
			return nil
		}
		if !told {
			log.InfoContext(ctx, "waiting for the database", "schema", c.Schema, "error", missing)
		}
		select {
		case <-caller.Done(): // told to stop, which is no failure of the database
			return fmt.Errorf("waiting for schema %s of the database: %w", c.Schema, errors.Join(caller.Err(), missing))
		case <-ctx.Done():
			return fmt.Errorf("schema %s of the database: %w; run the provisioner, and see that AGOGO_POSTGRES_DSN is right", c.Schema, missing)
		case <-time.After(awaitPoll):
		}
	}
}

func look(ctx context.Context, cc *pgx.ConnConfig, schema string) error {
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var ours bool
	if err := conn.QueryRow(ctx, "SELECT current_schema() IS NOT NULL").Scan(&ours); err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("schema %s does not exist or this role may not use it", schema)
	}
	return nil
}
