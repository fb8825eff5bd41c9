package admin

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
)

// StartBreak opens a payee's break.
func (s *Server) StartBreak(ctx context.Context, r *payoutsv1.StartBreakRequest) (*payoutsv1.Break, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "StartBreak", Target: r.GetPayeeId(), RequestID: r.GetRequestId()}
	return s.changeBreak(ctx, m, r.GetAt(), s.Breaks.Start)
}

// EndBreak closes a payee's break.
func (s *Server) EndBreak(ctx context.Context, r *payoutsv1.EndBreakRequest) (*payoutsv1.Break, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "EndBreak", Target: r.GetPayeeId(), RequestID: r.GetRequestId()}
	return s.changeBreak(ctx, m, r.GetAt(), s.Breaks.End)
}

// GetBreak tells a payee's breaks of today.
func (s *Server) GetBreak(ctx context.Context, r *payoutsv1.GetBreakRequest) (*payoutsv1.Break, error) {
	if _, err := s.tenant(r.GetTenant()); err != nil {
		return nil, err
	}
	b, err := s.Breaks.Get(ctx, s.Pool, r.GetTenant(), r.GetPayeeId())
	if err != nil {
		return nil, breakError(err, r.GetPayeeId())
	}
	return breakOf(b), nil
}

type breakFunc func(ctx context.Context, tx pgx.Tx, tenant, payee string, at time.Time) (breaks.Break, error)

func (s *Server) changeBreak(ctx context.Context, m mutation.Mutation, at *timestamppb.Timestamp, do breakFunc) (*payoutsv1.Break, error) {
	if _, err := s.tenant(m.Tenant); err != nil {
		return nil, err
	}
	when := s.Clock.Now()
	if at != nil {
		if err := at.CheckValid(); err != nil {
			return nil, rpc.Invalid("at", "%v", err)
		}
		when = at.AsTime()
	}
	out := &payoutsv1.Break{}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		b, err := do(ctx, tx, m.Tenant, m.Target, when)
		if err != nil {
			return nil, breakError(err, m.Target)
		}
		return breakOf(b), nil
	})
	return out, err
}

func breakError(err error, payee string) error {
	switch {
	case errors.Is(err, breaks.ErrNoPayee):
		return rpc.NotFound("payee", payee)
	case errors.Is(err, breaks.ErrOpen):
		return rpc.Refused("BREAK_OPEN", "end it first", "%v", err)
	case errors.Is(err, breaks.ErrNotOpen):
		return rpc.Refused("BREAK_NOT_OPEN", "start one first", "%v", err)
	case errors.Is(err, breaks.ErrTime):
		return rpc.Invalid("at", "%v", err)
	default:
		return err
	}
}

func breakOf(b breaks.Break) *payoutsv1.Break {
	return &payoutsv1.Break{
		Tenant: b.Tenant, PayeeId: b.PayeeID, LocalDate: b.LocalDate, TotalSeconds: b.TotalSeconds, OpenSince: instant(b.OpenSince),
		LastResetDate: b.LastResetDate,
	}
}
