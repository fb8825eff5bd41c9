package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
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

// ResumeProvider opens a provider that is stopped, and leaves the tenant's others as they are: one that waits for a right PIN must not try a wrong one
// because another one was mended.
func (s *Server) ResumeProvider(ctx context.Context, r *payoutsv1.ResumeProviderRequest) (*payoutsv1.Provider, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	c, ok := s.Float.Connectors.Get(t.ID, r.GetProvider())
	if !ok {
		return nil, rpc.NotFound("provider", r.GetProvider())
	}
	m := mutation.Mutation{Tenant: t.ID, Action: "ResumeProvider", Target: r.GetProvider(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	out := &payoutsv1.Provider{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		st, err := s.Connectors.Get(ctx, tx, c.Connector)
		if err != nil {
			return nil, err
		}
		if st.State != provider.Stopped {
			return nil, rpc.Refused("not_stopped", "agogo providers list --tenant "+t.ID+" shows it: what is degraded or rests goes on by itself",
				"provider %s of %s is %s", c.Provider, t.ID, st.State)
		}
		if st, err = s.Connectors.Resume(ctx, tx, c.Connector, provider.Reason{Code: payout.CodeByPerson}); err != nil {
			return nil, fmt.Errorf("open provider %s of %s: %w", c.Provider, t.ID, err)
		}
		return providerOf(st, s.Clock.Now()), s.wake(ctx, tx)
	})
	return out, err
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
