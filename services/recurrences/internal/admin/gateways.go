package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// ListGateways lists the tenant's connectors with their states.
func (s *Server) ListGateways(ctx context.Context, r *recurrencesv1.ListGatewaysRequest) (*recurrencesv1.ListGatewaysResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	known, err := s.Connectors.List(ctx, s.Pool, t.ID)
	if err != nil {
		return nil, err
	}
	resp := &recurrencesv1.ListGatewaysResponse{}
	for _, name := range slices.Sorted(maps.Keys(t.Providers)) {
		st, ok := known[name]
		if !ok {
			st = provider.Status{Connector: connector(t, name), State: provider.Open}
		}
		resp.Items = append(resp.Items, gateway(st))
	}
	return resp, nil
}

// ResumeGateway opens a gateway that was stopped.
func (s *Server) ResumeGateway(ctx context.Context, r *recurrencesv1.ResumeGatewayRequest) (*recurrencesv1.Gateway, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	if _, ok := t.Providers[r.GetGateway()]; !ok {
		return nil, rpc.NotFound("gateway", r.GetGateway())
	}
	m := mutation.Mutation{Tenant: t.ID, Action: "ResumeGateway", Target: r.GetGateway(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	out := &recurrencesv1.Gateway{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		st, err := s.Connectors.Resume(ctx, tx, connector(t, r.GetGateway()), provider.Reason{Code: recurrence.CodeByPerson})
		if err != nil {
			return nil, fmt.Errorf("open gateway %s of %s: %w", r.GetGateway(), t.ID, err)
		}
		if s.Wake != nil {
			if err := s.Wake(ctx, tx, t.ID); err != nil {
				return nil, err
			}
		}
		return gateway(st), nil
	})
	return out, err
}

func connector(t config.Tenant, name string) provider.Connector {
	return provider.Connector{Tenant: t.ID, Provider: name, Kind: t.Providers[name].Kind}
}

func gateway(st provider.Status) *recurrencesv1.Gateway {
	m := &recurrencesv1.Gateway{Tenant: st.Tenant, Name: st.Provider, Kind: st.Kind, State: st.State}
	if st.Reason != (provider.Reason{}) {
		m.Reason = &eventsv1.Reason{Class: st.Reason.Class, Scope: st.Reason.Scope, Code: st.Reason.Code, ProviderCode: st.Reason.ProviderCode}
	}
	if !st.ChangedAt.IsZero() {
		m.ChangedAt = timestamppb.New(st.ChangedAt)
	}
	return m
}
