// Package imports takes payments and payees from files. Doing a file again changes nothing.
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
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Importer stores what files tell.
type Importer struct {
	Pool   *pgxpool.Pool
	Store  *store.Store
	Outbox *outbox.Outbox
	Clock  clock.Clock
}

// Payments imports payments in a format, "csv" or "jsonl". An error means that the import ended early; what was stored
// until then stays, and the same file can be sent again.
func (im *Importer) Payments(ctx context.Context, t config.Tenant, format string, r io.Reader, sink rows.Sink) (rows.Counts, error) {
	if t.Payouts == nil {
		return rows.Counts{}, fmt.Errorf("tenant %s has no payouts in the tenants file", t.ID)
	}
	file, err := rows.NewReader(format, r, paymentColumns)
	if err != nil {
		return rows.Counts{}, err
	}
	in := rows.Intake[payment]{Parse: newPaymentCheck(t).parse, Sink: sink, Keep: keep(im, t, "ImportPayments", im.storePayments)}
	return in.Run(ctx, file)
}

// Payees imports payees; see [Importer.Payments].
func (im *Importer) Payees(ctx context.Context, t config.Tenant, format string, r io.Reader, sink rows.Sink) (rows.Counts, error) {
	file, err := rows.NewReader(format, r, payeeColumns)
	if err != nil {
		return rows.Counts{}, err
	}
	in := rows.Intake[payee]{Parse: newPayeeCheck(t).parse, Sink: sink, Keep: keep(im, t, "ImportPayees", im.storePayees)}
	return in.Run(ctx, file)
}

// keep stores a batch in one transaction. Its statements are few and large, and planned for the tables as they are.
func keep[T any](im *Importer, t config.Tenant, action string, put func(context.Context, pgx.Tx, config.Tenant, []T) (rows.Stored, error)) func(context.Context, []T, int64) (rows.Stored, error) {
	k := rows.Keeper{Pool: im.Pool, Outbox: im.Outbox, Clock: im.Clock, Service: store.Service, Action: action, Tenant: t.ID}
	return rows.Keep(k, func(ctx context.Context, tx pgx.Tx, batch []T) (rows.Stored, error) {
		if err := im.Store.PlanAnew(ctx, tx); err != nil {
			return rows.Stored{}, err
		}
		return put(ctx, tx, t, batch)
	})
}
