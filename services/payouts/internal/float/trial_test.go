package float_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

func sonatel(t *testing.T) (*sending.Env, *sending.Sender) {
	t.Helper()
	e := sending.NewOf(t, sending.Sonatel(), sending.SonatelAccount)
	e.Rules().FloatCheck = 15 * time.Minute
	return e, e.Sender()
}

// Checks that nobody answers, however many in a day without payments, do not stop a connector whose PIN locks out.
func TestChecksStopNoConnector(t *testing.T) {
	t.Parallel()
	e, s := sonatel(t)
	down := false
	s.Connector.Balance = &provider.GuardedBalance{
		Reader: stub(func(context.Context) (money.Amount, error) {
			if down {
				return money.Amount{}, &provider.Failure{Result: provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "http_503"}}
			}
			return money.Amount{Minor: 10_000_000, Currency: "XOF"}, nil
		}),
		Pool: e.Pool, States: e.States, Connector: s.Connector.Connector, Proof: s.Connector.Proof, Lease: time.Minute,
	}
	for quarter := range 24 {
		down = quarter >= 4
		for range 15 * 12 {
			e.Clock.Advance(5 * time.Second)
			s.Float.Check(t.Context())
		}
	}
	if st, err := e.States.Get(t.Context(), e.Pool, s.Connector.Connector); err != nil || st.State != provider.Open {
		t.Fatalf("checks have stopped it: %+v, %v", st, err)
	}
	down = false
	e.Moving(func() { e.Send(s, 3) })
	want(t, e, map[string]int64{"succeeded": 3})
}

// A claim that may not use the PIN takes nothing from the balance; one that the balance does not cover uses no try of the PIN.
func TestATrialAndABalanceAreTakenTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		balance, losses int64
	}{"the PIN may not be used": {10 * net, 2}, "the balance is short": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, s := sonatel(t)
			run := e.Plan(2)
			tells(s, c.balance)
			read(t, e, s)
			e.SQL("UPDATE provider_states SET trial_losses = $1", c.losses)
			e.Moving(func() { e.Dispatch(s, run) })
			want(t, e, map[string]int64{"held": 2})
			if n := e.Count("SELECT float_spent + float_unsure FROM provider_states"); n != 0 {
				t.Errorf("%d were taken from the balance, and nothing was sent", n)
			}
			if n := e.Count("SELECT trial_losses FROM provider_states WHERE trial_owner = ''"); n != c.losses {
				t.Errorf("%d tries of the PIN are lost, want %d", n, c.losses)
			}
		})
	}
}

// A balance is asked for within this replica's share of the provider's rate, and not at all when that is used up for as long as it is waited for.
func TestABalanceTakesItsShareOfTheRate(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender()
	asked := 0
	s.Connector.Balance = stub(func(context.Context) (money.Amount, error) {
		asked++
		return money.Amount{Minor: net, Currency: "XOF"}, nil
	})
	s.Connector.Throttle = provider.NewThrottle(1, 1)
	s.Connector.Throttle.Share(60) // one call a minute
	for n := range 2 {
		e.Clock.Advance(time.Minute)
		if _, err := s.Float.Read(t.Context(), s.Connector, time.Second); (err == nil) != (n == 0) || asked != 1 {
			t.Errorf("question %d: asked %d times, %v", n+1, asked, err)
		}
	}
}

// What is known of a float can be scraped, in the currency's unit; what is not known any more is absent.
func TestFloatsAreMeasured(t *testing.T) {
	t.Parallel()
	e := wave(t)
	evenings(t, e, "2025-02-10T12:00:00Z")
	s := e.Sender()
	tells(s, 10_000)
	d := s.Float.Deps
	d.Registry = prometheus.NewRegistry()
	k := float.New(d)
	scraped := func(want map[string]float64) {
		t.Helper()
		got := map[string]float64{}
		all, err := d.Registry.(*prometheus.Registry).Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			for _, m := range f.GetMetric() {
				of := f.GetName()
				for _, l := range m.GetLabel() {
					of += " " + l.GetValue()
				}
				got[of] = m.GetGauge().GetValue()
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	}
	for range 2 {
		k.Check(t.Context())
		e.Clock.Advance(5 * time.Second)
	}
	f := forecast(t, e, s)
	need := float64(f.Needs["wave"].Total())
	scraped(map[string]float64{
		"agogo_payouts_float_available XOF wave lebenis": 10_000, "agogo_payouts_float_balance XOF wave lebenis": 10_000, "agogo_payouts_float_needed XOF wave lebenis": need,
	})
	s.Connector.Balance = stub(func(context.Context) (money.Amount, error) { return money.Amount{}, errors.New("it does not answer") })
	e.Clock.Advance(2 * time.Hour)
	k.Check(t.Context())
	scraped(map[string]float64{})
}
