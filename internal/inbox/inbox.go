// Package inbox remembers which messages a consumer has handled, in the transaction of their effect.
package inbox

import (
	"context"
	"embed"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the inbox table.
var Migrations = pg.Set{Name: "inbox", FS: sub(migrations)}

// Accept records ids (ce-id, never Nats-Msg-Id) for a consumer and returns those that are new, in their order.
// The caller applies only those, in this same transaction.
func Accept(ctx context.Context, tx pgx.Tx, consumer string, ids ...string) ([]string, error) {
	panic("contract")
}
