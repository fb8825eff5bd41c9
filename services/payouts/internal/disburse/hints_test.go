package disburse_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// refusing pays, and says that it refused: what a provider does that contradicts itself.
func refusing(ctx context.Context, t provider.Transfer, real provider.Submitter) provider.Result {
	real.Submit(ctx, t)
	return provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "try_later"}
}

func moved(e *sending.Env) (n int) {
	for _, entry := range e.Book() {
		n += entry.Moved
	}
	return n
}

// Promise 1. A webhook speaks of an attempt that was refused, and the provider's lookup lags behind its own webhook: one
// empty answer, or any number of them before the quiet time is over, does not free the payout for its next attempt.
func TestAnEarlyEmptyLookupDoesNotClearAWebhooksWord(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Config.QuietTime = 5 * time.Minute
	var lagging atomic.Bool
	lagging.Store(true)
	s := e.Sender(sending.Hooks{Submit: refusing, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if lagging.Load() {
			return provider.Found{}, nil
		}
		return real.Lookup(ctx, tr)
	}})
	e.Send(s, 1)
	e.Hint(s)
	for range 4 { // its retry is due after one minute
		e.Pass(s)
		e.Clock.Advance(time.Minute)
		e.Sweep(s)
	}
	if n := moved(e); n != 1 {
		t.Fatalf("money moved %d times", n)
	}
	lagging.Store(false)
	for range 4 {
		e.Clock.Advance(time.Minute)
		e.Pass(s)
		e.Sweep(s)
	}
	if n := moved(e); n != 1 {
		t.Errorf("money moved %d times", n)
	}
	if n := e.Count("SELECT count(*) FROM recon_findings WHERE code = 'paid_after_closed'"); n != 1 {
		t.Errorf("%d findings that the provider paid what it had refused", n)
	}
}

// A webhook about what was refused, and the provider does not know it, now and later: then the next attempt goes.
func TestAbsenceThatIsProvenEndsAWebhooksWord(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var sends atomic.Int64
	s := e.Sender(sending.Hooks{
		Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
			if sends.Add(1) == 1 {
				return provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "try_later"}
			}
			return real.Submit(ctx, tr)
		},
		Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
			return provider.Found{}, nil
		},
	})
	e.Send(s, 1)
	e.Hint(s)
	for range 4 {
		e.Clock.Advance(time.Minute)
		e.Pass(s)
		e.Sweep(s)
	}
	if got := e.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	e.Check()
}

// Answer, callback, and a lookup that lags behind both: nothing is wrong, and nobody is told that it were. If the provider
// still does not know it later, people hear of it.
func TestALaggingLookupAfterASuccessIsNoMismatch(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	s := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{}, nil
	}})
	e.Send(s, 1)
	e.Hint(s)
	e.Pass(s)
	if n := e.Count("SELECT count(*) FROM recon_findings"); n != 0 {
		t.Errorf("%d findings a moment after the payment: %v", n, e.EventTypes("recon"))
	}
	for range 3 {
		e.Clock.Advance(2 * time.Minute)
		e.Pass(s)
	}
	if n := e.Count("SELECT count(*) FROM recon_findings WHERE code = 'absent_after_success'"); n != 1 {
		t.Errorf("%d findings of a transfer that the provider never knew", n)
	}
}

// An approved payout of whose closed attempt a webhook has spoken is not claimed before the provider was asked.
func TestAPayoutThatIsAskedAboutIsNotClaimed(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var answers atomic.Bool
	s := e.Sender(sending.Hooks{Submit: refusing, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if !answers.Load() {
			return provider.Found{}, errors.New("no answer")
		}
		return real.Lookup(ctx, tr)
	}})
	run := e.Send(s, 1)
	e.Clock.Advance(61 * time.Second)
	e.SweepOnly()
	if got := e.One(); got != "approved/retry" {
		t.Fatalf("got %s", got)
	}
	e.Hint(s)
	e.Dispatch(s, run)
	e.Pass(s)
	e.Clock.Advance(time.Minute)
	e.Dispatch(s, run)
	if n := e.Count("SELECT count(*) FROM attempts"); n != 1 {
		t.Fatalf("%d attempts: a payout was sent again while nobody knew what the webhook meant", n)
	}
	answers.Store(true)
	e.Clock.Advance(time.Hour)
	e.Pass(s)
	e.Sweep(s)
	if got := e.One(); got != "held/contradicted" || moved(e) != 1 {
		t.Errorf("%s, money moved %d times", got, moved(e))
	}
}

// The provider answers no question about an attempt that a webhook spoke of: its payout waits, and neither the run nor the next
// evening's waits for it. It goes on by itself when the provider answers.
func TestALookupThatIsNeverAnsweredKeepsNoRunOpen(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var sends, answers atomic.Int64
	s := e.Sender(sending.Hooks{
		Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
			if sends.Add(1) == 1 {
				return provider.Result{Class: provider.NotSent, Code: "busy", RetryAfter: time.Minute}
			}
			return real.Submit(ctx, tr)
		},
		Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
			if answers.Load() == 0 {
				return provider.Found{}, errors.New("no answer")
			}
			return provider.Found{}, nil
		},
	})
	run := e.Send(s, 1)
	e.Hint(s)
	e.SQL("UPDATE runs SET state = 'running', finished_at = NULL") // as if the answer had come while others were sent
	for range 3 {
		e.Clock.Advance(time.Hour)
		e.Pass(s)
		e.Sweep(s)
	}
	if got := e.One(); got != "approved/busy" {
		t.Fatalf("got %s", got)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run is still running, and tomorrow's waits behind it")
	}
	answers.Store(1)
	for range 4 {
		e.Clock.Advance(25 * time.Hour)
		e.Pass(s)
		e.Sweep(s)
	}
	if got := e.One(); got != "succeeded" {
		t.Errorf("the provider has answered, and it is %s", got)
	}
	e.CheckItems()
}
