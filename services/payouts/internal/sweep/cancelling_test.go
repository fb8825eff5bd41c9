package sweep_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
)

// heard is a sweeper whose words and figures are kept.
type heard struct {
	*run.Sweeper
	log      bytes.Buffer
	registry *prometheus.Registry
}

func hear(e *payoutstest.Env) *heard {
	h := &heard{registry: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	outcomes := outcome.New(outcome.Deps{Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: &connector.Set{}, Logger: log})
	h.Sweeper = sweep.New(e.Store, outcomes, &precheck.Gate{Clock: e.Clock, Reference: payout.Reference, MustTell: attempt.MustTellPayee}, log, h.registry)
	return h
}

// stuck holds the gauge against what is expected.
func (h *heard) stuck(t *testing.T, want int) {
	t.Helper()
	text := "# HELP agogo_payouts_cancel_stuck Payouts of cancelled runs that an error keeps from being cancelled.\n" +
		"# TYPE agogo_payouts_cancel_stuck gauge\nagogo_payouts_cancel_stuck " + fmt.Sprint(want) + "\n"
	if err := testutil.GatherAndCompare(h.registry, strings.NewReader(text), "agogo_payouts_cancel_stuck"); err != nil {
		t.Error(err)
	}
}

// cancelledRun is a run of n payouts, approved and held, that was cancelled a moment ago.
func cancelledRun(t *testing.T, n int) *payoutstest.Env {
	t.Helper()
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	e.SQL(clone, 1, n-1, false)
	e.SQL("UPDATE batches SET control = 'cancelled', state = 'cancelled'")
	return e
}

func cancelledOf(e *payoutstest.Env) int64 {
	return e.Count("SELECT count(*) FROM payouts WHERE state = 'cancelled'")
}

// 1,200 payouts of a cancelled run, and two of them cannot be cancelled: the others are, in one sweep, the two are told of once, and tried
// again until it is mended.
func TestOnePayoutThatCannotBeCancelledCostsItself(t *testing.T) {
	t.Parallel()
	e := cancelledRun(t, 1200)
	e.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (payee_id NOT IN ('clone-7', 'clone-800') OR state <> 'cancelled')")
	h := hear(e)
	once(t, h.Sweeper)
	if n := cancelledOf(e); n != 1198 {
		t.Errorf("%d of 1198 are cancelled", n)
	}
	h.stuck(t, 2)
	once(t, h.Sweeper)
	if n := strings.Count(h.log.String(), "cannot be cancelled"); n != 2 {
		t.Errorf("told of %d times, want once each:\n%s", n, h.log.String())
	}
	var id uuid.UUID
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts WHERE payee_id = 'clone-800'").Scan(&id); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(h.log.String(), id.String()) {
		t.Errorf("nobody says which:\n%s", h.log.String())
	}
	e.Clock.Advance(11 * time.Minute)
	once(t, h.Sweeper)
	if n := strings.Count(h.log.String(), "cannot be cancelled"); n != 4 {
		t.Errorf("told of %d times, want twice each", n)
	}
	e.SQL("ALTER TABLE payouts DROP CONSTRAINT defect")
	once(t, h.Sweeper)
	h.stuck(t, 2) // passed over still
	e.Clock.Advance(11 * time.Minute)
	once(t, h.Sweeper)
	if n := cancelledOf(e); n != 1200 {
		t.Errorf("%d of 1200 are cancelled when it is mended", n)
	}
	h.stuck(t, 0)
}

// Who is not left of a cancelled run any more, for whatever reason, is not stuck.
func TestWhatIsStuckIsForgottenWhenItIsGone(t *testing.T) {
	t.Parallel()
	e := cancelledRun(t, 2)
	e.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (payee_id <> 'clone-1' OR state <> 'cancelled')")
	h := hear(e)
	once(t, h.Sweeper)
	h.stuck(t, 1)
	e.SQL("UPDATE payouts SET state = 'unknown' WHERE payee_id = 'clone-1'")
	once(t, h.Sweeper)
	h.stuck(t, 0)
}

// Nothing can be cancelled at all: a sweep gives up after a bounded number of tries, and the next ones go on from there.
func TestWhereNothingCanBeCancelledASweepIsBounded(t *testing.T) {
	t.Parallel()
	e := cancelledRun(t, 300)
	e.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (state <> 'cancelled')")
	h := hear(e)
	once(t, h.Sweeper)
	if n := strings.Count(h.log.String(), "cannot be cancelled"); n < 1 || n > 50 {
		t.Errorf("%d payouts were told of in one sweep, want 1 to 50", n)
	}
	for range 12 {
		once(t, h.Sweeper)
	}
	h.stuck(t, 300)
}

// The commit of a page fails, as on a lost connection: the next sweep does that page, and not the one after it.
func TestAPageWhoseCommitFailedIsDoneAgain(t *testing.T) {
	t.Parallel()
	e := cancelledRun(t, 600)
	e.SQL("CREATE FUNCTION lost() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'lost'; END $$")
	e.SQL("CREATE CONSTRAINT TRIGGER lost AFTER UPDATE ON payouts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'cancelled') EXECUTE FUNCTION lost()")
	h := hear(e)
	if err := h.Once(t.Context()); err == nil {
		t.Fatal("nothing was lost")
	}
	e.SQL("DROP TRIGGER lost ON payouts")
	once(t, h.Sweeper)
	if n := cancelledOf(e); n != 600 {
		t.Errorf("%d of 600 are cancelled", n)
	}
	h.stuck(t, 0)
}

// 100,000 runs were cancelled and nothing is left of them, and of some others something waits: a look reads in proportion to those, and finds
// what one of the cancelled has left.
func TestRunsCancelledLongAgoCostNothing(t *testing.T) {
	t.Parallel()
	const ago, others = 100_000, 40
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	e.SQL(`INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, state, planned, created_at)
		SELECT gen_random_uuid(), 'ago-' || i, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, 'completed', true, created_at
		FROM runs, generate_series(1, $1::integer) i`, ago+others)
	e.SQL(`INSERT INTO batches (batch_id, tenant, run_id, period_date, state, control, currency, created_at)
		SELECT gen_random_uuid(), tenant, run_id, local_date, 'cancelled', CASE WHEN substr(tick_id, 5)::integer > $1 THEN 'open' ELSE 'cancelled' END, 'XOF', created_at
		FROM runs WHERE tick_id LIKE 'ago-%'`, ago)
	e.SQL("UPDATE batches SET control = 'cancelled', state = 'cancelled' WHERE run_id IN (SELECT run_id FROM runs WHERE tick_id NOT LIKE 'ago-%')")
	e.SQL(`INSERT INTO payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission, net,
			item_count, provider, destination, nominal_time, version, created_at, updated_at)
		SELECT gen_random_uuid(), p.tenant, 'other-' || b.batch_id, b.run_id, b.batch_id, 0, p.period_date, p.kind, p.seq, 'held', p.currency, p.gross,
			p.commission, p.net, 0, p.provider, p.destination, p.nominal_time, p.version, p.created_at, p.updated_at
		FROM payouts p, (SELECT * FROM batches WHERE control = 'open' LIMIT $1) b`, others)
	e.SQL("ANALYZE runs, batches, payouts")
	e.InTx(func(tx pgx.Tx) error {
		before, err := rowsRead(tx, "batches", "runs")
		if err != nil {
			return err
		}
		ids, next, err := e.Store.Rest(e.Ctx(), tx, store.Rest{}, 500)
		if err != nil {
			return err
		}
		after, err := rowsRead(tx, "batches", "runs")
		if read := after - before; len(ids) != 1 || next != (store.Rest{}) || read < 1 || read > 10*others {
			t.Errorf("%d found, %d rows read, want one and at most %d; next is %v", len(ids), read, 10*others, next)
		}
		return err
	})
	once(t, sweeper(e))
	if n := cancelledOf(e); n != 1 {
		t.Errorf("%d are cancelled, want 1", n)
	}
}

// More runs wait than one look passes: the walk goes on behind them, and reaches what is cancelled at the end.
func TestTheWalkPassesManyRunsThatWait(t *testing.T) {
	t.Parallel()
	const others = 2500
	e := payoutstest.New(t)
	payees(e, 1, 10_000)
	e.Run(payoutstest.Daily(evening))
	e.SQL(`INSERT INTO payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission, net,
			item_count, provider, destination, nominal_time, version, created_at, updated_at)
		SELECT gen_random_uuid(), p.tenant, 'other-' || i, gen_random_uuid(), gen_random_uuid(), 0, p.period_date, p.kind, p.seq, 'approved', p.currency,
			p.gross, p.commission, p.net, 0, p.provider, p.destination, p.nominal_time, p.version, p.created_at, p.updated_at
		FROM payouts p, generate_series(1, $1::integer) i`, others)
	e.SQL("ANALYZE payouts")
	e.SQL("UPDATE batches SET control = 'cancelled', state = 'cancelled'")
	looks, found := 1, 0
	e.InTx(func(tx pgx.Tx) error {
		var at store.Rest
		for ; ; looks++ {
			ids, next, err := e.Store.Rest(e.Ctx(), tx, at, 500)
			if err != nil {
				return err
			}
			found += len(ids)
			if at = next; at == (store.Rest{}) {
				return nil
			}
		}
	})
	if found != 1 || looks != 3 {
		t.Errorf("%d found in %d looks, want 1 in 3", found, looks)
	}
	once(t, sweeper(e))
	if n := cancelledOf(e); n != 1 {
		t.Errorf("%d are cancelled, want 1", n)
	}
}
