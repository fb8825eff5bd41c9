package resolve_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
)

// afterwards is a morning that a restore has lost, and the same again while the gateway's reading side is blind, without its sends.
func afterwards(t *testing.T, e *recurrencestest.Env) {
	t.Helper()
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	restore := pgtest.Backup(t, e.Pool)
	e.Morning("2025-10-30")
	restore()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
	e.Gateway.Blind = true
	e.Morning("2025-10-30")
}

// heard is a webhook about the n-th attempt of the charge, of which the gateway tells whoever asks from then on.
func heard(t *testing.T, e *recurrencestest.Env, n int) {
	t.Helper()
	e.Gateway.Blind = false
	e.Webhook(charge.Reference(charge.ID(tenant, "rec-1", "2025-10-30"), n))
	for range 2 {
		answers(t, e)
		e.Sweep()
	}
	e.LookUp(0)
}

// told wants so many findings that what is closed was charged, with the sum in suspense.
func told(t *testing.T, e *recurrencestest.Env, findings int64) {
	t.Helper()
	if n := e.Count("SELECT count(*) FROM recon_findings WHERE code = 'paid_after_closed' AND difference > 0"); n != findings {
		t.Errorf("%d findings that it was charged, want %d: %s", n, findings, e.Charge("rec-1", "2025-10-30").State)
	}
	if n := e.Count("SELECT count(*) FROM charges WHERE contradicted"); n != findings {
		t.Errorf("%d charges are contradicted, want %d", n, findings)
	}
	if n := e.Count("SELECT count(*) FROM prechecks WHERE state IN ('asking', 'found')"); n != 0 {
		t.Errorf("%d questions are open still", n)
	}
	e.CheckEvents()
	differ, _, err := ledger.Verify(e.Ctx(), e.Pool, tenant, 100)
	if err != nil || len(differ) > 0 {
		t.Errorf("the books differ: %v, %v", differ, err)
	}
}

// lost has the gateway told of the n-th attempt of the charge, of which the tables know nothing.
func lost(e *recurrencestest.Env, n int, token string) {
	c := e.Charge("rec-1", "2025-10-30")
	e.Gateway.Submit(e.Ctx(), provider.Transfer{Reference: charge.Reference(c.ID, n), Destination: "visa/" + token, Amount: c.Amount})
}

// Cancelled on its gateway's word of the last hour, and then its webhook says that it was charged before the restore.
func TestAWebhookAfterAChargeWasCancelledIsFollowed(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	afterwards(t, e)
	must(t, e, pause) // it is proven, and not sent
	answers(t, e)
	if refused, _ := cancel(t, e); refused {
		t.Fatal("not cancelled")
	}
	heard(t, e, 1)
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Cancelled || len(e.Gateway.Sends()) != 1 {
		t.Errorf("%s after %d sends", c.State, len(e.Gateway.Sends()))
	}
	told(t, e, 1)
}

// The tables know the first attempt, and have lost the second, which was charged: beside one that was charged, or was declined for good.
func TestAWebhookOfALostAttemptOfAChargeThatHasEnded(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]charge.State{recurrencestest.OK: charge.Succeeded, recurrencestest.Hard: charge.FailedHard, recurrencestest.Lost: charge.FailedHard} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
			e.Agree("rec-1", "2025-10-30", token)
			e.Morning("2025-10-30")
			answers(t, e)
			e.Sweep()
			if c := e.Charge("rec-1", "2025-10-30"); c.State != want {
				t.Fatalf("%s", c.State)
			}
			lost(e, 2, recurrencestest.OK)
			heard(t, e, 2)
			if c := e.Charge("rec-1", "2025-10-30"); c.State != want {
				t.Errorf("%s", c.State)
			}
			told(t, e, 1)
			err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
				return e.Resolver.ChargeNow(ctx, tx, tenant, charge.ID(tenant, "rec-1", "2025-10-30"))
			})
			refused(t, err)
		})
	}
}

// A lost attempt that was declined contradicts nothing. With another card the charge goes under a reference that the gateway does not know.
func TestALostAttemptThatWasDeclinedIsCounted(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
	e.Agree("rec-1", "2025-10-30", recurrencestest.Hard)
	e.Morning("2025-10-30")
	answers(t, e)
	e.Sweep()
	lost(e, 2, recurrencestest.Hard)
	heard(t, e, 2)
	told(t, e, 0)
	e.Gateway.Say(recurrencestest.Hard, recurrencestest.OK)
	must(t, e, func(r *resolve.Resolver, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
		return r.ChargeNow(ctx, tx, tenant, id)
	})
	answers(t, e)
	e.Sweep()
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || c.Attempt != 3 {
		t.Errorf("%s with attempt %d", c.State, c.Attempt)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// What is not sent and has not ended goes on with what was found: it was charged.
func TestAWebhookOfAChargeThatWaitsIsFollowed(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	answers(t, e)
	e.Sweep()
	lost(e, 2, recurrencestest.OK)
	e.Clock.Advance(time.Hour)
	heard(t, e, 2)
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || c.Attempt != 2 {
		t.Errorf("%s with attempt %d", c.State, c.Attempt)
	}
	told(t, e, 0)
	e.CheckBooks()
}
