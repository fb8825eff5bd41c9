package resting_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
	"github.com/agogopay/agogo/simulator"
)

// A clock that ran a day ahead has noted when the provider had nothing: nobody ends anything on that, or sends it, and the provider is asked anew.
func TestAProofOfTheFutureIsNone(t *testing.T) {
	t.Parallel()
	proven := func(s *scene) {
		t.Helper()
		if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
			s.t.Fatalf("%d are proven absent", n)
		}
		s.SQL("UPDATE prechecks SET proven_at = $1", s.Clock.Now().Add(24*time.Hour))
	}
	anew := func(s *scene) {
		if n := s.Count("SELECT count(*) FROM prechecks WHERE proven_at <= $1", s.Clock.Now()); n != 1 {
			s.t.Error("the provider was not asked anew")
		}
	}
	t.Run("ended", func(t *testing.T) {
		t.Parallel()
		s := rest(t, 1, "held", false)
		s.asks(3)
		proven(s)
		if err := s.end(); !strings.Contains(next(err), "is being asked") {
			t.Errorf("ended on the word of tomorrow: %v", err)
		}
		if err := s.Store.AskAnew(s.Ctx(), s.Pool, payoutstest.Tenant, s.id()); err != nil { // as whoever was refused
			t.Fatal(err)
		}
		s.asks(3)
		anew(s)
		if err := s.end(); err != nil || s.free() != 1 {
			t.Errorf("asked anew: %v", err)
		}
	})
	t.Run("of a cancelled run", func(t *testing.T) {
		t.Parallel()
		s := rest(t, 1, "held", false)
		s.asks(3)
		proven(s)
		s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
		s.SweepOnly()
		if got := s.One(); strings.HasPrefix(got, "cancelled") {
			t.Errorf("it is %s on the word of tomorrow", got)
		}
		s.asks(4)
		if got := s.One(); !strings.HasPrefix(got, "cancelled") || s.free() != 1 {
			t.Errorf("asked anew it is %s", got)
		}
	})
	t.Run("sent", func(t *testing.T) {
		t.Parallel()
		s := rest(t, 1, "approved", false)
		s.asks(3)
		proven(s)
		s.SQL("UPDATE batches SET control = 'open'")
		s.Dispatch(s.s, s.run)
		if s.Requests() != 0 {
			t.Error("sent on the word of tomorrow")
		}
		s.asks(4)
		if got := s.One(); got != "succeeded" || s.Requests() != 1 {
			t.Errorf("asked anew it is %s", got)
		}
		anew(s)
	})
}

// What is taken over with attempts that had failed before has had those tries, and each attempt that moves is counted like any other.
func TestWhatIsTakenOverCountsAsTried(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Cashin(simulator.Identical, 1)
	lost := e.Sender()
	e.Send(lost, 1)
	for range 4 {
		e.Clock.Advance(10 * time.Minute)
		e.Sweep(lost)
	}
	restore()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s := &scene{Env: e, t: t, s: e.Sender()}
	registry := prometheus.NewRegistry()
	outcomes := outcome.New(outcome.Deps{
		Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: s.s.Connectors, Logger: slog.New(slog.DiscardHandler), Registry: registry,
	})
	s.asker = &resting.Asker{Store: e.Store, Outcomes: outcomes, Gate: s.s.Prechecks.Gate}
	s.run = e.Plan(1)
	s.move(payout.Approved, payout.Held, payout.HeldBy(payout.CodeByPerson))
	s.page(10)
	if err := s.s.Prechecks.Pass(e.Ctx()); err != nil {
		t.Fatal(err)
	}
	s.page(10)
	if got := e.One(); got != "processing/restored" {
		t.Fatalf("it is %s", got)
	}
	if n := e.Count("SELECT count(*) FROM payouts WHERE attempt = 2 AND counted = 1"); n != 1 {
		t.Error("the try that had failed before does not count")
	}
	const want = `
# HELP agogo_payouts_attempts_total Attempts by the state they went to.
# TYPE agogo_payouts_attempts_total counter
agogo_payouts_attempts_total{code="restored",provider="orange",state="processing",tenant="lebenis"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "agogo_payouts_attempts_total"); err != nil {
		t.Error(err)
	}
	e.Pass(s.s)
	if got := e.One(); got != "succeeded" {
		t.Errorf("it is %s", got)
	}
	e.Check()
}
