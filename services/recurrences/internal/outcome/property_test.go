package outcome_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Whatever cards answer, whatever gets lost, and whatever people do in between: no charge's money is taken twice, none of a
// recurrence's charges is under way beside another, the books hold what the charges say, and the events tell all of it.
func TestAnyHistoryKeepsThePromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		e := recurrencestest.New(t)
		h := history{Env: e, rt: rt, day: recurrencestest.On("2025-10-29")}
		for i := range h.recurrences() {
			weekly := recurrence.Rhythm{Period: recurrence.Days, Interval: rapid.IntRange(1, 9).Draw(rt, "interval")}
			e.Agree(h.id(i), "2025-10-30", h.token(i%2), func(r *store.Recurrence) { r.Terms.Rhythm = weekly }) // two share a card
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
			e.CheckBooks()
			if t.Failed() {
				return
			}
		}
		e.CheckEvents()
	})
}

type history struct {
	*recurrencestest.Env
	rt    *rapid.T
	day   recurrence.Date
	cards int
}

func (h *history) recurrences() int   { return 3 }
func (h *history) id(i int) string    { return fmt.Sprintf("rec-%d", i) }
func (h *history) token(i int) string { return fmt.Sprintf("tok_ok_%d", i) }
func (h *history) some() string {
	return h.id(rapid.IntRange(0, h.recurrences()-1).Draw(h.rt, "recurrence"))
}
func (h *history) date() string { return h.day.String() }
func (h *history) kind() string {
	return rapid.SampledFrom([]string{
		recurrencestest.OK, recurrencestest.Soft, recurrencestest.Soft, recurrencestest.Hard, recurrencestest.Lost, recurrencestest.Action,
		recurrencestest.TimeoutPaid, recurrencestest.TimeoutSoft, recurrencestest.TimeoutGone, recurrencestest.Pending, recurrencestest.Busy,
	}).Draw(h.rt, "card")
}

func (h *history) step() {
	switch rapid.IntRange(0, 9).Draw(h.rt, "step") {
	case 0, 1:
		h.Gateway.Say(h.token(rapid.IntRange(0, 1+h.cards).Draw(h.rt, "token")), h.kind())
	case 2, 3, 4:
		h.day++
		h.Morning(h.date())
		h.Retry(h.date())
	case 5:
		h.LookUp(time.Duration(rapid.IntRange(1, 20).Draw(h.rt, "seconds")) * time.Second)
	case 6:
		h.Sweep()
	case 7:
		h.hear()
	default:
		h.person()
	}
}

// hear has the gateway finish what is pending, or take back a decline, and say so.
func (h *history) hear() {
	for _, s := range h.Gateway.Sends() {
		if !rapid.Bool().Draw(h.rt, "spoken of") {
			continue
		}
		found, err := h.Gateway.Lookup(h.Ctx(), s)
		if err == nil && found.Exists && found.Result.Class == provider.Accepted {
			h.Gateway.Finish(s.Reference, rapid.SampledFrom([]provider.Result{
				{Class: provider.Succeeded}, {Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "insufficient_funds"},
			}).Draw(h.rt, "result"))
		}
		h.Webhook(s.Reference)
	}
	h.LookUp(time.Second)
}

// person does something that may be refused.
func (h *history) person() {
	id, tenant := h.some(), recurrencestest.Tenant
	charges := h.Charges(id)
	todo := map[string]func(ctx context.Context, tx pgx.Tx) error{
		"pause":      func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.Pause(ctx, tx, tenant, id, "") },
		"resume":     func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.Resume(ctx, tx, tenant, id, "") },
		"reactivate": func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.Reactivate(ctx, tx, tenant, id, "") },
		"new card": func(ctx context.Context, tx pgx.Tx) error {
			h.cards++
			return h.Resolver.SetCard(ctx, tx, tenant, id, h.token(1+h.cards), "visa")
		},
	}
	if len(charges) > 0 {
		c := rapid.SampledFrom(charges).Draw(h.rt, "charge")
		todo["charge now"] = func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.ChargeNow(ctx, tx, tenant, c.ID) }
		todo["cancel charge"] = func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.CancelCharge(ctx, tx, tenant, c.ID, "") }
		if c.State == charge.ManualReview {
			todo["resolve"] = func(context.Context, pgx.Tx) error { return h.resolve(c) }
		}
	}
	names := make([]string, 0, len(todo))
	for _, name := range []string{"pause", "resume", "reactivate", "new card", "charge now", "cancel charge", "resolve"} {
		if todo[name] != nil {
			names = append(names, name)
		}
	}
	_ = h.Decide(todo[rapid.SampledFrom(names).Draw(h.rt, "person")]) // a refusal is an answer, too
	h.Clock.Advance(time.Second)
}

// resolve has two people say that a charge was not made, with a lookup in between.
func (h *history) resolve(c store.Charge) error {
	words := resolve.Resolution{Outcome: resolve.NotPaid, PayAgain: rapid.Bool().Draw(h.rt, "again"), Evidence: "looked"}
	var err error
	for _, who := range []string{"ada", "bob"} {
		ctx := h.As(who)
		err = pg.InTx(ctx, h.Pool, func(tx pgx.Tx) error {
			_, err := h.Resolver.ResolveCharge(ctx, tx, recurrencestest.Tenant, c.ID, words)
			return err
		})
		h.LookUp(30 * time.Second)
	}
	return err
}
