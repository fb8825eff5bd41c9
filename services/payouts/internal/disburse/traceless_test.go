package disburse_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/simulator"
)

// Promise 1, a restore: MTN refuses three times for want of float before anything is a transfer, and pays the fourth attempt. The tables go back to before
// the evening.
func TestRefusalsWithoutATraceHideNoPaymentAfterARestore(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		kind func() sending.Kind
		r    simulator.Rule
	}{
		"mtn":    {sending.MTN, simulator.Rule{Fault: simulator.Failed, Status: 500, Message: "NOT_ENOUGH_FUNDS"}},
		"mtn400": {sending.MTN, simulator.Rule{Fault: simulator.Failed, Status: 400, Message: "NOT_ENOUGH_FUNDS"}},
		"wave":   {nil, simulator.Rule{Fault: simulator.Failed, Message: "insufficient-funds"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e *sending.Env
			if rule.kind != nil {
				e = sending.NewOf(t, rule.kind())
			} else {
				e = waveEnv(t, "http")
			}
			restore := pgtest.Backup(t, e.Pool)
			s := e.Sender()
			e.Cashin(rule.r.Fault, 3, func(r *simulator.Rule) { r.Status, r.Message = rule.r.Status, rule.r.Message })
			e.Send(s, 1)
			timePassesUntil(e, s, "succeeded")
			if n := e.Count("SELECT max(number) FROM attempts"); e.One() != "succeeded" || n != 4 || moved(e) != 1 {
				t.Fatalf("before the restore: %s, attempt %d, moved %d times", e.One(), n, moved(e))
			}
			restore()
			mark(e, 1)
			s = e.Sender()
			e.Send(s, 1)
			prove(t, e, s)
			timePasses(e, s, 30)
			if n := moved(e); n != 1 {
				t.Errorf("paid %d times: %s", n, e.One())
			}
		})
	}
}

// However often it is refused, no more references are begun without a trace than a look after a restore comes to: it is for people then, goes again
// under the same reference on a person's word, and is paid once, also when the tables go back to before all of it and nothing was told.
func TestNoMoreReferencesWithoutATraceThanARestoreLooksAt(t *testing.T) {
	t.Parallel()
	e := sending.NewOf(t, sending.MTN())
	restore := pgtest.Backup(t, e.Pool)
	s := e.Sender()
	e.Cashin(simulator.Failed, 7, func(r *simulator.Rule) { r.Status, r.Message = 500, "NOT_ENOUGH_FUNDS" })
	e.Send(s, 1)
	timePassesUntil(e, s, "held/refused_often")
	if n := e.Count("SELECT max(number) FROM attempts"); e.One() != "held/refused_often" || n != attempt.Traceless+1 || moved(e) != 0 {
		t.Fatalf("refused five times: %s, attempt %d, moved %d times", e.One(), n, moved(e))
	}
	for range 3 { // it is refused for the sixth and the seventh time
		release(t, e)
		timePasses(e, s, 120)
	}
	if n := e.Count("SELECT max(number) FROM attempts"); e.One() != "succeeded" || n != attempt.Traceless+1 || moved(e) != 1 {
		t.Fatalf("released three times: %s, attempt %d, moved %d times", e.One(), n, moved(e))
	}
	if n := e.Count("SELECT sends FROM attempts ORDER BY number DESC LIMIT 1"); n != 4 {
		t.Errorf("the last reference went %d times, want 4", n)
	}
	e.Check()
	restore()
	mark(e, 1)
	s = e.Sender()
	e.Send(s, 1)
	prove(t, e, s)
	timePasses(e, s, 30)
	if n := moved(e); n != 1 {
		t.Errorf("paid %d times: %s", n, e.One())
	}
}

// Orange keeps what it has refused. A reference that went again behind five refusals is paid, the answer is lost, and the lookup shows the refusal of
// before: nothing follows from it, least of all another attempt.
func TestAnOlderRefusalIsNoWordAboutWhatWentAgain(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var behind atomic.Bool
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if err == nil && behind.Load() {
			f.Result = provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeFloat, Code: payout.CodeFloat}
		}
		return f, err
	}})
	e.Cashin(simulator.Failed, attempt.Traceless+1, func(r *simulator.Rule) { r.Message = "Solde insuffisant." })
	e.Send(s, 1)
	timePassesUntil(e, s, "held/refused_often")
	if e.One() != "held/refused_often" {
		t.Fatalf("refused five times: %s", e.One())
	}
	e.Cashin(simulator.LostAnswer, 1)
	behind.Store(true)
	release(t, e)
	timePassesUntil(e, s, "manual_review/refused_before")
	if n := e.Count("SELECT max(number) FROM attempts"); e.One() != "manual_review/refused_before" || n != attempt.Traceless+1 || moved(e) != 1 {
		t.Fatalf("its answer was lost: %s, attempt %d, moved %d times", e.One(), n, moved(e))
	}
	behind.Store(false) // the lookup has caught up
	e.Clock.Advance(24 * time.Hour)
	timePasses(e, s, 2)
	if e.One() != "succeeded" || moved(e) != 1 {
		t.Errorf("in the end: %s, moved %d times", e.One(), moved(e))
	}
	e.Check()
}

// What went again behind five refusals was paid by the provider's own answer: a webhook, and a lookup that shows the refusal of before, take nothing out
// of the books.
func TestAnOlderRefusalTakesNothingBack(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var behind atomic.Bool
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if err == nil && behind.Load() {
			f.Result = provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeFloat, Code: payout.CodeFloat}
		}
		return f, err
	}})
	e.Cashin(simulator.Failed, attempt.Traceless+1, func(r *simulator.Rule) { r.Message = "Solde insuffisant." })
	e.Send(s, 1)
	timePassesUntil(e, s, "held/refused_often")
	release(t, e)
	timePassesUntil(e, s, "succeeded")
	if e.One() != "succeeded" || moved(e) != 1 {
		t.Fatalf("%s, moved %d", e.One(), moved(e))
	}
	behind.Store(true)
	e.Hint(s)
	e.Pass(s)
	if b := e.Balances(); b["suspense"] != 0 || b["float:orange"] != -24_000 {
		t.Errorf("24000 left the float once; the books have %v", b)
	}
	e.Check()
}

// A refusal that comes after its lease leaves no trace either, and its reference is in doubt by then: it is no attempt that is over and that nobody
// counts. The provider is asked, and the tables go back to before all of it.
func TestALateRefusalIsNotOneThatNobodyCounts(t *testing.T) {
	t.Parallel()
	for name, dedup := range map[string]bool{"goes again": true, "for people": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.NewOf(t, sending.MTN())
			e.Config.Deduplicates = dedup
			restore := pgtest.Backup(t, e.Pool)
			var s *sending.Sender
			calls := 0
			s = e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
				r := real.Submit(ctx, tr)
				if calls++; calls == attempt.Traceless+1 {
					e.SQL("UPDATE attempts SET lease_expires_at = now() - interval '1 second' WHERE state = 'submitting'")
					e.TakeOver(s)
				}
				return r
			}})
			e.Cashin(simulator.Failed, attempt.Traceless+1, func(r *simulator.Rule) { r.Status, r.Message = 500, "NOT_ENOUGH_FUNDS" })
			e.Send(s, 1)
			want := map[bool]string{true: "succeeded", false: "manual_review/not_resendable"}[dedup]
			timePassesUntil(e, s, want)
			if n := e.Count("SELECT max(number) FROM attempts"); e.One() != want || n != attempt.Traceless+1 {
				t.Fatalf("before the restore: %s, attempt %d, want %s under the fifth reference", e.One(), n, want)
			}
			restore()
			mark(e, 1)
			s = e.Sender()
			e.Send(s, 1)
			prove(t, e, s)
			timePasses(e, s, 30)
			if n := moved(e); n != 1 {
				t.Errorf("paid %d times: %s", n, e.One())
			}
		})
	}
}

// The tables go back into the midst of it: what they know of it and what they have lost are together no more than a look comes to.
func TestRefusalsBeforeAndAfterABackup(t *testing.T) {
	t.Parallel()
	e := sending.NewOf(t, sending.MTN())
	s := e.Sender()
	e.Cashin(simulator.Failed, 4, func(r *simulator.Rule) { r.Status, r.Message = 500, "NOT_ENOUGH_FUNDS" })
	e.Send(s, 1)
	restore := pgtest.Backup(t, e.Pool) // the first attempt is over
	timePassesUntil(e, s, "succeeded")
	if n := e.Count("SELECT max(number) FROM attempts"); e.One() != "succeeded" || n != 5 || moved(e) != 1 {
		t.Fatalf("before the restore: %s, attempt %d, moved %d times", e.One(), n, moved(e))
	}
	restore()
	mark(e, 1)
	s = e.Sender()
	timePasses(e, s, 120)
	prove(t, e, s)
	timePasses(e, s, 30)
	if n := moved(e); n != 1 || e.One() != "succeeded" {
		t.Errorf("paid %d times: %s", n, e.One())
	}
}

// release is a person's word about the only payout.
func release(t *testing.T, e *sending.Env) {
	t.Helper()
	r := &resolve.Resolver{Store: e.Store, Outcomes: e.Sender().Outcomes, Clock: e.Clock}
	ctx := auth.WithActor(e.Ctx(), auth.Actor{Name: "user:ada", Role: auth.Admin, Tenants: []string{"*"}})
	var id uuid.UUID
	if err := e.Pool.QueryRow(ctx, "SELECT payout_id FROM payouts").Scan(&id); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginFunc(ctx, e.Pool, func(tx pgx.Tx) error { return r.Release(ctx, tx, payoutstest.Tenant, id, "looked there") })
	if err != nil {
		t.Fatal(err)
	}
}
