package admin

import (
	"context"
	"io"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/rows"
)

// ImportPayments takes payments in chunks.
func (s *Server) ImportPayments(stream rows.Stream) error {
	return rows.Serve(stream, s.into(s.Importer.Payments))
}

// ImportPayees takes payees in chunks.
func (s *Server) ImportPayees(stream rows.Stream) error {
	return rows.Serve(stream, s.into(s.Importer.Payees))
}

// into imports into a tenant that pays out.
func (s *Server) into(do func(context.Context, config.Tenant, string, io.Reader, rows.Sink) (rows.Counts, error)) rows.Take {
	return func(ctx context.Context, tenant, format string, file io.Reader, sink rows.Sink) (rows.Counts, error) {
		t, err := s.tenant(tenant)
		if err != nil {
			return rows.Counts{}, err
		}
		return do(ctx, t, format, file, sink)
	}
}
