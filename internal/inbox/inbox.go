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
	"github.com/agogopay/agogo/internal/retention"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the inbox table.
var Migrations = pg.Set{Name: "inbox", FS: migrations, Dir: "migrations"}

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

// Retention forgets what was accepted longer ago than age. That must exceed the time for which the stream can deliver a
// message again (its max age, and how far back people replay): what is forgotten counts as new. The age is measured by the
// database, which also wrote when a message was accepted: a clock that was moved must not make a delivery new.
func Retention(conn db.DBTX, age time.Duration) retention.Rule {
	return retention.Rule{Rows: "inbox ids", Delete: func(ctx context.Context, limit int32) (int64, error) {
		n, err := db.New(conn).Forget(ctx, db.ForgetParams{OlderThanSeconds: age.Seconds(), Batch: limit})
		if err != nil {
			return n, fmt.Errorf("forget old inbox ids: %w", err)
		}
		return n, nil
	}}
}
