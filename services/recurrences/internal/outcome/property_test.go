package outcome_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/money"
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
		one := single{t, rt}
		e := recurrencestest.New(one)
		h := history{Env: e, rt: rt, day: recurrencestest.On("2025-10-29")}
		if rapid.Bool().Draw(rt, "deduplicates") { // for a day
			e.Connector.Policy.Deduplicates = true
			e.Gateway.Remembers, e.Gateway.Now = 24*time.Hour, e.Clock.Now
		}
		for i := range h.recurrences() {
			weekly := recurrence.Rhythm{Period: recurrence.Days, Interval: rapid.IntRange(1, 9).Draw(rt, "interval")}
			e.Agree(h.id(i), "2025-10-30", h.token(i%2), func(r *store.Recurrence) { r.Terms.Rhythm = weekly }) // two share a card
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
			e.CheckBooks()
			if one.Failed() {
				return
			}
		}
		h.settle()
		h.nothingIsStuck(one)
		h.takenBackOnce(one)
		e.CheckBooks()
		e.CheckEvents()
	})
}

// single is one history of a test's many: its connections go with it, or a search ends where the server has no more of them, and what it
// fails is told to rapid, which names its seed and makes it shorter.
type single struct {
	testing.TB
	rt *rapid.T
}

func (s single) Cleanup(fn func())                 { s.rt.Cleanup(fn) }
func (s single) Context() context.Context          { return s.rt.Context() }
func (s single) Failed() bool                      { return s.rt.Failed() }
func (s single) Error(args ...any)                 { s.rt.Error(args...) }
func (s single) Errorf(format string, args ...any) { s.rt.Errorf(format, args...) }
func (s single) Fatal(args ...any)                 { s.rt.Fatal(args...) }
func (s single) Fatalf(format string, args ...any) { s.rt.Fatalf(format, args...) }

func TestHistoriesHoldNothingOfThoseBefore(t *testing.T) {
	t.Parallel()
	var before *recurrencestest.Env
	lived := 0
	rapid.Check(t, func(rt *rapid.T) {
		if lived++; lived > 2 {
			return
		}
		if before != nil && before.Pool.Ping(t.Context()) == nil {
			rt.Error("the history before still holds its connections")
		}
		before = recurrencestest.New(single{t, rt})
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
		recurrencestest.TimeoutPaid, recurrencestest.TimeoutSoft, recurrencestest.TimeoutGone, recurrencestest.Pending, recurrencestest.Busy, recurrencestest.Down, recurrencestest.WrongKey,
	}).Draw(h.rt, "card")
}

func (h *history) step() {
	switch rapid.IntRange(0, 12).Draw(h.rt, "step") {
	case 0, 1:
		h.Gateway.Say(h.token(rapid.IntRange(0, 1+h.cards).Draw(h.rt, "token")), h.kind())
	case 2, 3, 4:
		h.day++
		h.WhileTimePasses(func() {
			h.Morning(h.date())
			h.Retry(h.date())
		})
	case 5:
		h.open()
		after := time.Duration(rapid.IntRange(1, 20).Draw(h.rt, "seconds")) * time.Second
		h.WhileTimePasses(func() { h.LookUp(after) })
	case 6:
		h.WhileTimePasses(h.Sweep)
	case 7:
		h.hear()
	case 8:
		h.takeBack()
	case 9:
		h.deny()
	default:
		h.person()
	}
}

// deny has a gateway that deduplicates know nothing for a while, or what it knew again, and asks it about what is in doubt.
func (h *history) deny() {
	if !h.Connector.Policy.Deduplicates {
		return
	}
	h.Gateway.Blind = !h.Gateway.Blind
	for range 3 {
		h.WhileTimePasses(func() { h.LookUp(10 * time.Second) })
	}
}

// open has the gateway serve us again, if it was stopped.
func (h *history) open() {
	h.InTx(func(tx pgx.Tx) error {
		if _, err := h.States.ResumeStopped(h.Ctx(), tx, recurrencestest.Tenant, provider.Reason{Code: "by_person"}); err != nil {
			return err
		}
		return h.Book.Wake(h.Ctx(), tx, recurrencestest.Tenant)
	})
}

// settle removes what hinders sends, and gives everybody time.
func (h *history) settle() {
	h.Gateway.Blind = false
	for i := range 2 + h.cards {
		h.Gateway.Say(h.token(i), recurrencestest.OK)
	}
	for range 4 {
		h.open()
		h.WhileTimePasses(func() {
			h.Sweep()
			h.LookUp(30 * time.Second)
		})
	}
}

// nothingIsStuck fails the test unless everything has an end or waits for something that has a name.
func (h *history) nothingIsStuck(t testing.TB) {
	t.Helper()
	const doubt = `EXISTS (SELECT 1 FROM charges o WHERE o.recurrence_id = c.recurrence_id AND o.state IN ('processing', 'unknown', 'manual_review'))`
	const asked = `EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = c.charge_id AND a.next_lookup_at IS NOT NULL)`
	for what, sql := range map[string]string{
		"runs are open":                     `SELECT count(*) FROM runs WHERE state IN ('running', 'queued')`,
		"charges are on their way for ever": `SELECT count(*) FROM charges WHERE state = 'submitting'`,
		"charges are to be sent, and nothing hinders them": `SELECT count(*) FROM charges c WHERE c.send_run IS NOT NULL
			AND (c.not_before IS NULL OR c.not_before <= $1) AND NOT ` + doubt + ` AND NOT ` + asked,
		"charges are open of what has ended": `SELECT count(*) FROM charges c JOIN recurrences r USING (tenant, recurrence_id)
			WHERE r.state = 'cancelled' AND c.state IN ('due', 'failed_soft', 'requires_action') AND NOT c.contradicted
			AND NOT (` + doubt + ` AND EXISTS (SELECT 1 FROM endings e WHERE e.charge_id = c.charge_id))`,
		"declined charges are never retried": `SELECT count(*) FROM charges c JOIN recurrences r USING (tenant, recurrence_id)
			WHERE c.state = 'failed_soft' AND c.send_run IS NULL AND NOT c.contradicted
			AND (r.state IN ('active', 'completed') OR r.state = 'past_due' AND c.retry_on IS NULL)`,
		"charges wait for a card that was given": `SELECT count(*) FROM charges c JOIN recurrences r USING (tenant, recurrence_id)
			JOIN cards k ON k.card_id = r.card_id
			WHERE r.state = 'hold' AND k.state = 'valid' AND c.card_id <> r.card_id AND c.send_run IS NULL AND NOT c.contradicted
			AND c.state IN ('failed_soft', 'failed_hard', 'requires_action', 'exhausted')`,
	} {
		args := []any{}
		if strings.Contains(sql, "$1") {
			args = append(args, h.Clock.Now())
		}
		if n := h.Count(sql, args...); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

// takenBackOnce fails the test unless what the gateway refunded is what is booked, and no more than was charged.
func (h *history) takenBackOnce(t testing.TB) {
	t.Helper()
	var refunded int64
	for _, s := range h.Gateway.Paid() {
		if s.Reversed != nil {
			refunded += s.Reversed.Refunded.Minor
		}
	}
	const doubt = "SELECT count(*) FROM charges WHERE contradicted OR state IN ('submitting', 'processing', 'unknown', 'manual_review')"
	if got := h.Count("SELECT COALESCE(sum(refunded), 0)::bigint FROM charges"); got > refunded || got < refunded && h.Count(doubt) == 0 {
		t.Errorf("refunds of %d are booked, the gateway made %d", got, refunded)
	}
	if n := h.Count("SELECT count(*) FROM charges WHERE refunded > amount"); n != 0 {
		t.Errorf("%d charges were refunded with more than they took", n)
	}
	books := h.Balances()
	if books["suspense"] != 0 && h.Count("SELECT count(*) FROM recon_findings") == 0 {
		t.Errorf("suspense holds %d, and nothing is contradicted", books["suspense"])
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
	h.WhileTimePasses(func() { h.LookUp(time.Second) })
}

// takeBack has the gateway refund a sale, in part or in full, has its holder dispute it or a dispute lost, or repeats what was told,
// and says so.
func (h *history) takeBack() {
	sales := h.Gateway.Paid()
	if len(sales) == 0 {
		return
	}
	s := rapid.SampledFrom(sales).Draw(h.rt, "sale")
	back := provider.Reversed{Refunded: money.Amount{Currency: s.Amount.Currency}}
	if s.Reversed != nil {
		back = *s.Reversed
	}
	switch rapid.IntRange(0, 3).Draw(h.rt, "taken back") {
	case 0:
		most := s.Amount.Minor
		if id, err := uuid.Parse(s.Reference[:32]); err != nil || h.Count("SELECT count(*) FROM charges WHERE charge_id = $1 AND state = 'succeeded'", id) == 0 {
			most-- // one in doubt that is refunded whole was never charged
		}
		back.Refunded.Minor = rapid.Int64Range(min(most, back.Refunded.Minor), most).Draw(h.rt, "refunded")
	case 1:
		d := provider.Dispute{Case: fmt.Sprintf("case-%d", len(back.Disputes)), Amount: s.Amount, Lost: rapid.Bool().Draw(h.rt, "lost")}
		d.Amount.Minor = rapid.Int64Range(1, s.Amount.Minor).Draw(h.rt, "disputed")
		back.Disputes = append(slices.Clone(back.Disputes), d)
	case 2:
		back.Disputes = slices.Clone(back.Disputes)
		for i := range back.Disputes {
			back.Disputes[i].Lost = true
		}
	default: // the same again
	}
	h.Gateway.Blind = false // it knows what it speaks of
	h.Gateway.TakeBack(s.Reference, back.Refunded.Minor, back.Disputes...)
	h.Webhook(s.Reference)
	h.WhileTimePasses(func() { h.LookUp(time.Second) })
}

// settleDispute has a person decide the oldest dispute that is open.
func (h *history) settleDispute(ctx context.Context, tx pgx.Tx) error {
	var id uuid.UUID
	const oldest = "SELECT reversal_id FROM reversals WHERE kind = 'dispute' ORDER BY state <> 'open', created_at, key LIMIT 1"
	if err := tx.QueryRow(ctx, oldest).Scan(&id); err != nil {
		return err
	}
	outcome := rapid.SampledFrom([]string{"won", "lost"}).Draw(h.rt, "settled")
	_, err := h.Resolver.SettleDispute(ctx, tx, recurrencestest.Tenant, id, outcome)
	return err
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
		"settle a dispute": h.settleDispute,
	}
	if len(charges) > 0 {
		c := rapid.SampledFrom(charges).Draw(h.rt, "charge")
		todo["charge now"] = func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.ChargeNow(ctx, tx, tenant, c.ID) }
		todo["refresh"] = func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.Refresh(ctx, tx, tenant, c.ID) }
		todo["cancel charge"] = func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.CancelCharge(ctx, tx, tenant, c.ID, "") }
		if c.State == charge.ManualReview {
			todo["resolve"] = func(context.Context, pgx.Tx) error { return h.resolve(c) }
		}
	}
	names := make([]string, 0, len(todo))
	for _, name := range []string{"pause", "resume", "reactivate", "new card", "settle a dispute", "charge now", "refresh", "cancel charge", "resolve"} {
		if todo[name] != nil {
			names = append(names, name)
		}
	}
	todo["cancel"] = func(ctx context.Context, tx pgx.Tx) error { return h.Resolver.Cancel(ctx, tx, tenant, id, "") }
	if rapid.IntRange(0, 9).Draw(h.rt, "end") == 0 {
		names = append(names, "cancel")
	}
	h.WhileTimePasses(func() { _ = h.Decide(todo[rapid.SampledFrom(names).Draw(h.rt, "person")]) }) // a refusal is an answer, too
	h.Clock.Advance(time.Second)
}

// resolve has two people say that a charge was not made, with a lookup in between.
func (h *history) resolve(c store.Charge) error {
	h.Gateway.Blind = false // people look for themselves
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
