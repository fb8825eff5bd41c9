package rows

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/rpc"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
)

// Stream is the service's end of an import.
type Stream = grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]

// Take takes a tenant's file in a format and tells sink what becomes of its rows.
type Take func(ctx context.Context, tenant, format string, file io.Reader, sink Sink) (Counts, error)

// Serve feeds a stream's chunks to an import and answers with what becomes of the rows. That the caller may change the
// tenant was checked when the first message arrived (package rpc).
func Serve(s Stream, take Take) error {
	first, err := s.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("receive import options: %w", err)
	}
	o := first.GetOptions()
	if o == nil {
		return rpc.Invalid("options", "the first message must carry them")
	}
	sink := Sink{
		Refused: func(r Error) error {
			return s.Send(&importsv1.ImportResponse{Message: &importsv1.ImportResponse_Refusal{
				Refusal: &importsv1.ImportRefusal{Line: r.Line, Field: r.Field, Message: r.Message},
			}})
		},
		Progress: func(c Counts) error {
			return s.Send(&importsv1.ImportResponse{Message: &importsv1.ImportResponse_Progress{Progress: progress(c)}})
		},
	}
	n, err := take(s.Context(), o.GetTenant(), o.GetFormat(), &chunks{rest: first.GetData(), stream: s}, sink)
	if err != nil {
		return err
	}
	return s.Send(&importsv1.ImportResponse{Message: &importsv1.ImportResponse_Summary{Summary: progress(n)}})
}

func progress(c Counts) *importsv1.ImportProgress {
	return &importsv1.ImportProgress{Rows: c.Rows, Inserted: c.Inserted, Updated: c.Updated, Unchanged: c.Unchanged, Refused: c.Refused}
}

// chunks is the file as a reader: it asks for the next message when the last one is read.
type chunks struct {
	rest   []byte
	stream Stream
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return 0, io.EOF // the file ends as the stream does
		case err != nil:
			return 0, fmt.Errorf("receive chunk: %w", err)
		case m.GetOptions() != nil:
			return 0, rpc.Invalid("options", "only the first message carries them")
		}
		c.rest = m.GetData()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
