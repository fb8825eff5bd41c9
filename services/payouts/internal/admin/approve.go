package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/mutation"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	storedb "github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// ApprovePayout records the caller's approval.
func (s *Server) ApprovePayout(ctx context.Context, r *payoutsv1.ApprovePayoutRequest) (*payoutsv1.Payout, error) {
	return s.operate(ctx, mutation.Mutation{Tenant: r.GetTenant(), Action: "ApprovePayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}, s.Approve.ApprovePayout)
}

// RejectPayout ends a payout that waits.
func (s *Server) RejectPayout(ctx context.Context, r *payoutsv1.RejectPayoutRequest) (*payoutsv1.Payout, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "RejectPayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	out, err := s.operate(ctx, m, s.Approve.RejectPayout)
	return out, s.askAnew(ctx, m, err)
}

// ApproveBatch approves what of a batch waits.
func (s *Server) ApproveBatch(ctx context.Context, r *payoutsv1.ApproveBatchRequest) (*payoutsv1.ApproveBatchResponse, error) {
	out := &payoutsv1.ApproveBatchResponse{}
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ApproveBatch", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		done, err := s.Approve.ApproveBatch(ctx, tx, r.GetTenant(), id, r.GetReason())
		if err != nil {
			return nil, err
		}
		b, err := s.batch(ctx, tx, r.GetTenant(), r.GetId())
		return &payoutsv1.ApproveBatchResponse{
			Batch: b, Approved: int64(done.Approved), Waiting: int64(done.Waiting), LeftToOthers: int64(done.LeftToOthers),
		}, err
	})
	return out, err
}

// RejectBatch rejects what of a batch waits.
func (s *Server) RejectBatch(ctx context.Context, r *payoutsv1.RejectBatchRequest) (*payoutsv1.RejectBatchResponse, error) {
	out := &payoutsv1.RejectBatchResponse{}
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "RejectBatch", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		done, err := s.Approve.RejectBatch(ctx, tx, r.GetTenant(), id, r.GetReason())
		if err != nil {
			return nil, err
		}
		b, err := s.batch(ctx, tx, r.GetTenant(), r.GetId())
		return &payoutsv1.RejectBatchResponse{Batch: b, Rejected: int64(done.Rejected), LeftInDoubt: int64(done.LeftInDoubt)}, err
	})
	return out, s.askAnew(ctx, m, err) // also for what was left in doubt of it
}

// words are what people said, by what about.
func (s *Server) words(ctx context.Context, conn db.DBTX, ids []uuid.UUID) (map[uuid.UUID][]*payoutsv1.Word, error) {
	said, err := s.Store.Words(ctx, conn, ids...)
	if err != nil {
		return nil, err
	}
	all := make(map[uuid.UUID][]*payoutsv1.Word, len(said))
	for id, words := range said {
		for _, w := range words {
			all[id] = append(all[id], wordOf(w))
		}
	}
	return all, nil
}

func wordOf(w storedb.WordsAboutRow) *payoutsv1.Word {
	return &payoutsv1.Word{Actor: w.Actor, Word: w.Word, Reason: w.Reason, SaidAt: timestamppb.New(w.SaidAt)}
}
