package store

import (
	"context"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/command"
)

// TenantOf finds whose message a command is, which only names a run; "" when there is no such run.
func (s *Store) TenantOf(ctx context.Context, m stream.Message) string {
	c, err := command.Decode(m.Origin.Subject, m.Data)
	if err != nil {
		return ""
	}
	r, err := s.Run(ctx, s.Pool, c.RunID())
	if err != nil {
		return ""
	}
	return r.Tenant
}
