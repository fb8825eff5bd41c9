package sweep_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// locked has somebody else hold what a statement locks, until it is let go.
func locked(t *testing.T, e *payoutstest.Env, statement string) (letGo func()) {
	t.Helper()
	tx, err := e.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	letGo = func() { once.Do(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) }
	t.Cleanup(letGo)
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return letGo
}

// failing has every write of a payee's payout fail with a state. What was tried is counted, though it is undone.
func failing(e *payoutstest.Env, payees, state string) (tries func() int64) {
	e.SQL("CREATE SEQUENCE tries")
	e.SQL(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'x' USING ERRCODE = '` + state + `'; END $$`)
	e.SQL("CREATE TRIGGER defect BEFORE UPDATE ON payouts FOR EACH ROW WHEN (" + payees + ") EXECUTE FUNCTION fail()")
	return func() int64 { return e.Count("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries") }
}

// One payout whose row a session holds that hangs: the others are retried, it is told of, and moved once it is free. It is passed over for a
// minute only, for whoever has it is done with it soon, as a rule.
func TestOneThatIsLockedCostsItself(t *testing.T) {
	t.Parallel()
	e := dueRun(t, 5, "state = 'failed', retry_at = $1")
	h := hear(e)
	letGo := locked(t, e, "SELECT 1 FROM payouts WHERE payee_id = 'clone-1' FOR UPDATE")
	once(t, h.Sweeper)
	if n := states(e)["approved"]; n != 4 {
		t.Errorf("%d are approved, want 4; told:\n%s", n, h.log.String())
	}
	if n := strings.Count(h.log.String(), "cannot be approved"); n != 1 {
		t.Errorf("told of %d times, want once:\n%s", n, h.log.String())
	}
	h.stuckIn(t, "retry", 1)
	letGo()
	e.Clock.Advance(61 * time.Second)
	once(t, h.Sweeper)
	if n := states(e)["approved"]; n != 5 {
		t.Errorf("%d are approved, want 5", n)
	}
	h.stuckIn(t, "retry", 0)
}

// One payout of 100 for which its statements wait: it is found in more than one sweep, for one waits no more than five times for a lock, at a
// second each, or once for a statement that has a minute. Later it is waited for once.
func TestOneThatIsWaitedForCostsItself(t *testing.T) {
	t.Parallel()
	for state, c := range map[string]struct{ first, sweeps int }{"55P03": {5, 2}, "57014": {1, 9}} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			e := dueRun(t, 100, "state = 'failed', retry_at = $1")
			tries := failing(e, "NEW.payee_id = 'clone-50'", state)
			h := hear(e)
			once(t, h.Sweeper)
			if n := tries(); n != int64(c.first) {
				t.Errorf("waited %d times in one sweep, want %d", n, c.first)
			}
			for range c.sweeps - 1 {
				once(t, h.Sweeper)
			}
			if n := states(e)["approved"]; n != 99 {
				t.Errorf("%d are approved after %d sweeps, want 99; told:\n%s", n, c.sweeps, h.log.String())
			}
			h.stuckIn(t, "retry", 1)
			found := tries()
			e.Clock.Advance(11 * time.Minute)
			e.SQL("UPDATE payouts SET state = 'failed', retry_at = $1 WHERE state = 'approved'", e.Clock.Now().Add(-time.Minute))
			once(t, h.Sweeper)
			if n := tries() - found; n != 1 || states(e)["approved"] != 99 {
				t.Errorf("waited %d times for what was told of before, want once; %v", n, states(e))
			}
			h.stuckIn(t, "retry", 1)
		})
	}
}

// A held payout that somebody has locked, and a tenant's switch that somebody has: what is behind them is told of, everything else is done in the
// same sweep, and a minute later they are, too.
func TestAReleaseWaitsForNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lock, step string
		approved   int
	}{
		"a payout": {"SELECT 1 FROM payouts WHERE payee_id = 'clone-3' FOR UPDATE", "release", 8},
		"a switch": {"SELECT 1 FROM outflows FOR UPDATE", "release_queue", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := heldRun(t, 9)
			e.SQL("UPDATE payouts SET state = 'failed', reason_code = 'rejected', retry_at = $1 WHERE payee_id > 'clone-4'", e.Clock.Now().Add(-time.Minute))
			e.SQL("INSERT INTO outflows (tenant, changed_at) VALUES ($1, $2) ON CONFLICT DO NOTHING", payoutstest.Tenant, e.Clock.Now())
			h := hear(e)
			letGo := locked(t, e, c.lock)
			once(t, h.Sweeper)
			if n := states(e)["approved"]; n != c.approved {
				t.Errorf("%d are approved, want %d: %v; told:\n%s", n, c.approved, states(e), h.log.String())
			}
			h.stuckIn(t, c.step, 1)
			letGo()
			e.Clock.Advance(61 * time.Second)
			once(t, h.Sweeper)
			if n := states(e)["approved"]; n != 9 {
				t.Errorf("%d are approved, want 9", n)
			}
			h.stuckIn(t, c.step, 0)
		})
	}
}

// What a lost connection undoes is nobody's fault: nothing is tried in halves or told of, and the next sweep does it.
func TestALostConnectionIsNobodysFault(t *testing.T) {
	t.Parallel()
	e := dueRun(t, 5, "state = 'failed', retry_at = $1")
	tries := failing(e, "true", "57P01")
	h := hear(e)
	if err := h.Once(t.Context()); err == nil {
		t.Error("the sweep went well")
	}
	if n := tries(); n != 1 || h.log.Len() > 0 {
		t.Errorf("tried %d times, want once; told:\n%s", n, h.log.String())
	}
	h.stuckIn(t, "retry", 0)
	e.SQL("DROP TRIGGER defect ON payouts")
	once(t, h.Sweeper)
	if n := states(e)["approved"]; n != 5 {
		t.Errorf("%d are approved, want 5", n)
	}
}
