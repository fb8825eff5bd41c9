package float_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// A provider that takes what it has accepted from the balance only when it pays it out is sent no more than that covers.
func TestWhatIsAcceptedIsNotPaidYet(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender(sending.Hooks{Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
		return provider.Result{Class: provider.Accepted, Code: "pending"}
	}})
	s.Connector.Policy.QuietTime = 5 * time.Minute
	tells(s, 10*net)
	e.Moving(func() { e.Send(s, 40) })
	want(t, e, map[string]int64{"processing": 10, "held": 30})
	told(t, e, "float.insufficient")
	read(t, e, s)
	if n := e.Count("SELECT float_spent FROM provider_states"); n != 10*net {
		t.Errorf("%d of what is accepted counts against the balance", n)
	}
}

// A payout that the provider has accepted, and then refuses for want of float, waits for float before its next attempt, as all others do;
// people are told.
func TestAcceptedAndThenRefusedForWantOfFloat(t *testing.T) {
	t.Parallel()
	e := wave(t)
	var empty atomic.Bool
	s := e.Sender(sending.Hooks{
		Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
			if empty.Load() {
				return provider.Result{Class: provider.Accepted, Code: "pending"}
			}
			return real.Submit(ctx, tr)
		},
		Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
			if empty.Load() {
				return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeFloat, Code: provider.CodeFloat}}, nil
			}
			return real.Lookup(ctx, tr)
		},
	})
	e.Rules().FloatCheck = 0 // nobody knows the balance
	empty.Store(true)
	e.Moving(func() { e.Send(s, 2) })
	want(t, e, map[string]int64{"processing": 2})
	e.Clock.Advance(time.Minute)
	e.Pass(s)
	want(t, e, map[string]int64{"failed": 2})
	told(t, e, "float.insufficient")
	e.Clock.Advance(time.Minute)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"held": 2})
	e.Clock.Advance(10 * time.Minute)
	empty.Store(false)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"succeeded": 2})
	told(t, e, "float.insufficient", "float.restored")
	e.Check()
}

// What is found out long after the send says nothing of the balance now.
func TestALateRefusalForWantOfFloatHoldsNothing(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender(sending.Hooks{
		Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
			return provider.Result{Class: provider.Accepted, Code: "pending"}
		},
		Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
			return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeFloat, Code: provider.CodeFloat}}, nil
		},
	})
	e.Moving(func() { e.Send(s, 1) })
	e.Clock.Advance(time.Hour)
	e.Pass(s)
	want(t, e, map[string]int64{"failed": 1})
	told(t, e)
}
