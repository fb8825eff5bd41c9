package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/mutation"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// RetryFailed approves again what of a batch has failed.
func (s *Server) RetryFailed(ctx context.Context, r *payoutsv1.RetryFailedRequest) (*payoutsv1.RetryFailedResponse, error) {
	out := &payoutsv1.RetryFailedResponse{}
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "RetryFailed", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		if _, err := s.batch(ctx, tx, r.GetTenant(), r.GetId()); err != nil { // another tenant's is not found
			return nil, err
		}
		done, err := s.Store.RetryFailed(ctx, tx, r.GetTenant(), id)
		if err != nil {
			return nil, err
		}
		b, err := s.batch(ctx, tx, r.GetTenant(), r.GetId())
		return &payoutsv1.RetryFailedResponse{
			Batch: b, Retried: int64(done.Retried), Waiting: int64(done.Waiting), ItemsTaken: int64(done.ItemsTaken),
			InDoubt: int64(done.InDoubt), OverCap: int64(done.OverCap),
		}, err
	})
	return out, err
}
