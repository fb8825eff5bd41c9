package resting_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/simulator"
)

// moved is how often money moved in the provider's book.
func (s *scene) moved() (n int) {
	s.t.Helper()
	for _, entry := range s.Book() {
		n += entry.Moved
	}
	return n
}

// told wants so many findings that what is closed was paid, with its sum in suspense, and that many payouts contradicted.
func (s *scene) told(findings, contradicted int64) {
	s.t.Helper()
	if n := s.Count("SELECT count(*) FROM recon_findings WHERE code = 'paid_after_closed' AND difference > 0"); n != findings {
		s.t.Errorf("%d findings that it was paid, want %d: %s", n, findings, s.One())
	}
	if n := s.Count("SELECT count(*) FROM payouts WHERE contradicted"); n != contradicted {
		s.t.Errorf("%d payouts are contradicted, want %d", n, contradicted)
	}
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state IN ('asking', 'found')"); n != 0 {
		s.t.Errorf("%d questions are open still", n)
	}
	s.CheckEvents()
	s.CheckItems()
	differ, _, err := ledger.Verify(s.Ctx(), s.Pool, payoutstest.Tenant, 100)
	if err != nil || len(differ) > 0 {
		s.t.Errorf("the books differ: %v, %v", differ, err)
	}
}

// Ended on a proof of the last hour; then its provider's webhook says that it was paid before the restore, and whoever asks is told so. Its payments are not free
// any more, and no later run pays them.
func TestAWebhookAfterTheEndIsFollowed(t *testing.T) {
	t.Parallel()
	for _, state := range where {
		for name, cancelled := range map[string]bool{"by a person": false, "with its run": true} {
			t.Run(state+", ended "+name, func(t *testing.T) {
				t.Parallel()
				blind := &atomic.Bool{}
				blind.Store(true)
				s := rest(t, 1, state, true, sending.Hooks{Lookup: sees(blind)})
				if cancelled {
					s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
				}
				s.asks(4)
				if !cancelled {
					if err := s.end(); err != nil {
						t.Fatal(err)
					}
				}
				if s.free() != 1 {
					t.Fatalf("it did not end: %s", s.One())
				}
				blind.Store(false)
				s.speaks(1)
				s.asks(2)
				s.told(1, 1)
				s.Finish()
				s.Dispatch(s.s, s.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
				s.asks(4)
				if n := s.moved(); n != 1 || s.free() != 0 {
					t.Errorf("money moved %d times for one payment, %d are free", n, s.free())
				}
				s.told(1, 1)
				s.Check(payout.Reference(s.id(), 1))
			})
		}
	}
}

// The same when its payments went with another payout before the webhook came: that cannot be undone, and people are told.
func TestAWebhookAfterTheEndWhosePaymentsWerePaidAgain(t *testing.T) {
	t.Parallel()
	blind := &atomic.Bool{}
	blind.Store(true)
	s := rest(t, 1, "held", true, sending.Hooks{Lookup: sees(blind)})
	s.asks(3)
	id := s.id()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.Finish()
	s.Dispatch(s.s, s.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
	s.asks(4)
	s.Dispatch(s.s, s.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
	if n := s.moved(); n != 2 {
		t.Fatalf("money moved %d times", n)
	}
	blind.Store(false)
	s.speaksOf(payout.Reference(id, 1))
	s.asks(2)
	s.told(1, 1)
}

// What its provider contradicts is never sent, so nothing takes it over from where it rests: what was found of it is in the books all the same.
func TestAWebhookOfWhatIsContradicted(t *testing.T) {
	t.Parallel()
	blind := &atomic.Bool{}
	blind.Store(true)
	s := rest(t, 1, "held", true, sending.Hooks{Lookup: sees(blind)})
	s.asks(3)
	s.SQL("UPDATE payouts SET contradicted = true")
	blind.Store(false)
	s.speaks(1)
	s.asks(2)
	s.told(1, 1)
}

// Attempt 1 was refused before the restore and attempt 2 paid. The provider's reading side is slow, all of it is proven absent, and attempt 1 goes and pays. Then
// the webhook of attempt 2 comes: money has moved twice, and people are told, also when the provider shows attempt 2 some time later only.
func TestAWebhookOfALostAttemptBesideOneThatPaid(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]bool{"shown at once": false, "shown later": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blind, hidden := &atomic.Bool{}, &atomic.Value{}
			hidden.Store("")
			s := twice(t, simulator.Identical, sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				if tr.Reference == hidden.Load() {
					return provider.Found{}, nil
				}
				return sees(blind)(ctx, tr, real)
			}})
			blind.Store(true)
			s.asks(4)
			s.Dispatch(s.s, s.run)
			blind.Store(false)
			s.asks(1)
			if s.One() != "succeeded" || s.moved() != 2 {
				t.Fatalf("it is %s, money moved %d times", s.One(), s.moved())
			}
			if slow {
				hidden.Store(payout.Reference(s.id(), 2))
			}
			s.speaks(2)
			s.asks(1)
			hidden.Store("")
			s.asks(3)
			s.told(1, 1)
		})
	}
}

// twice is a payout whose first attempt was refused before the restore and whose second was not.
func twice(t *testing.T, first simulator.Fault, hooks sending.Hooks) *scene {
	t.Helper()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Cashin(first, 1)
	lost := e.Sender()
	e.Send(lost, 1)
	for range 4 {
		e.Clock.Advance(10 * time.Minute)
		e.Sweep(lost)
	}
	restore()
	e.NoFaults()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s := &scene{Env: e, t: t, s: e.Sender(hooks)}
	s.run = e.Plan(1)
	return s
}

// What failed for good and turns out to have failed there once more is not contradicted. When people have it tried again, it goes under a reference
// that the provider does not know.
func TestALostAttemptOfWhatFailedForGood(t *testing.T) {
	t.Parallel()
	there := &atomic.Value{} // what the provider shows as failed
	there.Store("")
	e := sending.New(t)
	e.Config.RetryAfter = []time.Duration{}
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s := &scene{Env: e, t: t, s: e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if tr.Reference == there.Load() {
			return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "declined"}}, nil
		}
		return real.Lookup(ctx, tr)
	}})}
	s.run = e.Plan(1)
	e.Cashin(simulator.Failed, 1)
	s.asks(4)
	s.Dispatch(s.s, s.run)
	s.asks(2)
	if s.free() != 1 {
		t.Fatalf("it did not fail for good: %s", s.One())
	}
	e.NoFaults()
	there.Store(payout.Reference(s.id(), 2))
	s.speaks(2)
	s.asks(3)
	s.told(0, 0)
	if n := s.Count("SELECT count(*) FROM attempts WHERE number = 2 AND state = 'failed' AND next_lookup_at IS NULL"); n != 1 {
		t.Error("the lost attempt is not in the tables")
	}
	ctx := auth.WithActor(s.Ctx(), auth.Actor{Name: "user:ada", Role: auth.Approver})
	s.InTx(func(tx pgx.Tx) error {
		return (&resolve.Resolver{Store: s.Store, Outcomes: s.s.Outcomes, Clock: s.Clock}).Retry(ctx, tx, payoutstest.Tenant, s.id(), "again")
	})
	for range 4 {
		s.Dispatch(s.s, s.run)
		s.asks(1)
	}
	if n := s.Count("SELECT max(number) FROM attempts WHERE state = 'succeeded'"); n != 3 || s.moved() != 1 {
		t.Errorf("paid by attempt %d, money moved %d times", n, s.moved())
	}
	s.Check()
}
