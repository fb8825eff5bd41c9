package admin

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/review"
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
	out, m := &recurrencesv1.Charge{}, asked("CancelCharge", r)
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		if err := s.Operate.CancelCharge(ctx, tx, r.GetTenant(), id, r.GetReason()); err != nil {
			return nil, err
		}
		return s.charge(ctx, tx, r.GetTenant(), r.GetId())
	})
	return out, s.askAnew(ctx, m, err)
}

// errNotAsked undoes a transaction in which there was nothing to ask.
var errNotAsked = errors.New("there was nothing to ask the gateway")

// askAnew has a gateway asked once more when a charge could not be ended, and returns what that came to: its word may only be too old. It comes after the
// transaction, of which nothing is left when it was refused, and has an entry of its own in the audit trail.
func (s *Server) askAnew(ctx context.Context, m mutation.Mutation, refused error) error {
	if status.Code(refused) != codes.FailedPrecondition {
		return refused
	}
	m.RequestID, m.Became = "", func() string { return "refused, its gateway is asked" }
	err := s.single(ctx, m, &recurrencesv1.Charge{}, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		asked, err := s.Operate.AskAnew(ctx, tx, m.Tenant, id)
		if err == nil && !asked {
			err = errNotAsked
		}
		if err != nil {
			return nil, err
		}
		return s.charge(ctx, tx, m.Tenant, m.Target)
	})
	if err == nil || errors.Is(err, errNotAsked) {
		return refused
	}
	return err
}

// ResolveCharge proposes, or applies what another person proposed. Operators and approvers may; nobody may alone.
func (s *Server) ResolveCharge(ctx context.Context, r *recurrencesv1.ResolveChargeRequest) (*recurrencesv1.ResolveChargeResponse, error) {
	if _, err := decider(ctx, r.GetTenant(), "resolving"); err != nil {
		return nil, err
	}
	if r.GetChargeAgain() && r.GetOutcome() != resolve.NotPaid {
		return nil, rpc.Invalid("charge_again", "goes with outcome not_paid: what was charged is not charged again")
	}
	out := &recurrencesv1.ResolveChargeResponse{}
	var said review.Said
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "ResolveCharge", Target: r.GetId(), Detail: r.GetEvidence(), RequestID: r.GetRequestId(),
		Became: func() string { return resolved(said, r) },
	}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (_ proto.Message, err error) {
		said, err = s.Operate.ResolveCharge(ctx, tx, r.GetTenant(), id, resolve.Resolution{
			Outcome: r.GetOutcome(), PayAgain: r.GetChargeAgain(), Evidence: r.GetEvidence(),
		})
		if err != nil {
			return nil, err
		}
		c, err := s.charge(ctx, tx, r.GetTenant(), r.GetId())
		return &recurrencesv1.ResolveChargeResponse{Applied: said.Agreed, Charge: c, Replaces: said.Replaces}, err
	})
	return out, err
}

// decider is who may be one of two people that decide something: an operator or an approver.
func decider(ctx context.Context, tenant, doing string) (auth.Actor, error) {
	actor, _ := auth.ActorFrom(ctx)
	if !actor.May(auth.Operator, tenant) && !actor.May(auth.Approver, tenant) {
		return actor, status.Errorf(codes.PermissionDenied, "%s needs the role operator or approver on %s", doing, tenant)
	}
	return actor, nil
}

// resolved says what a call came to: the words of a proposal and of what was applied differ only in that.
func resolved(said review.Said, r *recurrencesv1.ResolveChargeRequest) string {
	words := "proposed "
	if said.Agreed {
		words = "applied "
	}
	words += r.GetOutcome()
	if r.GetChargeAgain() {
		words += ", charge again"
	}
	return words + insteadOf(said.Replaces)
}

// single is a mutation of one charge.
func (s *Server) single(ctx context.Context, m mutation.Mutation, out proto.Message, fn func(tx pgx.Tx, id uuid.UUID) (proto.Message, error)) error {
	id, err := uuid.Parse(m.Target)
	if err != nil {
		return rpc.Invalid("id", "is no charge id (a UUID)")
	}
	return s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) { return fn(tx, id) })
}
