package sweep_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// impatient has the sweeps wait shortly for locks; who has them is somebody else.
func impatient(t *testing.T, e *payoutstest.Env) {
	t.Helper()
	cfg := e.Pool.Config()
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = "200ms"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	e.Store.Runs.Pool = pool
}

// failing has every write of a payee's payout fail with a state. What was tried is counted, though it is undone.
func failing(e *payoutstest.Env, payees, state string) (tries func() int64) {
	e.SQL("CREATE SEQUENCE tries")
	e.SQL(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'x' USING ERRCODE = '` + state + `'; END $$`)
	e.SQL("CREATE TRIGGER defect BEFORE UPDATE ON payouts FOR EACH ROW WHEN (" + payees + ") EXECUTE FUNCTION fail()")
	return func() int64 { return e.Count("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries") }
}

// One payout whose row a session holds that hangs: the others are retried, it is told of, and moved once it is free.
func TestOneThatIsLockedCostsItself(t *testing.T) {
	t.Parallel()
	e := dueRun(t, 5, "state = 'failed', retry_at = $1")
	impatient(t, e)
	h := hear(e)
	tx, err := e.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func(tx pgx.Tx) { _ = tx.Rollback(t.Context()) }(tx)
	if _, err := tx.Exec(t.Context(), "SELECT 1 FROM payouts WHERE payee_id = 'clone-1' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	once(t, h.Sweeper)
	if n := states(e)["approved"]; n != 4 {
		t.Errorf("%d are approved, want 4; told:\n%s", n, h.log.String())
	}
	if n := strings.Count(h.log.String(), "cannot be approved"); n != 1 {
		t.Errorf("told of %d times, want once:\n%s", n, h.log.String())
	}
	h.stuckIn(t, "retry", 1)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(11 * time.Minute)
	once(t, h.Sweeper)
	if n := states(e)["approved"]; n != 5 {
		t.Errorf("%d are approved, want 5", n)
	}
	h.stuckIn(t, "retry", 0)
}

// One payout whose statement runs out of time, among 100: it is found in more than one sweep, for a sweep waits no more than five times. Later it
// is waited for once.
func TestOneThatRunsOutOfTimeCostsItself(t *testing.T) {
	t.Parallel()
	e := dueRun(t, 100, "state = 'failed', retry_at = $1")
	tries := failing(e, "NEW.payee_id = 'clone-50'", "57014")
	h := hear(e)
	once(t, h.Sweeper)
	if n := tries(); n != 5 {
		t.Errorf("waited %d times in one sweep, want 5", n)
	}
	once(t, h.Sweeper)
	if n := states(e)["approved"]; n != 99 {
		t.Errorf("%d are approved, want 99; told:\n%s", n, h.log.String())
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
