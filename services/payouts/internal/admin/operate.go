package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// ResolvePayout proposes, or applies what another person proposed. Operators and approvers may; nobody may alone.
func (s *Server) ResolvePayout(ctx context.Context, r *payoutsv1.ResolvePayoutRequest) (*payoutsv1.ResolvePayoutResponse, error) {
	if _, err := decider(ctx, r.GetTenant(), "resolving"); err != nil {
		return nil, err
	}
	out := &payoutsv1.ResolvePayoutResponse{}
	var said review.Said
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "ResolvePayout", Target: r.GetId(), Detail: r.GetEvidence(), RequestID: r.GetRequestId(),
		Became: func() string { return resolved(said, r) },
	}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (_ proto.Message, err error) {
		said, err = s.Operate.Resolve(ctx, tx, r.GetTenant(), id, Resolution{Outcome: r.GetOutcome(), PayAgain: r.GetPayAgain(), Evidence: r.GetEvidence()})
		if err != nil {
			return nil, err
		}
		p, err := s.payout(ctx, tx, r.GetTenant(), r.GetId())
		return &payoutsv1.ResolvePayoutResponse{Applied: said.Agreed, Payout: p, Replaces: said.Replaces}, err
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
func resolved(said review.Said, r *payoutsv1.ResolvePayoutRequest) string {
	words := "proposed "
	if said.Agreed {
		words = "applied "
	}
	words += r.GetOutcome()
	if r.GetPayAgain() {
		words += ", pay again"
	}
	return words + insteadOf(said.Replaces)
}

// RetryPayout approves a failed payout again.
func (s *Server) RetryPayout(ctx context.Context, r *payoutsv1.RetryPayoutRequest) (*payoutsv1.Payout, error) {
	return s.operate(ctx, mutation.Mutation{Tenant: r.GetTenant(), Action: "RetryPayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}, s.Operate.Retry)
}

// HoldPayout keeps a payout from being sent.
func (s *Server) HoldPayout(ctx context.Context, r *payoutsv1.HoldPayoutRequest) (*payoutsv1.Payout, error) {
	return s.operate(ctx, mutation.Mutation{Tenant: r.GetTenant(), Action: "HoldPayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}, s.Operate.Hold)
}

// ReleasePayout lets a payout go that a person held.
func (s *Server) ReleasePayout(ctx context.Context, r *payoutsv1.ReleasePayoutRequest) (*payoutsv1.Payout, error) {
	return s.operate(ctx, mutation.Mutation{Tenant: r.GetTenant(), Action: "ReleasePayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}, s.Operate.Release)
}

// CancelPayout ends a payout that was not sent.
func (s *Server) CancelPayout(ctx context.Context, r *payoutsv1.CancelPayoutRequest) (*payoutsv1.Payout, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "CancelPayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	out, err := s.operate(ctx, m, s.Operate.Cancel)
	return out, s.askAnew(ctx, m, err)
}

// ReversePayout asks the provider for the money of a payout.
func (s *Server) ReversePayout(ctx context.Context, r *payoutsv1.ReversePayoutRequest) (*payoutsv1.Payout, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ReversePayout", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	var ask attempt.BackAsk
	out, err := s.operate(ctx, m, func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) (err error) {
		ask, err = s.Operate.AskBack(ctx, tx, tenant, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(out.GetId())
	if err != nil {
		return nil, err
	}
	if err := s.Operate.TakeBack(ctx, r.GetTenant(), id, ask); err != nil {
		return nil, err
	}
	return s.payout(ctx, s.Pool, r.GetTenant(), r.GetId())
}

// askAnew has a provider asked once more when something could not be ended, and returns what that came to: the word of after a restore may only be
// too old. It comes after the transaction, of which nothing is left when it was refused. What was done stays done when nobody can be asked about the
// rest of it: the next command has it asked.
func (s *Server) askAnew(ctx context.Context, m mutation.Mutation, refused error) error {
	id, err := uuid.Parse(m.Target)
	if err != nil || refused != nil && status.Code(refused) != codes.FailedPrecondition {
		return refused
	}
	err = s.Store.AskAnew(ctx, s.Pool, m.Tenant, id)
	switch {
	case err == nil:
		return refused
	case refused != nil:
		return err
	default:
		s.Logger.ErrorContext(ctx, "payouts: nobody is asked anew about what was left in doubt", "tenant", m.Tenant, "id", id, "error", err)
		return nil
	}
}

type operation func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error

// operate does one thing to one payout and answers with the payout as it is then.
func (s *Server) operate(ctx context.Context, m mutation.Mutation, do operation) (*payoutsv1.Payout, error) {
	out := &payoutsv1.Payout{}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		if err := do(ctx, tx, m.Tenant, id, m.Detail); err != nil {
			return nil, err
		}
		return s.payout(ctx, tx, m.Tenant, m.Target)
	})
	return out, err
}

// single is a mutation of one payout.
func (s *Server) single(ctx context.Context, m mutation.Mutation, out proto.Message, fn func(tx pgx.Tx, id uuid.UUID) (proto.Message, error)) error {
	if _, err := s.tenant(m.Tenant); err != nil {
		return err
	}
	id, err := uuid.Parse(m.Target)
	if err != nil {
		return rpc.Invalid("id", "%q is no payout id (a UUID)", m.Target)
	}
	return s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) { return fn(tx, id) })
}
