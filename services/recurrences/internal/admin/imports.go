package admin

import (
	"context"
	"io"

	"github.com/agogopay/agogo/internal/rows"
)

// ImportRecurrences takes recurrences in chunks.
func (s *Server) ImportRecurrences(stream rows.Stream) error {
	return rows.Serve(stream, func(ctx context.Context, tenant, format string, file io.Reader, sink rows.Sink) (rows.Counts, error) {
		t, err := s.tenant(tenant)
		if err != nil {
			return rows.Counts{}, err
		}
		return s.Importer.Recurrences(ctx, t, format, file, sink)
	})
}
