package resting_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
	"github.com/agogopay/agogo/simulator"
)

// each is what one payout pays.
const each = 24_000

// twoHeld has the first of two payouts sent before a restore, and both held after it so that they count on no day: one by a person, one for the
// cap. The provider works on the first one until it is told to refuse it.
func twoHeld(t *testing.T) (s *scene, refuse *bool) {
	t.Helper()
	e, refuse := sending.New(t), new(bool)
	e.Config.RetryAfter = []time.Duration{}
	e.Rules().PauseAboveFailureRate = 0
	restore := pgtest.Backup(t, e.Pool)
	e.Cashin(simulator.Failed, 1)
	e.Send(e.Sender(), 1)
	restore()
	e.NoFaults()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s = &scene{Env: e, t: t, s: e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if f.Exists && !*refuse {
			f.Result.Class = provider.Accepted
		}
		return f, err
	}})}
	s.asker = &resting.Asker{Store: e.Store, Outcomes: s.s.Outcomes, Gate: s.s.Prechecks.Gate}
	s.run = e.Plan(2)
	s.move(payout.Approved, payout.Held, payout.HeldBy(payout.CodeByPerson))
	e.SQL("UPDATE payouts SET cap_date = NULL, reason_code = CASE payee_id WHEN $1 THEN reason_code ELSE $2 END", sending.Payee(1), payout.CodeDailyCap)
	e.SQL("DELETE FROM cap_uses")
	return s, refuse
}

// ask asks providers what is due, without a sweep.
func (s *scene) ask() {
	s.t.Helper()
	if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
		s.t.Fatal(err)
	}
}

// today is the tenant's date.
func (s *scene) today() string { return s.Store.Today(payoutstest.Tenant) }

// What is taken over from a hold may have left today: it counts on today's caps, also above them, and what else wants to go on the day stays held for
// the cap. When it turns out to have failed, its room is free again.
func TestWhatIsTakenOverFromAHoldCountsToday(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int64{"the day is full": each, "the day is passed": each - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, refuse := twoHeld(t)
			s.Rules().DailyCap, s.Rules().PayeeDailyCap = most, most
			if code := s.over(2); most == each && code != "" {
				t.Fatalf("before it is taken over the day is over %s", code)
			}
			s.page(500)
			s.ask()
			s.page(500)
			if n := s.Count("SELECT count(*) FROM payouts WHERE state = 'processing' AND cap_date = $1", s.today()); n != 1 {
				t.Fatalf("%d are taken over and count today", n)
			}
			s.CheckCaps()
			if code := s.over(1); code != payout.CodePayeeDailyCap {
				t.Errorf("its payee is over %q", code)
			}
			s.SweepOnly()
			if got := s.Of(2); got != "held/"+payout.CodeDailyCap {
				t.Errorf("the next one of the day is %s", got)
			}
			*refuse = true
			s.Rules().DailyCap, s.Rules().PayeeDailyCap = each, each
			s.Clock.Advance(time.Minute)
			s.Pass(s.s)
			s.SweepOnly()
			if one, two := s.PayoutStates()["failed"], s.Of(2); one != 1 || two != "approved/"+payout.CodeCauseGone {
				t.Errorf("%d have failed, and the next one of the day is %s", one, two)
			}
			s.CheckCaps()
		})
	}
}

// over is the cap that one payout more of a payee would pass today. Who asks so notes how much the day has, and takes nothing.
func (s *scene) over(payee int) (code string) {
	s.t.Helper()
	s.InTx(func(tx pgx.Tx) error {
		caps, err := s.Store.Caps(s.Ctx(), tx, payoutstest.Tenant, s.today(), []string{sending.Payee(payee)}, 0)
		if err == nil {
			code = caps.Over(sending.Payee(payee), each)
		}
		return err
	})
	return code
}

// What is released of a cancelled run because a person has looked elsewhere waits for no room, and counts: its own provider may yet tell that it was
// paid. Where it was not, it ends and counts no more.
func TestWhatIsReleasedOfACancelledRunCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		paid   bool
		counts int64
	}{"paid": {true, each}, "never sent": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := rest(t, 1, "held", c.paid)
			s.SQL("UPDATE payouts SET cap_date = NULL")
			s.SQL("DELETE FROM cap_uses")
			s.Rules().DailyCap = 1
			s.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
				s.id(), payoutstest.Tenant, sending.Payee(1))
			s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
			s.asks(2)
			if err := s.people(release); err != nil {
				t.Fatalf("%v: %s", err, next(err))
			}
			s.CheckCaps()
			today := s.today()
			s.asks(4)
			want := map[bool]string{true: "succeeded", false: "cancelled"}[c.paid]
			if n := s.Count("SELECT count(*) FROM payouts WHERE state = $1", want); n != 1 {
				t.Errorf("it is %s, want %s", s.One(), want)
			}
			if n := s.Count("SELECT COALESCE(sum(net), 0)::bigint FROM payouts WHERE cap_date = $1 AND state = 'succeeded'", today); n != c.counts {
				t.Errorf("%d count, want %d", n, c.counts)
			}
			s.Check()
		})
	}
}

// Whoever takes caps locks the tenant's outflow row before payouts, and so does who takes over: neither waits for the other in a circle.
func TestTakingOverLocksAsWhoeverTakesCaps(t *testing.T) {
	t.Parallel()
	s, _ := twoHeld(t)
	s.page(500)
	s.ask()
	first, err := s.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Store.LockOutflow(s.Ctx(), first, payoutstest.Tenant); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- pgx.BeginFunc(s.Ctx(), s.Pool, func(tx pgx.Tx) error {
			_, err := s.look(tx, s.at(tx), 500)
			return err
		})
	}()
	for s.Count("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'payouts'::regclass)") == 0 {
		runtime.Gosched()
	}
	if _, err := s.Store.Lock(s.Ctx(), first, s.id()); err != nil {
		t.Errorf("whoever takes caps: %v", err)
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("who takes over: %v", err)
	}
	if got := s.Of(1); got != "processing/restored" {
		t.Errorf("it is %s", got)
	}
}
