package admin_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

var orange = provider.Connector{Tenant: payoutstest.Tenant, Provider: "orange", Kind: "orange_omr"}

// known gives the connector a balance.
func known(t *testing.T, e *payoutstest.Env, s *admin.Server, minor int64) {
	t.Helper()
	asked, at, _, err := s.Connectors.Ask(t.Context(), e.Pool, orange, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := provider.Answer{Asked: asked, At: at, Balance: money.Amount{Minor: minor, Currency: "XOF"}}
	if _, err := s.Connectors.Answered(t.Context(), e.Pool, orange, a); err != nil {
		t.Fatal(err)
	}
}

// A top-up is counted in what may be sent once, however often and by how many at once it is recorded.
func TestATopUpCountsOnce(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	s := server(e)
	known(t, e, s, 100)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			_, err := s.TopUpFloat(e.Ctx(), &payoutsv1.TopUpFloatRequest{
				Tenant: payoutstest.Tenant, Provider: "orange", AmountMinor: 1_000, Currency: "XOF", Reference: "BANK-1",
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	st, err := s.Connectors.Get(t.Context(), e.Pool, orange)
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Funds.Left(); got != 1_100 {
		t.Errorf("%d may be sent, want 1,100", got)
	}
	if got := e.Balances()["float:orange"]; got != 1_000 {
		t.Errorf("%d are booked", got)
	}
}

// The list shows each provider that pays somebody: balance, books, need; nothing where the provider tells nothing.
func TestListFloats(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Tenants.Tenants[0].Schedules = []config.Schedule{{Name: "daily", Job: "payouts/daily", Cron: "59 23 * * *"}}
	e.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
	e.Tenants.Tenants[0].Providers["cards"] = config.Provider{Name: "cards", Kind: "cielo"}
	s := server(e)
	set := &connector.Set{}
	set.Add(&connector.Connector{Connector: orange})
	set.Add(&connector.Connector{Connector: provider.Connector{Tenant: payoutstest.Tenant, Provider: "wave", Kind: "wave"}})
	s.Float = float.New(float.Deps{Pool: e.Pool, Clock: e.Clock, States: s.Connectors, Connectors: set, Tenants: e.Tenants})
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	known(t, e, s, 5_000)
	if _, err := s.TopUpFloat(e.Ctx(), &payoutsv1.TopUpFloatRequest{Tenant: payoutstest.Tenant, Provider: "orange", AmountMinor: 700, Currency: "XOF", Reference: "B"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.ListFloats(e.Ctx(), &payoutsv1.ListFloatsRequest{Tenant: payoutstest.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	xof := func(minor int64) *eventsv1.Money { return &eventsv1.Money{Minor: minor, Currency: "XOF"} }
	run := timestamppb.New(payoutstest.At("2025-01-25T23:59:00Z"))
	want := &payoutsv1.ListFloatsResponse{Items: []*payoutsv1.Float{
		{
			Tenant: payoutstest.Tenant, Provider: "orange", State: "ok", Balance: xof(5_000), ReadAt: timestamppb.New(e.Clock.Now().Truncate(time.Microsecond)),
			Available: xof(5_700), InFlight: xof(0), Booked: xof(700), Difference: xof(4_300), NextRun: run, Needed: xof(16_000), Waiting: xof(0),
			Owed: xof(8_000), Expected: xof(8_000), Shortfall: xof(10_300), // yesterday is all that is known of evenings
		},
		{
			Tenant: payoutstest.Tenant, Provider: "wave", State: "ok", InFlight: xof(0), Booked: xof(0), NextRun: run, Needed: xof(0), Waiting: xof(0),
			Owed: xof(0), Expected: xof(0),
		},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("floats (-want +got):\n%s", diff)
	}
}
