// Package feed sends files into the import streams of the services, chunk by chunk, while it listens to what they refuse.
package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
)

// chunk is how much of a file one message carries.
const chunk = 64 << 10

// Tally is what an import did.
type Tally struct {
	Rows, Inserted, Updated, Unchanged, Refused int64
}

// String says it in one line.
func (t Tally) String() string {
	return fmt.Sprintf("%d rows: %d new, %d changed, %d known already, %d refused", t.Rows, t.Inserted, t.Updated, t.Unchanged, t.Refused)
}

// Heard is called while an import runs; either may be nil.
type Heard struct {
	Refused    func(line string)
	Progressed func(Tally)
}

// Open begins an import: a method of a service's client.
type Open func(context.Context, ...grpc.CallOption) (Stream, error)

// Stream is the caller's end of an import.
type Stream = grpc.BidiStreamingClient[importsv1.ImportRequest, importsv1.ImportResponse]

// File sends everything from r and returns the summary.
func File(ctx context.Context, open Open, tenant, format string, r io.Reader, heard Heard) (Tally, error) {
	wanted := ctx
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	in, err := open(ctx)
	if err != nil {
		return Tally{}, err
	}
	// An error of io.EOF only says that the server has answered already, and its answer is the cause.
	err = in.Send(&importsv1.ImportRequest{Options: &importsv1.ImportOptions{Tenant: tenant, Format: format}})
	if err != nil && !errors.Is(err, io.EOF) {
		return Tally{}, err
	}
	sent := make(chan error, 1)
	go func() {
		err := sendAll(ctx, in, r)
		if err != nil {
			broken(err) // rather than an end of the stream: the server would take half a file for a whole one
		}
		sent <- err
	}()
	var sum Tally
	for {
		m, err := in.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return sum, <-sent
		case err != nil && ctx.Err() != nil && wanted.Err() == nil:
			return sum, context.Cause(ctx)
		case err != nil:
			// The server's word is the cause; the sender only saw the stream end.
			return sum, err
		case m.GetRefusal() != nil && heard.Refused != nil:
			heard.Refused(refusalLine(m.GetRefusal()))
		case m.GetProgress() != nil && heard.Progressed != nil:
			heard.Progressed(tally(m.GetProgress()))
		case m.GetSummary() != nil:
			sum = tally(m.GetSummary())
		}
	}
}

func tally(p *importsv1.ImportProgress) Tally {
	return Tally{p.GetRows(), p.GetInserted(), p.GetUpdated(), p.GetUnchanged(), p.GetRefused()}
}

func refusalLine(r *importsv1.ImportRefusal) string {
	if r.GetField() == "" {
		return fmt.Sprintf("line %d: %s", r.GetLine(), r.GetMessage())
	}
	return fmt.Sprintf("line %d: %s: %s", r.GetLine(), r.GetField(), r.GetMessage())
}

func sendAll(ctx context.Context, in Stream, r io.Reader) error {
	buf := make([]byte, chunk)
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		if n > 0 {
			if in.Send(&importsv1.ImportRequest{Data: bytes.Clone(buf[:n])}) != nil {
				return nil //nolint:nilerr // the stream ended: what it answers tells the cause
			}
		}
		if errors.Is(err, io.EOF) {
			return in.CloseSend()
		}
		if err != nil {
			return fmt.Errorf("reading the file: %w", err)
		}
	}
	return ctx.Err()
}
