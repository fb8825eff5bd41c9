package dispatch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
)

// narrow makes a post with one slot, so that its claims come one after the other.
func narrow(t *testing.T, parcels int) *post {
	t.Helper()
	p := newPost(t)
	c := p.serve("dhl")
	c.Throttle = provider.NewThrottle(0, 1)
	p.parcels(parcels, 0, "dhl")
	return p
}

func (p *post) slots() int {
	c, _ := p.connectors.Get(tenant, "dhl")
	return c.Throttle.InUse()
}

// A slot is taken again in the transaction that records what it was used for: seen from outside, the row before is still away.
func TestASlotIsTakenAgainWithItsOutcome(t *testing.T) {
	t.Parallel()
	p := narrow(t, 6)
	var claims, together atomic.Int64
	p.fail = func(step string) error {
		if step == "begun" {
			claims.Add(1)
			together.Add(int64(p.in("away")))
		}
		return nil
	}
	p.dispatch()
	if p.sent() != 6 || p.in("succeeded") != 6 || claims.Load() != 6 || together.Load() != 5 {
		t.Errorf("%d calls, %d succeeded; %d claims, %d of them with an outcome", p.sent(), p.in("succeeded"), claims.Load(), together.Load())
	}
	if p.slots() != 0 {
		t.Errorf("%d slots were not given back", p.slots())
	}
}

// What cannot be claimed does not keep an outcome from being recorded, whether the transaction was refused or lost.
func TestAnOutcomeIsRecordedWithoutAClaim(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(p *post) error{
		"refused": func(*post) error { return errors.New("the books do not take it") },
		"commit lost": func(p *post) error {
			p.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'parcels'::regclass AND mode = 'RowExclusiveLock'")
			for p.count("SELECT count(*) FROM pg_locks WHERE relation = 'parcels'::regclass AND mode = 'RowExclusiveLock'") > 0 {
				<-time.After(time.Millisecond)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := narrow(t, 6)
			var claims atomic.Int64
			p.fail = func(step string) error {
				if step == "begun" && claims.Add(1) == 2 {
					return fail(p)
				}
				return nil
			}
			p.dispatch()
			if p.sent() != 6 || p.in("succeeded") != 6 || p.slots() != 0 {
				t.Errorf("%d calls, %d succeeded, %d slots were not given back", p.sent(), p.in("succeeded"), p.slots())
			}
			if n := p.count("SELECT count(*) FROM attempts WHERE state = 'succeeded' AND sends = 1"); n != 6 {
				t.Errorf("%d attempts succeeded with their first send", n)
			}
		})
	}
}

// An answer that leaves something to be decided takes no other row with it: the next claim looks at what is in the way first.
func TestNothingFollowsADoubtfulAnswer(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]provider.Result{
		"stop":      {Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "wrong_pin", Stop: true},
		"slow down": {Class: provider.NotSent, Code: "busy", SlowDown: true, RetryAfter: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := narrow(t, 3)
			var together atomic.Int64
			p.fail = func(step string) error {
				if step == "begun" {
					together.Add(int64(p.in("away")))
				}
				return nil
			}
			p.answer = func(context.Context, provider.Transfer) provider.Result { return result }
			p.dispatch()
			if p.sent() != 1 || together.Load() != 0 || p.slots() != 0 {
				t.Errorf("%d calls, %d claims with an outcome", p.sent(), together.Load())
			}
		})
	}
}

// A row comes back with the word to slow down after the next claim has looked at the connector and before it takes rows.
func TestWhatToldToSlowDownIsNotSentAtOnce(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(1, 0, "dhl")
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		return provider.Result{Class: provider.NotSent, Code: "busy", SlowDown: true, RetryAfter: time.Hour}
	}
	p.saw = func(step string, _ pgx.Tx) {
		if step != "claiming" || p.count("SELECT count(*) FROM attempts WHERE state = 'submitting'") == 0 {
			return
		}
		for p.count("SELECT count(*) FROM attempts WHERE state = 'not_sent'") == 0 && p.sent() < 2 {
			<-time.After(time.Millisecond)
		}
	}
	p.dispatch()
	if p.sent() != 1 || p.slots() != 0 {
		t.Errorf("%d calls, %d slots were not given back", p.sent(), p.slots())
	}
}

// A row rests in its lane, another one's answer stops the connector, and a person opens it within that rest: the rows go then, and are not
// claimed and called off for ever.
func TestALaneGoesOnWhenAPersonOpensItsConnector(t *testing.T) {
	t.Parallel()
	p := narrow(t, 5)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var claims, calls atomic.Int64
	p.fail = func(step string) error {
		if step == "begun" && claims.Add(1) > 20 {
			cancel()
		}
		return nil
	}
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		switch calls.Add(1) {
		case 1:
			return provider.Result{Class: provider.NotSent, Code: "dns_failed", RetryAfter: 10 * time.Second}
		case 2:
			return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "wrong_pin", Stop: true}
		default:
			return provider.Result{Class: provider.Succeeded}
		}
	}
	done := make(chan error, 1)
	go func() { done <- p.dispatcher.Dispatch(ctx, p.run, 0) }()
	if err := p.clock.BlockUntil(ctx, 1); err != nil {
		t.Fatal(err)
	}
	p.resume()
	p.clock.Advance(11 * time.Second)
	if err := <-done; err != nil || p.in("succeeded") != 4 || claims.Load() != 6 || p.slots() != 0 {
		t.Errorf("%d succeeded after %d claims, %d slots were not given back (%v)", p.in("succeeded"), claims.Load(), p.slots(), err)
	}
}
