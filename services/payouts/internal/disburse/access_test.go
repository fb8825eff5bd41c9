package disburse_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

// Promise 1. The answer to a payment is lost, and then the service is no longer activated for us: the provider says "not found"
// of everything, as it does of what it never had, and refuses what is sent. Nothing of that counts as proof, and nothing goes
// again under another reference when the service is back.
func TestAServiceThatIsNotActivatedProvesNothing(t *testing.T) {
	t.Parallel()
	e := sending.New(t, func(c *simulator.Config) { c.Orange.Deduplicate = true })
	e.Config.Deduplicates = true
	for i := range 60 {
		e.Config.LookupAfter = append(e.Config.LookupAfter, time.Duration(i)*10*time.Second)
	}
	e.Cashin(simulator.LostAnswer, 1) // the money moves
	s := e.Sender()
	e.Send(s, 1)
	for _, operation := range []string{"services", "forms", "cashin", "lookup"} {
		if err := e.Sim.AddRule(simulator.Rule{Provider: simulator.Orange, Operation: operation, Fault: simulator.NotActivated}); err != nil {
			t.Fatal(err)
		}
	}
	timePasses(e, s, 30)
	if got := e.One(); got != "unknown/connection_lost" {
		t.Errorf("while the service is off: %s", got)
	}
	e.NoFaults()
	resume(e)
	timePasses(e, s, 30)
	if got := e.One(); got != "succeeded" || moved(e) != 1 {
		t.Errorf("%s, money moved %d times", got, moved(e))
	}
	e.Check()
}

// A reference that may have arrived goes again and we are refused, not it: it stops the connector, keeps its reference, and
// goes under it when people have mended what was wrong.
func TestARefusedResendKeepsItsReference(t *testing.T) {
	t.Parallel()
	e := sending.New(t, func(c *simulator.Config) { c.Orange.Deduplicate = true })
	e.Config.Deduplicates = true
	e.Cashin(simulator.ResetBefore, 1)
	s := e.Sender()
	e.Send(s, 1)
	e.Cashin(simulator.NotActivated, 0)
	timePasses(e, s, 20) // proven never created; sent again, and refused
	if got := e.One(); got != "held/provider_stopped" {
		t.Fatalf("got %s", got)
	}
	e.NoFaults()
	resume(e)
	timePasses(e, s, 20)
	if got := e.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	if n := e.Count("SELECT count(*) FROM attempts WHERE number <> 1"); n != 0 {
		t.Error("a refused resend was followed by a new reference")
	}
	e.Check()
}

func timePasses(e *sending.Env, s *sending.Sender, steps int) {
	for range steps {
		e.Clock.Advance(10 * time.Second)
		e.Pass(s)
		e.SweepMoving(s)
	}
}

// timePassesUntil the only payout is in a state, for 600 steps at most; it stays there for some more.
func timePassesUntil(e *sending.Env, s *sending.Sender, state string) {
	for range 600 {
		if timePasses(e, s, 1); e.One() == state {
			break
		}
	}
	timePasses(e, s, 12)
}

func resume(e *sending.Env) {
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.States.ResumeStopped(e.Ctx(), tx, payoutstest.Tenant, provider.Reason{Code: "by_person"})
		return err
	})
}
