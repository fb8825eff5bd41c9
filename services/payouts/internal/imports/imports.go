// Package imports takes payments and payees from files of any size: read row by row, checked one by one, stored in small
// transactions. A bad row is named with its line and stores nothing; the others are stored. Doing a file again changes
// nothing.
package imports

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/command"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	batchRows     = 1000   // per transaction
	progressEvery = 10_000 // rows
)

// Importer stores what files tell.
type Importer struct {
	Pool   *pgxpool.Pool
	Store  *store.Store
	Outbox *outbox.Outbox
	Clock  clock.Clock
}

// RowError names a row that was not stored.
type RowError struct {
	Line    int64
	Field   string
	Message string // without names and phone numbers: shapes, not values
}

// Error is the refusal as text.
func (r *RowError) Error() string { return fmt.Sprintf("line %d: %s: %s", r.Line, r.Field, r.Message) }

// Counts is what became of the rows so far.
type Counts struct {
	Rows, Inserted, Updated, Unchanged, Refused int64
}

// Sink hears of refusals and progress while an import runs; an error of it ends the import.
type Sink struct {
	Refused  func(RowError) error
	Progress func(Counts) error
}

// Payments imports payments in a format, "csv" or "jsonl". An error means that the import ended early; what was stored
// until then stays, and the same file can be sent again.
func (im *Importer) Payments(ctx context.Context, t config.Tenant, format string, r io.Reader, sink Sink) (Counts, error) {
	if t.Payouts == nil {
		return Counts{}, fmt.Errorf("tenant %s has no payouts in the tenants file", t.ID)
	}
	rows, err := newReader(format, r, paymentColumns)
	if err != nil {
		return Counts{}, err
	}
	in := intake[payment]{parse: newPaymentCheck(t).parse, sink: sink, keep: keeper(im, t, "ImportPayments", im.storePayments)}
	return in.run(ctx, rows)
}

// Payees imports payees; see [Importer.Payments].
func (im *Importer) Payees(ctx context.Context, t config.Tenant, format string, r io.Reader, sink Sink) (Counts, error) {
	rows, err := newReader(format, r, payeeColumns)
	if err != nil {
		return Counts{}, err
	}
	in := intake[payee]{parse: newPayeeCheck(t).parse, sink: sink, keep: keeper(im, t, "ImportPayees", im.storePayees)}
	return in.run(ctx, rows)
}

// stored is what became of a batch.
type stored struct {
	inserted, updated, unchanged int64
	refused                      []RowError
}

// intake reads rows, refuses bad ones and keeps the others in batches.
type intake[T any] struct {
	parse func(record) (T, *RowError)
	// keep stores valid rows, in file order; first is the line of the first one.
	keep func(ctx context.Context, rows []T, first int64) (stored, error)
	sink Sink

	n     Counts
	batch []T
	first int64
}

func (in *intake[T]) run(ctx context.Context, rows reader) (Counts, error) {
	for {
		rec, err := rows.next()
		var ref *RowError
		switch {
		case errors.Is(err, io.EOF):
			return in.n, in.flush(ctx)
		case errors.As(err, &ref):
		case err != nil:
			return in.n, errors.Join(err, in.flush(ctx))
		default:
			ref = in.add(rec)
		}
		if err := in.count(ctx, ref); err != nil {
			return in.n, err
		}
	}
}

// add puts a row into the batch unless it is refused.
func (in *intake[T]) add(rec record) *RowError {
	row, ref := in.parse(rec)
	if ref != nil {
		return ref
	}
	if len(in.batch) == 0 {
		in.first = rec.line
	}
	in.batch = append(in.batch, row)
	return nil
}

// count counts a row, and stores the batch and tells how far it is when it is time.
func (in *intake[T]) count(ctx context.Context, ref *RowError) error {
	in.n.Rows++
	if ref != nil {
		in.n.Refused++
		if err := in.sink.Refused(*ref); err != nil {
			return err
		}
	}
	if len(in.batch) == batchRows {
		if err := in.flush(ctx); err != nil {
			return err
		}
	}
	if in.n.Rows%progressEvery != 0 {
		return nil
	}
	return in.sink.Progress(in.n)
}

func (in *intake[T]) flush(ctx context.Context) error {
	if len(in.batch) == 0 {
		return nil
	}
	done, err := in.keep(ctx, in.batch, in.first)
	if err != nil {
		return fmt.Errorf("store rows from line %d on: %w", in.first, err)
	}
	in.batch = in.batch[:0]
	in.n.Inserted, in.n.Updated, in.n.Unchanged = in.n.Inserted+done.inserted, in.n.Updated+done.updated, in.n.Unchanged+done.unchanged
	for _, ref := range done.refused {
		in.n.Refused++
		if err := in.sink.Refused(ref); err != nil {
			return err
		}
	}
	return nil
}

// errRaced means that another import stored the same ids meanwhile; the batch is done again on what is known now.
var errRaced = errors.New("another import stored the same rows")

// maxRaces bounds how often a batch is done again.
const maxRaces = 20

// keeper stores a batch in one transaction with its audit entry.
func keeper[T any](im *Importer, t config.Tenant, method string, store func(context.Context, pgx.Tx, config.Tenant, []T) (stored, error)) func(context.Context, []T, int64) (stored, error) {
	return func(ctx context.Context, rows []T, first int64) (done stored, err error) {
		for range maxRaces {
			err = pg.InTx(ctx, im.Pool, func(tx pgx.Tx) (err error) {
				if err := im.Store.PlanAnew(ctx, tx); err != nil {
					return err
				}
				if done, err = store(ctx, tx, t, rows); err != nil || done.inserted+done.updated == 0 {
					return err
				}
				return auth.Record(ctx, tx, im.Outbox, auth.Entry{
					Tenant: t.ID, Service: command.Service, Action: method, Target: fmt.Sprintf("line %d and after", first),
					Detail: fmt.Sprintf("%d inserted, %d updated", done.inserted, done.updated), At: im.Clock.Now(),
				})
			})
			if !errors.Is(err, errRaced) {
				break
			}
		}
		im.Outbox.Nudge()
		return done, err
	}
}
