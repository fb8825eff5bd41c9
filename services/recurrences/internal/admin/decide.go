package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
)

// ChargeNow sends a charge, or makes and sends the charge of a missed cycle.
func (s *Server) ChargeNow(ctx context.Context, r *recurrencesv1.ChargeNowRequest) (*recurrencesv1.Charge, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ChargeNow", Target: r.GetChargeId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	do := func(tx pgx.Tx) (uuid.UUID, error) {
		id, err := uuid.Parse(r.GetChargeId())
		if err != nil {
			return uuid.Nil, rpc.Invalid("charge_id", "is no UUID")
		}
		return id, s.Operate.ChargeNow(ctx, tx, r.GetTenant(), id)
	}
	if r.GetChargeId() == "" {
		cycle, err := dateOf("cycle", r.GetCycle())
		if err != nil {
			return nil, err
		}
		m.Target = r.GetRecurrenceId() + " cycle " + cycle.String()
		do = func(tx pgx.Tx) (uuid.UUID, error) {
			return s.Operate.ChargeMissed(ctx, tx, r.GetTenant(), r.GetRecurrenceId(), cycle)
		}
	}
	out := &recurrencesv1.Charge{}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		id, err := do(tx)
		if err != nil {
			return nil, err
		}
		return s.charge(ctx, tx, r.GetTenant(), id.String())
	})
	return out, err
}

// CancelCharge gives up a charge.
func (s *Server) CancelCharge(ctx context.Context, r *recurrencesv1.CancelChargeRequest) (*recurrencesv1.Charge, error) {
	out := &recurrencesv1.Charge{}
	err := s.single(ctx, asked("CancelCharge", r), out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		if err := s.Operate.CancelCharge(ctx, tx, r.GetTenant(), id, r.GetReason()); err != nil {
			return nil, err
		}
		return s.charge(ctx, tx, r.GetTenant(), r.GetId())
	})
	return out, err
}

// ResolveCharge proposes, or applies what another person proposed. Operators and approvers may; nobody may alone.
func (s *Server) ResolveCharge(ctx context.Context, r *recurrencesv1.ResolveChargeRequest) (*recurrencesv1.ResolveChargeResponse, error) {
	actor, _ := auth.ActorFrom(ctx)
	if !actor.May(auth.Operator, r.GetTenant()) && !actor.May(auth.Approver, r.GetTenant()) {
		return nil, status.Errorf(codes.PermissionDenied, "resolving needs the role operator or approver on %s", r.GetTenant())
	}
	if r.GetChargeAgain() && r.GetOutcome() != resolve.NotPaid {
		return nil, rpc.Invalid("charge_again", "goes with outcome not_paid: what was charged is not charged again")
	}
	out := &recurrencesv1.ResolveChargeResponse{}
	var applied bool
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "ResolveCharge", Target: r.GetId(), Detail: r.GetEvidence(), RequestID: r.GetRequestId(),
		Became: func() string { return resolved(applied, r) },
	}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (_ proto.Message, err error) {
		applied, err = s.Operate.ResolveCharge(ctx, tx, r.GetTenant(), id, resolve.Resolution{
			Outcome: r.GetOutcome(), PayAgain: r.GetChargeAgain(), Evidence: r.GetEvidence(),
		})
		if err != nil {
			return nil, err
		}
		c, err := s.charge(ctx, tx, r.GetTenant(), r.GetId())
		return &recurrencesv1.ResolveChargeResponse{Applied: applied, Charge: c}, err
	})
	return out, err
}

// resolved says what a call came to: the words of a proposal and of what was applied differ only in that.
func resolved(applied bool, r *recurrencesv1.ResolveChargeRequest) string {
	words := "proposed "
	if applied {
		words = "applied "
	}
	words += r.GetOutcome()
	if r.GetChargeAgain() {
		words += ", charge again"
	}
	return words
}

// single is a mutation of one charge.
func (s *Server) single(ctx context.Context, m mutation.Mutation, out proto.Message, fn func(tx pgx.Tx, id uuid.UUID) (proto.Message, error)) error {
	id, err := uuid.Parse(m.Target)
	if err != nil {
		return rpc.Invalid("id", "is no charge id (a UUID)")
	}
	return s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) { return fn(tx, id) })
}
