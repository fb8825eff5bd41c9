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

// Refusal names a row that was not stored.
type Refusal struct {
	Line    int64
	Field   string
	Message string // without names and phone numbers: shapes, not values
}

// Error is the refusal as text.
func (r *Refusal) Error() string { return fmt.Sprintf("line %d: %s: %s", r.Line, r.Field, r.Message) }

// Counts is what became of the rows so far.
type Counts struct {
	Rows, Inserted, Updated, Unchanged, Refused int64
}

// Sink hears of refusals and progress while an import runs; an error of it ends the import.
type Sink struct {
	Refused  func(Refusal) error
	Progress func(Counts) error
}

// Payments imports payments in a format, "csv" or "jsonl". An error means that the import ended early; what was stored
// until then stays, and the same file can be sent again.
func (im *Importer) Payments(ctx context.Context, t config.Tenant, format string, r io.Reader, sink Sink) (Counts, error) {
	if t.Payouts == nil {
		return Counts{}, fmt.Errorf("tenant %s has no payouts in the tenants file", t.ID)
	}
	check := newPaymentCheck(t)
	return run(ctx, im, job[payment]{
		tenant: t, method: "ImportPayments", columns: paymentColumns, parse: check.parse, store: im.storePayments,
	}, format, r, sink)
}

// Payees imports payees; see [Importer.Payments].
func (im *Importer) Payees(ctx context.Context, t config.Tenant, format string, r io.Reader, sink Sink) (Counts, error) {
	check := newPayeeCheck(t)
	return run(ctx, im, job[payee]{
		tenant: t, method: "ImportPayees", columns: payeeColumns, parse: check.parse, store: im.storePayees,
	}, format, r, sink)
}

// job is what differs between the imports. store is given valid rows in file order and says what became of each.
type job[T any] struct {
	tenant  config.Tenant
	method  string
	columns columns
	parse   func(record) (T, *Refusal)
	store   func(ctx context.Context, tx pgx.Tx, t config.Tenant, rows []T) (stored, error)
}

// stored is what became of a batch.
type stored struct {
	inserted, updated, unchanged int64
	refused                      []Refusal
}

// errRaced means that another import stored the same ids meanwhile; the batch is done again on what is known now.
var errRaced = errors.New("another import stored the same rows")

// maxRaces bounds how often a batch is done again.
const maxRaces = 20

func run[T any](ctx context.Context, im *Importer, j job[T], format string, r io.Reader, sink Sink) (Counts, error) {
	var n Counts
	rows, err := newReader(format, r, j.columns)
	if err != nil {
		return n, err
	}
	batch, first := make([]T, 0, batchRows), int64(0)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := flushBatch(ctx, im, j, batch, first, &n, sink)
		batch = batch[:0]
		return err
	}
	refuse := func(ref *Refusal) error { n.Refused++; return sink.Refused(*ref) }
	for {
		rec, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var ref *Refusal
		switch {
		case errors.As(err, &ref):
		case err != nil:
			return n, errors.Join(err, flush())
		default:
			var row T
			if row, ref = j.parse(rec); ref == nil {
				if len(batch) == 0 {
					first = rec.line
				}
				batch = append(batch, row)
			}
		}
		n.Rows++
		if ref != nil {
			if err := refuse(ref); err != nil {
				return n, err
			}
		}
		if len(batch) == batchRows {
			if err := flush(); err != nil {
				return n, err
			}
		}
		if n.Rows%progressEvery == 0 {
			if err := sink.Progress(n); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}

// flushBatch stores a batch in one transaction with its audit entry.
func flushBatch[T any](ctx context.Context, im *Importer, j job[T], batch []T, first int64, n *Counts, sink Sink) error {
	var done stored
	attempt := func() error {
		return pg.InTx(ctx, im.Pool, func(tx pgx.Tx) (err error) {
			if done, err = j.store(ctx, tx, j.tenant, batch); err != nil || done.inserted+done.updated == 0 {
				return err
			}
			return auth.Record(ctx, tx, im.Outbox, auth.Entry{
				Tenant: j.tenant.ID, Service: command.Service, Action: j.method, Target: fmt.Sprintf("line %d and after", first),
				Detail: fmt.Sprintf("%d inserted, %d updated", done.inserted, done.updated), At: im.Clock.Now(),
			})
		})
	}
	err := attempt()
	for range maxRaces {
		if !errors.Is(err, errRaced) {
			break
		}
		err = attempt()
	}
	if err != nil {
		return fmt.Errorf("store rows from line %d on: %w", first, err)
	}
	im.Outbox.Nudge()
	n.Inserted, n.Updated, n.Unchanged = n.Inserted+done.inserted, n.Updated+done.updated, n.Unchanged+done.unchanged
	for _, ref := range done.refused {
		n.Refused++
		if err := sink.Refused(ref); err != nil {
			return err
		}
	}
	return nil
}
