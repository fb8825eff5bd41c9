package disburse_test

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

func want(t *testing.T, e *sending.Env, states map[string]int64) {
	t.Helper()
	if got := e.PayoutStates(); !maps.Equal(got, states) {
		t.Errorf("got %v, want %v", got, states)
	}
}

// A tenant is stopped in the middle of a run: what is on its way is followed, everything else is held, and goes when the
// stop is lifted.
func TestTenantStopInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var sent atomic.Int64
	s := e.Sender(sending.Hooks{Before: func(context.Context, provider.Transfer) {
		if sent.Add(1) == 10 {
			e.StopTenant(true)
		}
	}})
	run := e.Send(s, 50)
	if n := sent.Load(); n > 10+int64(s.Connector.Throttle.Capacity()) {
		t.Errorf("%d payouts were sent after the tenth, at which the tenant was stopped", n-10)
	}
	want(t, e, map[string]int64{"succeeded": sent.Load(), "held": 50 - sent.Load()})
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'held' AND reason_code <> 'tenant_stop'"); n != 0 {
		t.Errorf("%d are held for another reason", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("what waits behind a stop keeps the run open")
	}
	e.Check()
	e.StopTenant(false)
	e.Sweep(s)
	want(t, e, map[string]int64{"succeeded": 50})
	e.Check()
}

// The stop comes between claim and call: it is read once more, right before the first byte.
func TestStopBetweenClaimAndCall(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(4)
	// A tenant that is stopped by the very transaction that claims stands for one stopped a moment after it began.
	e.SQL(`CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		UPDATE outflows SET stopped = true; RETURN NULL; END $$`)
	e.SQL("CREATE TRIGGER stop AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION stop()")
	e.StopTenant(false)
	e.Dispatch(e.Sender(), run)
	if n := e.Requests(); n != 0 {
		t.Errorf("%d payouts were sent after the stop", n)
	}
	want(t, e, map[string]int64{"held": 4})
	if n := e.Count("SELECT count(*) FROM attempts WHERE state = 'not_sent' AND number = 1"); n != 4 {
		t.Errorf("%d attempts are known as never sent", n)
	}
	e.Check()
}

// A refusal that repeating makes worse stops the connector for everybody: the calls that were on their way are the last.
func TestRefusedAccessStopsTheConnector(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.NotSubscribed, 0)
	s, other := e.Sender(), e.Sender()
	run := e.Send(s, 30)
	e.Dispatch(other, run)
	e.Sweep(other)
	want(t, e, map[string]int64{"held": 30})
	if n := calls(e, "cashin"); n > s.Connector.Throttle.Capacity() {
		t.Errorf("%d calls before anybody noticed, there are %d slots", n, s.Connector.Throttle.Capacity())
	}
	if got := e.EventTypes("provider"); len(got) != 1 || got[0] != "provider.stopped" {
		t.Errorf("events %v", got)
	}
	e.Check()

	e.NoFaults() // repaired, and a person says so
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.States.ResumeStopped(e.Ctx(), tx, payoutstest.Tenant, provider.Reason{Code: "by_person"})
		return err
	})
	e.Sweep(s)
	want(t, e, map[string]int64{"succeeded": 30})
	if n := e.Count("SELECT COALESCE(max(counted), 0) FROM payouts"); n != 0 {
		t.Error("our own wrong access was counted against payouts")
	}
	e.Check()
}

func calls(e *sending.Env, operation string) (n int) {
	for _, c := range e.Sim.Calls() {
		if c.Operation == operation {
			n += int(c.Calls)
		}
	}
	return n
}

// The float runs dry in the middle of a run: what is left is held, not failed, and goes in turn when there is money again.
func TestFloatRunsDry(t *testing.T) {
	t.Parallel()
	float := int64(10 * 24000)
	e := sending.New(t, func(c *simulator.Config) { c.Orange.Float = &float })
	s := e.Sender()
	e.Send(s, 30)
	want(t, e, map[string]int64{"succeeded": 10, "held": 20})
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'held' AND reason_scope = 'float'"); n != 20 {
		t.Errorf("%d of 20 are held for want of float", n)
	}
	asked := calls(e, "cashin")
	e.Sweep(s) // nothing has changed
	if n := calls(e, "cashin"); n != asked {
		t.Errorf("%d calls to a provider without float", n-asked)
	}
	e.Check()
	if err := e.Sim.Fill(simulator.Orange, 100*24000); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(11 * time.Minute)
	e.Sweep(s)
	want(t, e, map[string]int64{"succeeded": 30})
	if got := e.EventTypes("float"); len(got) != 2 || got[0] != "float.insufficient" || got[1] != "float.restored" {
		t.Errorf("events %v", got)
	}
	if n := e.Count("SELECT COALESCE(max(counted), 0) FROM payouts"); n != 0 {
		t.Error("a lack of float was counted against payouts")
	}
	e.Check()
}

// What is held for want of float stays held until the rest is over, its last half minute included.
func TestAFloatRestHoldsToItsEnd(t *testing.T) {
	t.Parallel()
	float := int64(10 * 24000)
	e := sending.New(t, func(c *simulator.Config) { c.Orange.Float = &float })
	s := e.Sender()
	e.Send(s, 30)
	before := e.Count("SELECT sum(version) FROM payouts WHERE state = 'held'")
	e.Clock.Advance(9*time.Minute + 32*time.Second)
	for range 12 {
		e.Clock.Advance(2 * time.Second)
		e.SweepMoving(s)
	}
	want(t, e, map[string]int64{"succeeded": 10, "held": 20})
	if n := e.Count("SELECT sum(version) FROM payouts WHERE state = 'held'") - before; n != 0 {
		t.Errorf("%d needless transitions of 20 held payouts", n)
	}
}

// Every call of a burst is refused with 429: the connector rests as long as it is told to, and every payout goes out under
// its first reference.
func TestBurstOf429(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.TooMany, 25, func(r *simulator.Rule) { r.RetryAfter = 3 * time.Second })
	run := e.Plan(20)
	began := e.Clock.Now()
	e.DispatchMoving(e.Sender(), run)
	want(t, e, map[string]int64{"succeeded": 20})
	if took := e.Clock.Now().Sub(began); took < 9*time.Second {
		t.Errorf("a provider that asked for 3 s each time was asked again within %s", took)
	}
	if n := e.Count("SELECT count(*) FROM attempts WHERE number <> 1"); n != 0 {
		t.Errorf("%d attempts have a new reference", n)
	}
	if n := e.Count("SELECT COALESCE(max(counted), 0) FROM payouts"); n != 0 {
		t.Error("429 was counted against payouts")
	}
	e.Check()
}

// 429 comes at the step before the transfer: the connector rests as it does for one at the transfer.
func TestSlowDownAtTheTokenStep(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	if err := e.Sim.AddRule(simulator.Rule{Provider: simulator.Orange, Operation: "token", Fault: simulator.TooMany, Times: 4, RetryAfter: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	run := e.Plan(20)
	var within atomic.Int64
	until := e.Clock.Now().Add(10 * time.Second)
	s := e.Sender(sending.Hooks{Before: func(context.Context, provider.Transfer) {
		if e.Clock.Now().Before(until) {
			within.Add(1)
		}
	}})
	e.DispatchMoving(s, run)
	want(t, e, map[string]int64{"succeeded": 20})
	if n := within.Load(); n > int64(s.Connector.Throttle.Capacity()) { // those had begun
		t.Errorf("a provider that asked for 10 s was called for %d payouts within them", n)
	}
	if n := e.Count("SELECT count(*) FROM attempts WHERE reached"); n != 0 {
		t.Errorf("%d attempts count as arrived, and no transfer was made", n)
	}
	e.Check()
}

// The provider cannot be reached for a while. Nothing is in doubt, the connector is tried more and more rarely, one payout
// at a time, and everything goes out when it is back.
func TestProviderAway(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(20)
	var tried atomic.Int64
	s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		if tried.Add(1) <= 12 {
			return provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: provider.CodeRefused}
		}
		return real.Submit(ctx, tr)
	}})
	began := e.Clock.Now()
	e.DispatchMoving(s, run)
	for range 5 { // rests that are too long to wait for are left to the sweeper
		e.Clock.Advance(time.Minute)
		e.Sweep(s)
	}
	want(t, e, map[string]int64{"succeeded": 20})
	if took := e.Clock.Now().Sub(began); took < 15*time.Second {
		t.Errorf("an absent provider was tried 12 times in %s", took)
	}
	if got := e.EventTypes("provider"); len(got) != 2 || got[0] != "provider.degraded" || got[1] != "provider.recovered" {
		t.Errorf("events %v", got)
	}
	e.Check()
}

// A provider that answers nothing but 5xx leaves in doubt what was on its way, then single ones, and at last the batch
// pauses itself.
func TestFaultsInARowPauseTheBatch(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.ServerErrorAfter, 0)
	s := e.Sender()
	run := e.Plan(60)
	for e.Count("SELECT count(*) FROM batches WHERE control = 'paused'") == 0 {
		if e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'") == 0 {
			t.Fatal("everything was sent to a provider that only fails")
		}
		e.DispatchMoving(s, run)
		e.Clock.Advance(time.Minute)
	}
	if n := e.Requests(); n < 20 || n > 24 {
		t.Errorf("the batch was paused after %d faults, want 20", n)
	}
	e.Check()
	left := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'")
	e.Clock.Advance(time.Hour)
	e.Dispatch(s, run)
	e.Sweep(s)
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'"); n != left {
		t.Errorf("%d payouts went out behind the pause", left-n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("what waits behind a pause keeps the run open")
	}
}

// One payout in five fails: the batch pauses itself before the rest does too.
func TestFailureRatePausesTheBatch(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.Failed, 0)
	e.Send(e.Sender(), 40)
	got := e.PayoutStates()
	if e.Count("SELECT count(*) FROM batches WHERE control = 'paused'") != 1 || got["failed"] < 9 || got["failed"] > 13 || got["approved"] != 40-got["failed"] {
		t.Errorf("got %v", got)
	}
	e.Check()
}

func TestPausedPayeeIsHeld(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(5)
	e.SQL("UPDATE payees SET state = 'paused' WHERE payee_id = $1", sending.Payee(2))
	e.Dispatch(e.Sender(), run)
	if got := e.Of(2); got != "held/"+payout.CodePayeePaused {
		t.Errorf("the paused payee's payout is %s", got)
	}
	want(t, e, map[string]int64{"succeeded": 4, "held": 1})
	e.Check()
}

func TestPausedBatchWaits(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(5)
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.Store.PauseBatch(e.Ctx(), tx, store.BatchID(run), payout.Reason{Code: payout.CodeByPerson})
		return err
	})
	s := e.Sender()
	e.Dispatch(s, run)
	want(t, e, map[string]int64{"approved": 5})
	if e.Requests() != 0 {
		t.Error("a paused batch was sent")
	}
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.Store.ResumeBatch(e.Ctx(), tx, store.BatchID(run), "user:test")
		return err
	})
	e.Dispatch(s, run)
	want(t, e, map[string]int64{"succeeded": 5})
	e.Check()
}

// A definite "no" that may become a "yes" is tried under new references until the attempts are used up; then the items are
// free for the next run. The payee is not blamed.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.Identical, 0)
	s := e.Sender()
	e.Send(s, 1)
	for range 70 {
		e.Clock.Advance(20 * time.Second)
		e.Sweep(s)
	}
	if got := e.One(); got != "failed/identical_transaction" {
		t.Errorf("got %s", got)
	}
	if n := e.Count("SELECT count(DISTINCT reference) FROM attempts WHERE state = 'failed'"); n != 3 {
		t.Errorf("%d attempts under their own references, want 3", n)
	}
	if n := e.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); n != 0 {
		t.Error("a payout that failed for good keeps its items")
	}
	if n := e.Count("SELECT failures FROM payees"); n != 0 {
		t.Error("a refusal of the payment was counted against the payee")
	}
	e.Check()
}

// A provider that takes every transfer and then refuses it for its float is not tried without end: what it had taken counts.
func TestWhatALookupFindsRefusedCounts(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	s := e.Sender(sending.Hooks{
		Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
			return provider.Result{Class: provider.Accepted, Code: "pending"}
		},
		Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
			return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeFloat, Code: provider.CodeFloat}}, nil
		},
	})
	e.Send(s, 1)
	for range 60 {
		e.Clock.Advance(time.Minute)
		e.Pass(s)
		e.Sweep(s)
	}
	if got := e.One(); got != "failed/"+provider.CodeFloat {
		t.Errorf("got %s", got)
	}
	if n := e.Count("SELECT count(*) FROM attempts"); n != 3 {
		t.Errorf("%d attempts, want the 3 that the tenant allows", n)
	}
	e.Check()
}

// An empty retry_after means never by itself: the first refusal frees the items for the next run.
func TestNoRetryByItself(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Config.RetryAfter = []time.Duration{}
	e.Cashin(simulator.Identical, 0)
	s := e.Sender()
	e.Send(s, 1)
	for range 10 {
		e.Clock.Advance(5 * time.Minute)
		e.Sweep(s)
	}
	if got := e.One(); got != "failed/identical_transaction" {
		t.Errorf("got %s", got)
	}
	if n := e.Count("SELECT count(*) FROM attempts"); n != 1 {
		t.Errorf("%d attempts, want one", n)
	}
	if n := e.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); n != 0 {
		t.Error("a payout that nothing will try again keeps its items")
	}
	e.Check()
}

// Two replicas work on one page: each payout is sent once.
func TestTwoReplicasShareAPage(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(200)
	var counts [3]atomic.Int64
	var wg sync.WaitGroup
	for i := range counts {
		s := e.Sender(sending.Hooks{Before: func(context.Context, provider.Transfer) { counts[i].Add(1) }})
		wg.Go(func() {
			for page := range 2 {
				if err := s.Dispatch(e.Ctx(), run, page); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want(t, e, map[string]int64{"succeeded": 200})
	if n := e.Requests(); n != 200 {
		t.Errorf("%d requests for 200 payouts", n)
	}
	for i := range counts {
		if counts[i].Load() == 0 {
			t.Errorf("replica %d had nothing to do", i)
		}
	}
	e.Check()
}

// The number of payouts that a crash would leave in doubt never passes the slots, however many pages are worked on.
func TestSlotsBoundWhatIsInDoubt(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Planner.PageSize = 50
	run := e.Plan(100)
	var most atomic.Int64
	s := e.Sender(sending.Hooks{Before: func(context.Context, provider.Transfer) {
		n := e.Count("SELECT count(*) FROM attempts WHERE state = 'submitting'")
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
	}})
	var wg sync.WaitGroup
	for page := range 2 {
		wg.Go(func() {
			if err := s.Dispatch(e.Ctx(), run, page); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > int64(s.Connector.Throttle.Capacity()) || n < 2 {
		t.Errorf("%d payouts were in doubt at once, there are %d slots", n, s.Connector.Throttle.Capacity())
	}
	want(t, e, map[string]int64{"succeeded": 100})
	e.Check()
}

// A degraded connector is tried by one payout at a time, whatever pages and replicas there are.
func TestDegradedConnectorIsProbed(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Planner.PageSize = 10
	run := e.Plan(20)
	var open, most, calls atomic.Int64
	hooks := sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		n := open.Add(1)
		defer open.Add(-1)
		if calls.Add(1) <= 10 {
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		}
		if calls.Load() <= 10 {
			e.SQL("SELECT pg_sleep(0.02)") // long enough for a second claim
			return provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: provider.CodeRefused}
		}
		return real.Submit(ctx, tr)
	}}
	s, other := e.Sender(hooks), e.Sender(hooks)
	e.InTx(func(tx pgx.Tx) error {
		faults := make([]provider.Result, 5)
		for i := range faults {
			faults[i] = provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: provider.CodeRefused}
		}
		_, err := e.States.Observe(e.Ctx(), tx, s.Connector.Connector, faults)
		return err
	})
	for range 10 {
		e.Clock.Advance(time.Minute)
		e.Moving(func() {
			var wg sync.WaitGroup
			defer wg.Wait()
			for _, s := range []*sending.Sender{s, other} {
				for page := range 2 {
					wg.Go(func() {
						if err := s.Dispatch(e.Ctx(), run, page); err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
	if most.Load() != 1 {
		t.Errorf("%d payouts at once tried a degraded connector", most.Load())
	}
	want(t, e, map[string]int64{"succeeded": 20})
	e.Check()
}

// Between the answer that stops a connector and the commit that tells everybody, this process already knows.
func TestStopHoldsBeforeItIsCommitted(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Config.RatePerSec = 4 // one claim after the other
	run := e.Plan(10)
	e.SQL(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$`)
	e.SQL("CREATE TRIGGER slow AFTER UPDATE ON attempts FOR EACH ROW WHEN (NEW.state = 'failed') EXECUTE FUNCTION slow()")
	var calls atomic.Int64
	s := e.Sender(sending.Hooks{Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
		calls.Add(1)
		return provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: "wrong_pin", Stop: true}
	}})
	e.Dispatch(s, run)
	if n := calls.Load(); n != 1 {
		t.Errorf("a wrong PIN was tried %d times", n)
	}
	want(t, e, map[string]int64{"held": 10})
	e.Check()
}
