package admin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

type importStream = grpc.BidiStreamingServer[payoutsv1.ImportRequest, payoutsv1.ImportResponse]

type importFunc func(ctx context.Context, t config.Tenant, format string, r io.Reader, sink rows.Sink) (rows.Counts, error)

// ImportPayments takes payments in chunks.
func (s *Server) ImportPayments(stream importStream) error {
	return s.importFile(stream, s.Importer.Payments)
}

// ImportPayees takes payees in chunks.
func (s *Server) ImportPayees(stream importStream) error {
	return s.importFile(stream, s.Importer.Payees)
}

// importFile feeds the stream's chunks to an import and answers with what becomes of the rows.
func (s *Server) importFile(stream importStream, do importFunc) error {
	first, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("receive import options: %w", err)
	}
	o := first.GetOptions()
	if o == nil {
		return rpc.Invalid("options", "the first message must carry them")
	}
	if _, err := auth.Require(stream.Context(), auth.Operator, o.GetTenant()); err != nil {
		return err
	}
	t, err := s.tenant(o.GetTenant())
	if err != nil {
		return err
	}
	sink := rows.Sink{
		Refused: func(r rows.Error) error {
			return stream.Send(&payoutsv1.ImportResponse{Message: &payoutsv1.ImportResponse_Refusal{
				Refusal: &payoutsv1.ImportRefusal{Line: r.Line, Field: r.Field, Message: r.Message},
			}})
		},
		Progress: func(c rows.Counts) error {
			return stream.Send(&payoutsv1.ImportResponse{Message: &payoutsv1.ImportResponse_Progress{Progress: progress(c)}})
		},
	}
	n, err := do(stream.Context(), t, o.GetFormat(), rows.Chunks(first.GetData(), chunks(stream)), sink)
	if err != nil {
		return err
	}
	return stream.Send(&payoutsv1.ImportResponse{Message: &payoutsv1.ImportResponse_Summary{Summary: progress(n)}})
}

func progress(c rows.Counts) *payoutsv1.ImportProgress {
	return &payoutsv1.ImportProgress{Rows: c.Rows, Inserted: c.Inserted, Updated: c.Updated, Unchanged: c.Unchanged, Refused: c.Refused}
}

// chunks are the pieces of a file that a stream's messages carry.
func chunks(stream importStream) func() ([]byte, error) {
	return func() ([]byte, error) {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case err != nil:
			return nil, fmt.Errorf("receive chunk: %w", err)
		case m.GetOptions() != nil:
			return nil, rpc.Invalid("options", "only the first message carries them")
		}
		return m.GetData(), nil
	}
}
