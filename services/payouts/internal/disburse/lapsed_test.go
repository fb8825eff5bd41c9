package disburse_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// forgetful is an evening of one payout through Wave that was paid or not, whose answer was lost, and that Wave denied while its reading side
// was blind. Wave forgets keys after a day: what comes then under one it has had before is paid again.
type forgetful struct {
	*sending.Env
	t       *testing.T
	sender  *sending.Sender
	blind   bool
	silent  bool // lookups are not answered
	sends   int
	asked   int // lookups
	arrived time.Time
}

func newForgetful(t *testing.T, arrives bool) *forgetful {
	t.Helper()
	f := &forgetful{Env: waveEnv(t, ""), t: t, blind: true}
	f.sender = f.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		if f.sends++; f.sends > 1 {
			if !f.arrived.IsZero() && f.Clock.Now().Sub(f.arrived) > 24*time.Hour {
				tr.Reference = uuid.NewString()
			}
			return real.Submit(ctx, tr)
		}
		if arrives {
			real.Submit(ctx, tr)
			f.arrived = f.Clock.Now()
		}
		return provider.Result{Class: provider.Ambiguous, Code: "timeout"}
	}, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if f.asked++; f.silent {
			return provider.Found{}, errors.New("no answer")
		}
		if f.blind {
			return provider.Found{}, nil
		}
		return real.Lookup(ctx, tr)
	}})
	f.Send(f.sender, 1)
	return f
}

// minutes go by, with everything that happens by itself.
func (f *forgetful) minutes(n int) {
	for range n {
		f.Clock.Advance(time.Minute)
		f.Pass(f.sender)
		f.SweepMoving(f.sender)
	}
}

// release lets the payout go that a person had held.
func (f *forgetful) release() {
	people := &resolve.Resolver{Store: f.Store, Outcomes: f.sender.Outcomes, Clock: f.Clock}
	f.InTx(func(tx pgx.Tx) error {
		var id uuid.UUID
		if err := tx.QueryRow(f.Ctx(), "SELECT payout_id FROM payouts").Scan(&id); err != nil {
			return err
		}
		return people.Release(f.Ctx(), tx, "lebenis", id, "looked into it")
	})
}

// hold puts the payout aside for a cause, as what it waits for does.
func (f *forgetful) hold() {
	f.InTx(func(tx pgx.Tx) error {
		var id uuid.UUID
		if err := tx.QueryRow(f.Ctx(), "SELECT payout_id FROM payouts").Scan(&id); err != nil {
			return err
		}
		_, err := f.Store.Apply(f.Ctx(), tx, []store.Change{{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodeByPerson)}})
		return err
	})
}

// Trap 6. What was denied by a provider whose reading side was blind, and could not go for three days, whatever kept it, is not sent on the
// word of a lookup of then: the provider is asked anew, which has it by now, and it is paid once.
func TestADenialIsNotBelievedForDays(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]struct{ shut, open func(*forgetful) }{
		"a paused batch": {
			func(f *forgetful) { f.SQL("UPDATE batches SET control = 'paused'") },
			func(f *forgetful) { f.SQL("UPDATE batches SET control = 'open'") },
		},
		"a tenant's stop": {func(f *forgetful) { f.StopTenant(true) }, func(f *forgetful) { f.StopTenant(false) }},
		"a person":        {func(f *forgetful) { f.SQL("UPDATE batches SET control = 'paused'"); f.minutes(12); f.hold() }, func(f *forgetful) { f.SQL("UPDATE batches SET control = 'open'"); f.release() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgetful(t, true)
			way.shut(f)
			f.minutes(12)
			if n := f.Count("SELECT count(*) FROM attempts WHERE state = 'not_sent' AND code = 'proven_never_created'"); n != 1 {
				t.Fatalf("not denied: %s", f.One())
			}
			f.blind = false
			asked := f.asked
			f.Clock.Advance(72 * time.Hour)
			way.open(f)
			f.minutes(3)
			if got := f.One(); got != "succeeded" || f.sends != 1 || f.asked == asked {
				t.Errorf("%s after %d sends and %d lookups since the denial", got, f.sends, f.asked-asked)
			}
			if n := moved(f.Env); n != 1 {
				t.Errorf("paid %d times", n)
			}
			f.CheckItems()
			f.CheckEvents()
			f.Check()
		})
	}
}

// The hour of a denial does not reach beyond review_after: what was denied shortly before, and let go shortly after, would go under a key that its
// provider has forgotten. The same where the denial itself comes later, of what nobody had asked about: its process died, and all others with it.
func TestADenialDoesNotReachBeyondReviewAfter(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]time.Duration{"denied before": 23*time.Hour + 26*time.Minute, "denied after": 24*time.Hour + 5*time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgetful(t, true)
			f.silent = true
			f.SQL("UPDATE batches SET control = 'paused'")
			f.Clock.Advance(outage)
			f.silent = false
			f.Hint(f.sender)
			f.minutes(5)
			if got := f.One(); (got == "manual_review/review_after") != (outage > 24*time.Hour) {
				t.Fatalf("it is %s %s after its send", got, outage)
			}
			if outage < 24*time.Hour {
				f.Clock.Advance(40 * time.Minute)
			}
			f.SQL("UPDATE batches SET control = 'open'")
			f.SweepMoving(f.sender)
			f.minutes(5)
			if got := f.One(); got != "manual_review/review_after" || f.sends != 1 {
				t.Errorf("%s after %d sends", got, f.sends)
			}
			if n := moved(f.Env); n != 1 {
				t.Errorf("paid %d times", n)
			}
			f.Check()
		})
	}
}

// That people are asked later does not make a provider remember: with review_after at three days, what was denied within the day and let go after
// it, or denied after it, is asked about and then for people, and does not go under a key that was forgotten.
func TestALongReviewAfterMakesNoProviderRemember(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]time.Duration{"denied within the day": 23*time.Hour + 26*time.Minute, "denied after it": 30 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgetful(t, true)
			f.sender.Connector.Policy.ReviewAfter = 72 * time.Hour
			f.silent = true
			f.SQL("UPDATE batches SET control = 'paused'")
			f.Clock.Advance(outage)
			f.silent = false
			f.Hint(f.sender)
			f.minutes(5)
			f.Clock.Advance(40 * time.Minute)
			f.SQL("UPDATE batches SET control = 'open'")
			f.SweepMoving(f.sender)
			f.minutes(5)
			if got := f.One(); got != "manual_review/not_resendable" || f.sends != 1 || moved(f.Env) != 1 {
				t.Errorf("%s after %d sends, paid %d times", got, f.sends, moved(f.Env))
			}
			f.Check()
		})
	}
}

// It never arrived. Within the hour it goes again as it is; later only when the provider has denied it once more; and after review_after, when
// a provider may have forgotten the key, people decide.
func TestWhatWasDeniedGoesAgainWhenItIsDeniedAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits time.Duration
		asks  int // at least, before it goes
		want  string
		sends int
	}{
		"within the hour":           {attempt.ResendWithin - 12*time.Minute, 0, "succeeded", 2},
		"later":                     {attempt.ResendWithin + time.Minute, 2, "succeeded", 2},
		"when review_after is over": {72 * time.Hour, 2, "manual_review/review_after", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgetful(t, false)
			f.SQL("UPDATE batches SET control = 'paused'")
			f.minutes(12)
			asked := f.asked
			f.blind = false
			f.Clock.Advance(c.waits)
			f.SQL("UPDATE batches SET control = 'open'")
			f.SweepMoving(f.sender)
			if c.asks > 0 {
				if got := f.One(); got != "unknown/denial_lapsed" {
					t.Errorf("it is %s", got)
				}
				f.Check()
			}
			f.minutes(4)
			if got := f.One(); got != c.want || f.sends != c.sends {
				t.Errorf("%s after %d sends, want %s after %d", got, f.sends, c.want, c.sends)
			}
			if got := f.asked - asked; got < c.asks || c.asks == 0 && got > 0 {
				t.Errorf("%d lookups since the denial, want %d", got, c.asks)
			}
			f.Check()
		})
	}
}

// A webhook speaks of what was denied, and the provider says that it has forgotten: that is no denial, days later or a moment later. What was
// denied before the webhook does not let it go either.
func TestForgottenIsNoDenial(t *testing.T) {
	t.Parallel()
	for name, waits := range map[string]time.Duration{"days later": 72 * time.Hour, "within the hour": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgetful(t, true)
			f.SQL("UPDATE batches SET control = 'paused'")
			f.minutes(12)
			f.Clock.Advance(waits)
			f.Hint(f.sender)
			forgets := f.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
				return provider.Found{}, provider.ErrForgotten
			}})
			f.Pass(forgets)
			if n := f.Count("SELECT count(*) FROM attempts WHERE next_lookup_at IS NOT NULL"); n != 0 {
				t.Fatal("it is asked about for ever")
			}
			f.SQL("UPDATE batches SET control = 'open'")
			f.SweepMoving(f.sender)
			if got := f.One(); got != "unknown/denial_lapsed" || f.sends != 1 || moved(f.Env) != 1 {
				t.Errorf("%s after %d sends, paid %d times", got, f.sends, moved(f.Env))
			}
		})
	}
}
