package resolve_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// denied is a charge that was sent before a restore, of which its gateway has said since that it knows no such reference; and its id there.
func denied(t *testing.T) (e *recurrencestest.Env, id string) {
	t.Helper()
	e = recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	send := e.Exec.Dispatch
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	run := e.Morning("2025-10-30")
	restore := pgtest.Backup(t, e.Pool)
	e.Exec.Dispatch = send
	if err := e.Dispatch(e.Ctx(), run, 0); err != nil {
		t.Fatal(err)
	}
	restore()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
	must(t, e, pause)
	e.Gateway.Blind = true
	cancel(t, e) // has it asked about
	answers(t, e)
	if n := e.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
		t.Fatalf("%d absent", n)
	}
	return e, recurrencestest.ID(e.Gateway.Sends()[0].Reference)
}

// Cielo names its own id of a sale in webhooks, and the attempt that knew it is lost. It ends what was proven absent before it as one by our reference does:
// the card is not charged a second time within the hour, nor is the charge cancelled.
func TestAWebhookThatNamesASaleByItsIDEndsWhatWasSaidSinceTheRestore(t *testing.T) {
	t.Parallel()
	for name, nameless := range map[string]bool{"shown at once": false, "shown later": true} {
		for who, does := range map[string]func(*recurrencestest.Env, context.Context, pgx.Tx, uuid.UUID) error{
			"charges": func(e *recurrencestest.Env, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				return e.Resolver.ChargeNow(ctx, tx, tenant, id)
			},
			"cancels": func(e *recurrencestest.Env, ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				return cancelOne(e.Resolver, ctx, tx, id)
			},
		} {
			t.Run(name+", a person "+who, func(t *testing.T) {
				t.Parallel()
				e, id := denied(t)
				e.Gateway.Nameless = nameless
				e.Post(id, 0)
				if err := e.Prechecks.Pass(e.Ctx()); err != nil {
					t.Fatal(err)
				}
				acts := func() {
					_ = e.Decide(func(ctx context.Context, tx pgx.Tx) error {
						return does(e, ctx, tx, charge.ID(tenant, "rec-1", "2025-10-30"))
					})
					cancel(t, e) // has it asked about, if that was refused for it
					answers(t, e)
				}
				acts()
				if nameless {
					e.Clock.Advance(10 * time.Minute)
					acts()
					if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Due || len(e.Gateway.Sends()) != 1 {
						t.Errorf("%s after %d sends, though a webhook may be about it", c.State, len(e.Gateway.Sends()))
					}
				}
				e.Gateway.Nameless, e.Gateway.Blind = false, false
				e.Clock.Advance(10 * time.Minute)
				answers(t, e)
				acts()
				e.LookUp(48 * time.Hour)
				if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || len(e.Gateway.Sends()) != 1 {
					t.Errorf("%s (%s) after %d sends", c.State, c.Reason.Code, len(e.Gateway.Sends()))
				}
				e.CheckEvents()
				e.CheckBooks()
			})
		}
	}
}

// Somebody holds the question when it is told whose the id is: the webhook is not taken for heard, and nothing is believed until it is.
func TestAWebhookWhoseQuestionIsHeldIsHeardLater(t *testing.T) {
	t.Parallel()
	e, id := denied(t)
	e.InTx(func(tx pgx.Tx) error {
		_, err := tx.Exec(e.Ctx(), "SELECT FROM prechecks FOR UPDATE")
		e.Post(id, 0)
		return errors.Join(err, e.Prechecks.Pass(e.Ctx()))
	})
	err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return e.Resolver.ChargeNow(ctx, tx, tenant, charge.ID(tenant, "rec-1", "2025-10-30"))
	})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, e)
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends", n)
	}
	e.Gateway.Blind = false
	e.LookUp(48 * time.Hour)
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || len(e.Gateway.Sends()) != 1 {
		t.Errorf("%s (%s) after %d sends", c.State, c.Reason.Code, len(e.Gateway.Sends()))
	}
}
