package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	batchRows     = 1000   // per transaction
	progressEvery = 10_000 // rows
)

// Counts is what became of the rows so far.
type Counts struct {
	Rows, Inserted, Updated, Unchanged, Refused int64
}

// Sink hears of refusals and progress while an intake runs; an error of it ends the intake.
type Sink struct {
	Refused  func(Error) error
	Progress func(Counts) error
}

// Stored is what became of a batch.
type Stored struct {
	Inserted, Updated, Unchanged int64
	Refused                      []Error
}

// Intake reads rows, refuses bad ones and keeps the others in batches.
type Intake[T any] struct {
	Parse func(Record) (T, *Error)
	// Keep stores valid rows, in file order; first is the line of the first one.
	Keep func(ctx context.Context, rows []T, first int64) (Stored, error)
	Sink Sink

	n     Counts
	batch []T
	first int64
}

// Run takes a file. An error means that it ended early; what was stored until then stays, and the same file can be sent
// again.
func (in *Intake[T]) Run(ctx context.Context, file Reader) (Counts, error) {
	for {
		rec, err := file.Next()
		var ref *Error
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
func (in *Intake[T]) add(rec Record) *Error {
	row, ref := in.Parse(rec)
	if ref != nil {
		return ref
	}
	if len(in.batch) == 0 {
		in.first = rec.Line
	}
	in.batch = append(in.batch, row)
	return nil
}

// count counts a row, and stores the batch and tells how far it is when it is time.
func (in *Intake[T]) count(ctx context.Context, ref *Error) error {
	in.n.Rows++
	if ref != nil {
		in.n.Refused++
		if err := in.Sink.Refused(*ref); err != nil {
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
	return in.Sink.Progress(in.n)
}

func (in *Intake[T]) flush(ctx context.Context) error {
	if len(in.batch) == 0 {
		return nil
	}
	done, err := in.Keep(ctx, in.batch, in.first)
	if err != nil {
		return fmt.Errorf("store rows from line %d on: %w", in.first, err)
	}
	in.batch = in.batch[:0]
	in.n.Inserted, in.n.Updated, in.n.Unchanged = in.n.Inserted+done.Inserted, in.n.Updated+done.Updated, in.n.Unchanged+done.Unchanged
	for _, ref := range done.Refused {
		in.n.Refused++
		if err := in.Sink.Refused(ref); err != nil {
			return err
		}
	}
	return nil
}
