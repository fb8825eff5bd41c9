package disburse_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

// The database goes away while calls are under way. Their answers are kept and recorded when it is back; nothing is sent
// meanwhile, nothing is in doubt afterwards.
func TestOutcomesOutliveAnAbsentDatabase(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(12)
	db := e.Database()
	var calls atomic.Int64
	s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		if calls.Add(1) == 6 {
			db.Cut()
			time.AfterFunc(400*time.Millisecond, db.Mend)
		}
		return real.Submit(ctx, tr)
	}})
	s.Pool = db.Pool
	failed := s.Dispatch(e.Ctx(), run, 0)
	if n := e.Count("SELECT count(*) FROM attempts WHERE state = 'submitting'"); n != 0 {
		t.Errorf("%d outcomes were lost with the connection", n)
	}
	if failed != nil { // the claim that met the absence; its command is delivered again
		e.Dispatch(s, run)
	}
	want(t, e, map[string]int64{"succeeded": 12})
	if n := e.Requests(); n != 12 {
		t.Errorf("%d requests for 12 payouts", n)
	}
	e.Check()
}

// Any weather: random faults of the provider, blind lookups, senders that die at random moments and heirs that take over,
// two at a time. At the end everybody is paid once, or is known not to be.
func TestAnyWeather(t *testing.T) {
	t.Parallel()
	for _, deduplicates := range []bool{false, true} {
		for range 2 {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("deduplicates %v seed %d", deduplicates, seed), func(t *testing.T) {
				t.Parallel()
				weather(t, deduplicates, rand.New(rand.NewPCG(seed, 1)), int64(seed>>1))
			})
		}
	}
}

func weather(t *testing.T, deduplicates bool, random *rand.Rand, seed int64) {
	const payouts = 60
	e := sending.New(t, func(c *simulator.Config) { c.Orange.Deduplicate = deduplicates })
	e.Config.Deduplicates = deduplicates
	e.Rules().PauseAboveFailureRate = 0 // people are not at hand
	e.States.Health.DegradeAfter = 1000
	e.ShortLeases(300 * time.Millisecond)
	plan := simulator.Plan{Seed: seed}
	for _, f := range []simulator.Fault{
		simulator.LostAnswer, simulator.ServerErrorAfter, simulator.ServerErrorBefore, simulator.ResetBefore, simulator.ResetAfter, simulator.Garbage,
		simulator.PendingSuccess, simulator.PendingFailed, simulator.Failed, simulator.Identical, simulator.TooMany, simulator.UnknownStatus, simulator.WrongShape,
	} {
		plan.Rules = append(plan.Rules, simulator.Rule{
			Provider: simulator.Orange, Operation: "cashin", Fault: f, Times: 1 + random.IntN(4), Duration: time.Duration(random.IntN(20)) * time.Second,
			Blind: time.Duration(random.IntN(30)) * time.Second, Match: simulator.Match{Probability: 0.2},
		})
	}
	plan.Rules = append(plan.Rules, simulator.Rule{Provider: simulator.Orange, Operation: "lookup", Fault: simulator.ServerErrorBefore, Times: 20, Match: simulator.Match{Probability: 0.3}})
	if err := e.Sim.Plan(plan); err != nil {
		t.Fatal(err)
	}
	run := e.Plan(payouts)
	for range 4 { // generations of senders
		e.DyingPair(run, random)
	}
	e.NoFaults()
	e.ShortLeases(time.Minute)
	heir := e.Sender()
	e.TakeOver(heir)
	e.Check()
	for range 60 {
		e.Clock.Advance(30 * time.Second)
		e.Pass(heir)
		e.SweepMoving(heir)
	}
	for range 4 { // by now most are asked about once a day
		e.Clock.Advance(24 * time.Hour)
		e.Pass(heir)
		e.SweepMoving(heir)
	}
	e.Check()
	for state, n := range e.PayoutStates() {
		switch state {
		case "succeeded", "failed", "manual_review":
		default:
			t.Errorf("%d payouts are left in %s", n, state)
		}
	}
	// With a provider that deduplicates, nothing needs people but a refusal as identical to what we ourselves sent before:
	// that one proves nothing about the first send.
	if !deduplicates {
		return
	}
	rows, err := e.Pool.Query(t.Context(), "SELECT class || ' ' || code || ' ' || provider_code FROM attempts WHERE state = 'manual_review' AND NOT reached")
	if err != nil {
		t.Fatal(err)
	}
	why, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(why) > 0 {
		t.Errorf("%d payouts need people: %v", len(why), why)
	}
}
