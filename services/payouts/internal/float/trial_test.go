package float_test

import (
	"context"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
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
