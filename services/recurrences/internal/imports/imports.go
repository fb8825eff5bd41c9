// Package imports takes recurrences from files, with what their old system knew of them. Doing a file again changes nothing:
// a recurrence that is known is never changed by a file, but by people and by its charges.
package imports

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/db"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Importer stores what files tell.
type Importer struct {
	Pool   *pgxpool.Pool
	Store  *store.Store
	Outbox *outbox.Outbox
	Clock  clock.Clock
}

// Recurrences imports recurrences in a format, "csv" or "jsonl". An error means that the import ended early; what was stored
// until then stays, and the same file can be sent again.
func (im *Importer) Recurrences(ctx context.Context, t config.Tenant, format string, r io.Reader, sink rows.Sink) (rows.Counts, error) {
	if t.Recurrences == nil {
		return rows.Counts{}, fmt.Errorf("tenant %s has no recurrences in the tenants file", t.ID)
	}
	file, err := rows.NewReader(format, r, columns)
	if err != nil {
		return rows.Counts{}, err
	}
	c, err := newCheck(t, im.Clock)
	if err != nil {
		return rows.Counts{}, err
	}
	k := rows.Keeper{Pool: im.Pool, Outbox: im.Outbox, Clock: im.Clock, Service: store.Service, Action: "ImportRecurrences", Tenant: t.ID}
	in := rows.Intake[row]{Parse: c.parse, Sink: sink, Keep: rows.Keep(k, func(ctx context.Context, tx pgx.Tx, batch []row) (rows.Stored, error) {
		if err := db.New(tx).PlanAnew(ctx); err != nil {
			return rows.Stored{}, fmt.Errorf("have statements planned anew: %w", err)
		}
		return im.store(ctx, tx, t.ID, batch)
	})}
	return in.Run(ctx, file)
}
