package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/run"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// RetryRun has a failed run planned further.
func (s *Server) RetryRun(ctx context.Context, r *payoutsv1.RetryRunRequest) (*payoutsv1.Run, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "RetryRun", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.changeRun(ctx, m, func(tx pgx.Tx, id uuid.UUID) error { return s.Store.RetryRun(ctx, tx, id) })
}

// CancelRun ends a run.
func (s *Server) CancelRun(ctx context.Context, r *payoutsv1.CancelRunRequest) (*payoutsv1.Run, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "CancelRun", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.changeRun(ctx, m, func(tx pgx.Tx, id uuid.UUID) error { return s.Store.CancelRun(ctx, tx, id, m.Detail) })
}

// changeRun is a mutation of one run of the tenant, which answers with the run as it is then.
func (s *Server) changeRun(ctx context.Context, m mutation.Mutation, do func(tx pgx.Tx, id uuid.UUID) error) (*payoutsv1.Run, error) {
	if _, err := s.tenant(m.Tenant); err != nil {
		return nil, err
	}
	found, err := s.findRun(ctx, m.Tenant, m.Target)
	if err != nil {
		return nil, err
	}
	m.Target = found.ID.String() // whatever it was called by
	out := &payoutsv1.Run{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		if err := do(tx, found.ID); err != nil {
			return nil, err
		}
		now, err := s.Store.Runs.Get(ctx, tx, found.ID)
		if err != nil {
			return nil, err
		}
		all, err := s.runs(ctx, tx, []run.Run{now})
		if err != nil {
			return nil, err
		}
		return all[0], nil
	})
	return out, err
}
