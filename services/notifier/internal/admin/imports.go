package admin

import (
	"context"
	"io"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/notifier/internal/imports"
)

// ImportDevices takes devices in chunks.
func (s *Server) ImportDevices(stream rows.Stream) error {
	return rows.Serve(stream, func(ctx context.Context, tenant, format string, file io.Reader, sink rows.Sink) (rows.Counts, error) {
		if _, ok := s.tenants.Tenant(tenant); !ok {
			return rows.Counts{}, rpc.NotFound("tenant", tenant)
		}
		return imports.Devices(ctx, s.store, tenant, format, file, sink)
	})
}
