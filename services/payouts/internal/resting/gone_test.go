package resting_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
)

// A provider said that it has nothing, left the tenants file, and then the run was cancelled: nobody will be asked anew, and the sweeps end the run
// all the same, so that its schedule goes on. What was never proven stays as it is.
func TestSweepsEndACancelledRunWhoseProviderIsGone(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]bool{"never asked": false, "denied two hours ago": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			now := e.Clock.Now()
			e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
			s := &scene{Env: e, s: e.Sender(), t: t}
			s.run = e.Plan(2)
			if asked {
				s.sweeps(s.s.Connectors, 4, settled)
			}
			if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n == 2 != asked {
				t.Fatalf("%d are denied", n)
			}
			s.Clock.Advance(2 * time.Hour)
			s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
			if n := s.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'running'", s.run); n != 1 {
				t.Fatal("the run ended before")
			}
			s.sweeps(&connector.Set{}, 5, time.Hour)
			if n := s.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", s.run); n != 1 {
				t.Error("the run does not end, and the next evening waits for it")
			}
			if got := s.PayoutStates(); got["approved"] != 2 {
				t.Errorf("nobody says any more that they were not sent: %v", got)
			}
		})
	}
}

// sweeps sweeps as a process that serves these connectors does, and asks what is due.
func (s *scene) sweeps(served *connector.Set, times int, apart time.Duration) {
	s.t.Helper()
	log := slog.New(slog.DiscardHandler)
	out := outcome.New(outcome.Deps{Store: s.Store, Outbox: s.Outbox, Clock: s.Clock, Tenants: s.Tenants, Connectors: served, Logger: log})
	sweeper := sweep.New(s.Store, out, &precheck.Gate{Clock: s.Clock, Reference: payout.Reference, MustTell: attempt.MustTellPayee}, log, nil)
	sweeper.Patience = time.Second
	for range times {
		if err := sweeper.Once(s.Ctx()); err != nil {
			s.t.Fatal(err)
		}
		if len(served.All()) > 0 {
			if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
				s.t.Fatal(err)
			}
		}
		s.Clock.Advance(apart)
	}
}
