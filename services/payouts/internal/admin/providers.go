package admin

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// ListProviders lists the providers that pay a tenant's payees, with their states.
func (s *Server) ListProviders(ctx context.Context, r *payoutsv1.ListProvidersRequest) (*payoutsv1.ListProvidersResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	states, err := s.Connectors.List(ctx, s.Pool, t.ID)
	if err != nil {
		return nil, err
	}
	out := &payoutsv1.ListProvidersResponse{}
	for _, name := range slices.Sorted(maps.Keys(t.Providers)) {
		c, ok := s.Float.Connectors.Get(t.ID, name)
		if !ok {
			continue // it pays nobody
		}
		st, ok := states[name]
		if !ok {
			st = provider.Status{Connector: c.Connector, State: provider.Open}
		}
		out.Items = append(out.Items, providerOf(st, s.Clock.Now()))
	}
	return out, nil
}

func providerOf(st provider.Status, now time.Time) *payoutsv1.Provider {
	m := &payoutsv1.Provider{Tenant: st.Tenant, Name: st.Provider, Kind: st.Kind, State: st.State}
	if st.Reason != (provider.Reason{}) {
		m.Reason = &eventsv1.Reason{Class: st.Reason.Class, Scope: st.Reason.Scope, Code: st.Reason.Code, ProviderCode: st.Reason.ProviderCode}
	}
	if !st.ChangedAt.IsZero() {
		m.ChangedAt = timestamppb.New(st.ChangedAt)
	}
	if st.RestUntil.After(now) {
		m.RestsUntil, m.RestCode = timestamppb.New(st.RestUntil), st.RestCode
	}
	return m
}
