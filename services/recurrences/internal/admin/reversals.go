package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/mutation"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// RefreshCharge has the gateway asked again about a charge.
func (s *Server) RefreshCharge(ctx context.Context, r *recurrencesv1.RefreshChargeRequest) (*recurrencesv1.Charge, error) {
	out := &recurrencesv1.Charge{}
	err := s.single(ctx, asked("RefreshCharge", r), out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		if err := s.Operate.Refresh(ctx, tx, r.GetTenant(), id); err != nil {
			return nil, err
		}
		return s.charge(ctx, tx, r.GetTenant(), r.GetId())
	})
	return out, err
}

// SettleDispute books how an open dispute ended.
func (s *Server) SettleDispute(ctx context.Context, r *recurrencesv1.SettleDisputeRequest) (*recurrencesv1.Charge, error) {
	out := &recurrencesv1.Charge{}
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "SettleDispute", Target: r.GetId(), Detail: r.GetOutcome() + ": " + r.GetEvidence(), RequestID: r.GetRequestId(),
	}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		charged, err := s.Operate.SettleDispute(ctx, tx, r.GetTenant(), id, r.GetOutcome())
		if err != nil {
			return nil, err
		}
		return s.charge(ctx, tx, r.GetTenant(), charged.String())
	})
	return out, err
}

func reversalOf(r store.Reversal, currency string) *recurrencesv1.Reversal {
	m := &recurrencesv1.Reversal{
		Id: r.ID.String(), Kind: r.Kind, Amount: amount(r.Minor, currency), State: r.State, CreatedAt: timestamppb.New(r.CreatedAt),
		DecidedAt: instant(r.DecidedAt),
	}
	if r.Kind == store.Dispute {
		m.CaseNumber = r.Key
	}
	return m
}
