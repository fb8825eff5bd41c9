package admin_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

var (
	wave = provider.Connector{Tenant: payoutstest.Tenant, Provider: "wave", Kind: "wave"}
	mtn  = provider.Connector{Tenant: payoutstest.Tenant, Provider: "mtn", Kind: "mtn_momo"}
)

// paying serves a tenant that pays through three providers, and charges cards through a fourth.
func paying(e *payoutstest.Env) *admin.Server {
	s, set := server(e), &connector.Set{}
	for _, c := range []provider.Connector{orange, wave, mtn} {
		e.Tenants.Tenants[0].Providers[c.Provider] = config.Provider{Name: c.Provider, Kind: c.Kind}
		set.Add(&connector.Connector{Connector: c})
	}
	e.Tenants.Tenants[0].Providers["cards"] = config.Provider{Name: "cards", Kind: "cielo"}
	s.Float = float.New(float.Deps{Pool: e.Pool, Clock: e.Clock, States: s.Connectors, Connectors: set, Tenants: e.Tenants})
	return s
}

func stop(e *payoutstest.Env, s *admin.Server, c provider.Connector, code string) {
	e.InTx(func(tx pgx.Tx) error {
		_, err := s.Connectors.Stop(e.Ctx(), tx, c, provider.Reason{Class: "REJECTED_RETRYABLE", Scope: "provider", Code: code, ProviderCode: "http 403"})
		return err
	})
}

// Each provider that pays somebody is shown with its state: why nothing goes through it, and until when it rests.
func TestListProviders(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	s := paying(e)
	stop(e, s, orange, "not_subscribed")
	now := e.Clock.Now()
	rest := provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: "rate_limited", RetryAfter: time.Hour}
	e.InTx(func(tx pgx.Tx) error {
		_, err := s.Connectors.Observe(e.Ctx(), tx, wave, []provider.Result{rest})
		return err
	})
	got, err := s.ListProviders(e.Ctx(), &payoutsv1.ListProvidersRequest{Tenant: payoutstest.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	at := timestamppb.New(now.Truncate(time.Microsecond))
	want := &payoutsv1.ListProvidersResponse{Items: []*payoutsv1.Provider{
		{Tenant: payoutstest.Tenant, Name: "mtn", Kind: "mtn_momo", State: "open"},
		{
			Tenant: payoutstest.Tenant, Name: "orange", Kind: "orange_omr", State: "stopped", ChangedAt: at,
			Reason: &eventsv1.Reason{Class: "REJECTED_RETRYABLE", Scope: "provider", Code: "not_subscribed", ProviderCode: "http 403"},
		},
		{Tenant: payoutstest.Tenant, Name: "wave", Kind: "wave", State: "open", ChangedAt: at, RestsUntil: timestamppb.New(now.Add(time.Hour)), RestCode: "rate_limited"},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	e.Clock.Advance(2 * time.Hour)
	if got, err = s.ListProviders(e.Ctx(), &payoutsv1.ListProvidersRequest{Tenant: payoutstest.Tenant}); err != nil || got.GetItems()[2].GetRestsUntil() != nil {
		t.Errorf("its rest is over: %v, %v", got, err)
	}
}

// What a person opens is the one that was mended: another one, which waits for a right PIN, does not try the wrong one once more.
func TestResumeProvider(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	s := paying(e)
	resume := func(name string) (*payoutsv1.Provider, error) {
		return s.ResumeProvider(e.Ctx(), &payoutsv1.ResumeProviderRequest{Tenant: payoutstest.Tenant, Provider: name, Reason: "mended", RequestId: "of " + name})
	}
	stop(e, s, orange, "not_subscribed")
	stop(e, s, mtn, "pin_wrong")
	for range 2 { // the second is a repetition
		if p, err := resume("orange"); err != nil || p.GetState() != "open" || p.GetReason().GetCode() != "by_person" {
			t.Errorf("resumed: %v, %v", p, err)
		}
	}
	for name, want := range map[string]codes.Code{"wave": codes.FailedPrecondition, "cards": codes.NotFound, "stripe": codes.NotFound} {
		if p, err := resume(name); status.Code(err) != want {
			t.Errorf("%s: %v, %v; want %s", name, p, err, want)
		}
	}
	list, err := s.ListProviders(e.Ctx(), &payoutsv1.ListProvidersRequest{Tenant: payoutstest.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range list.GetItems() {
		got[p.GetName()] = p.GetState()
	}
	if diff := cmp.Diff(map[string]string{"orange": "open", "wave": "open", "mtn": "stopped"}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if n := e.Count("SELECT count(*) FROM audit_entries WHERE action = 'ResumeProvider'"); n != 1 {
		t.Errorf("%d entries in the trail, want 1", n)
	}
}
