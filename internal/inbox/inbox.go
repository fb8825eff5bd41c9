// Package inbox remembers which messages a consumer has handled, in the transaction of their effect.
package inbox

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/inbox/db"
	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the inbox table.
var Migrations = pg.Set{Name: "inbox", FS: sub(migrations)}

const purgeBatch = 5000

// Accept records ids (ce-id, never Nats-Msg-Id) for a consumer and returns those that are new, in their order.
// The caller applies only those, in this same transaction. While another transaction that took one of them is open,
// Accept waits: the id is new only if that one rolls back.
func Accept(ctx context.Context, tx pgx.Tx, consumer string, ids ...string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	inserted, err := db.New(tx).Accept(ctx, db.AcceptParams{Consumer: consumer, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("inbox of %s: %w", consumer, err)
	}
	isNew := make(map[string]bool, len(inserted))
	for _, id := range inserted {
		isNew[id] = true
	}
	fresh := make([]string, 0, len(inserted))
	for _, id := range ids {
		if isNew[id] {
			fresh = append(fresh, id)
			delete(isNew, id) // an id given twice is handled once
		}
	}
	return fresh, nil
}

// Purge forgets what was accepted longer ago than olderThan, in small transactions of its own, and returns how many ids
// that were. olderThan must exceed the time for which the stream can deliver a message again (its max age, and how
// far back people replay): what is forgotten counts as new.
func Purge(ctx context.Context, conn db.DBTX, olderThan time.Duration) (int64, error) {
	var total int64
	for {
		n, err := db.New(conn).Purge(ctx, db.PurgeParams{OlderThanSeconds: olderThan.Seconds(), Batch: purgeBatch})
		total += n
		if err != nil {
			return total, fmt.Errorf("purge inbox: %w", err)
		}
		if n < purgeBatch {
			return total, nil
		}
	}
}
