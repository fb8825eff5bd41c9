package admin

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

type importStream = grpc.BidiStreamingServer[recurrencesv1.ImportRequest, recurrencesv1.ImportResponse]

// ImportRecurrences feeds the stream's chunks to an import and answers with what becomes of the rows.
func (s *Server) ImportRecurrences(stream importStream) error {
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
			return stream.Send(&recurrencesv1.ImportResponse{Message: &recurrencesv1.ImportResponse_Refusal{
				Refusal: &recurrencesv1.ImportRefusal{Line: r.Line, Field: r.Field, Message: r.Message},
			}})
		},
		Progress: func(c rows.Counts) error {
			return stream.Send(&recurrencesv1.ImportResponse{Message: &recurrencesv1.ImportResponse_Progress{Progress: progress(c)}})
		},
	}
	n, err := s.Importer.Recurrences(stream.Context(), t, o.GetFormat(), rows.Chunks(first.GetData(), chunks(stream)), sink)
	if err != nil {
		return err
	}
	return stream.Send(&recurrencesv1.ImportResponse{Message: &recurrencesv1.ImportResponse_Summary{Summary: progress(n)}})
}

func progress(c rows.Counts) *recurrencesv1.ImportProgress {
	return &recurrencesv1.ImportProgress{Rows: c.Rows, Inserted: c.Inserted, Unchanged: c.Unchanged, Refused: c.Refused}
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
