package admin

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// StopOutflow halts a tenant's sends: the row is read before every send by every replica.
func (s *Server) StopOutflow(ctx context.Context, r *payoutsv1.StopOutflowRequest) (*payoutsv1.Outflow, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "StopOutflow", Target: r.GetTenant(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.turn(ctx, m, true, r.GetReason())
}

// StartOutflow lifts the stop, opens connectors that a fault had stopped, and wakes what waited.
func (s *Server) StartOutflow(ctx context.Context, r *payoutsv1.StartOutflowRequest) (*payoutsv1.Outflow, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "StartOutflow", Target: r.GetTenant(), RequestID: r.GetRequestId()}
	return s.turn(ctx, m, false, "")
}

func (s *Server) turn(ctx context.Context, m mutation.Mutation, stopped bool, reason string) (*payoutsv1.Outflow, error) {
	if _, err := s.tenant(m.Tenant); err != nil {
		return nil, err
	}
	actor, _ := auth.ActorFrom(ctx)
	out := &payoutsv1.Outflow{}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		o, err := s.Store.SetOutflow(ctx, tx, m.Tenant, stopped, reason, actor.Name)
		if err != nil {
			return nil, err
		}
		if !stopped {
			if err := s.reopen(ctx, tx, m.Tenant); err != nil {
				return nil, err
			}
		}
		return outflow(o), nil
	})
	return out, err
}

func (s *Server) reopen(ctx context.Context, tx pgx.Tx, tenant string) error {
	if _, err := s.Connectors.ResumeStopped(ctx, tx, tenant, provider.Reason{Code: payout.CodeByPerson}); err != nil {
		return fmt.Errorf("open connectors of %s: %w", tenant, err)
	}
	return s.wake(ctx, tx)
}

// wake emits dispatch commands for what waits approved; the held ones are the sweeper's, a moment later.
func (s *Server) wake(ctx context.Context, tx pgx.Tx) error {
	now := s.Clock.Now()
	return s.Store.WakeStanding(ctx, tx, now, "go"+strconv.FormatInt(now.UnixMilli(), 36), wakePages)
}

// wakePages bounds what one request emits; the sweeper finds the rest.
const wakePages = 1000

func outflow(o store.Outflow) *payoutsv1.Outflow {
	m := &payoutsv1.Outflow{Tenant: o.Tenant, State: "running", Reason: o.Reason, Actor: o.Actor, ChangedAt: timestamppb.New(o.ChangedAt)}
	if o.Stopped {
		m.State = "stopped"
	}
	return m
}

// ListTenants lists the tenants of the file that the caller may see. Their rows are as few as the file has lines for them.
func (s *Server) ListTenants(ctx context.Context, r *payoutsv1.ListTenantsRequest) (*payoutsv1.ListTenantsResponse, error) {
	if r.GetTenant() != "" {
		if _, ok := s.Tenants.Tenant(r.GetTenant()); !ok {
			return nil, rpc.NotFound("tenant", r.GetTenant())
		}
	}
	turned, err := s.Store.Outflows(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	actor, _ := auth.ActorFrom(ctx)
	resp := &payoutsv1.ListTenantsResponse{}
	for _, t := range s.Tenants.Tenants {
		if r.GetTenant() != "" && r.GetTenant() != t.ID || !actor.May(auth.Viewer, t.ID) {
			continue
		}
		item := &payoutsv1.Tenant{
			Id: t.ID, Mode: t.Mode, Currency: string(t.Currency), Timezone: t.Timezone, Outflow: &payoutsv1.Outflow{Tenant: t.ID, State: "running"},
		}
		if o, ok := turned[t.ID]; ok {
			item.Outflow = outflow(o)
		}
		resp.Items = append(resp.Items, item)
	}
	return resp, nil
}
