package plan_test

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const tenant = "wallclub"

// env is the jobs on a fresh schema, with a tenant as in the sample data and a gateway that answers by the card's token.
type env struct {
	pool    *pgxpool.Pool
	clock   *clock.Virtual
	store   *store.Store
	runs    *run.Store
	planner *plan.Planner
	rules   *config.Recurrences
	sent    map[string]int // attempts by recurrence and cycle, as the gateway saw them
	t       testing.TB
}

func newEnv(t testing.TB) *env {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, inbox.Migrations, auth.Migrations, ledger.Migrations, provider.Migrations,
		attempt.Migrations, webhook.Migrations, run.Migrations, migrations.Set)
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	rules := &config.Recurrences{
		MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, BusinessDay: recurrence.Following, CardFailureLimit: 5,
		CleanupAfterDays: 180, DefaultGateway: "cielo",
	}
	clk := clock.NewVirtual(time.Date(2025, 10, 30, 11, 0, 5, 0, time.UTC))
	out := outbox.New(outbox.Config{Service: store.Service}, outbox.Deps{Pool: pool})
	e := &env{pool: pool, clock: clk, rules: rules, sent: map[string]int{}, t: t}
	e.store = &store.Store{Pool: pool, Outbox: out, Clock: clk, Tenants: &config.File{Tenants: []config.Tenant{{
		ID: tenant, Timezone: "America/Sao_Paulo", Location: saoPaulo, Currency: "BRL", Locale: "pt-BR", Mode: "sandbox", Recurrences: rules,
	}}}}
	e.runs = &run.Store{Service: store.Service, Pool: pool, Outbox: out, Clock: clk}
	e.planner = &plan.Planner{Store: e.store, Runs: e.runs}
	return e
}

func (e *env) ctx() context.Context {
	return event.WithCause(e.t.Context(), event.Cause{Actor: "user:test", CorrelationID: "test"})
}

func (e *env) inTx(fn func(tx pgx.Tx) error) {
	e.t.Helper()
	if err := pg.InTx(e.ctx(), e.pool, fn); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) policy() recurrence.Policy {
	c, err := recurrence.NewCalendar(e.rules.BusinessDay, e.rules.Holidays)
	if err != nil {
		e.t.Fatal(err)
	}
	return recurrence.Policy{Calendar: c, CatchUpDays: e.rules.CatchUpDays, CleanupAfterDays: e.rules.CleanupAfterDays}
}

func on(s string) recurrence.Date {
	d, err := recurrence.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// rec is a monthly recurrence of seller-1 whose card answers by its token; change what a test is about.
func (e *env) rec(id, next, token string) store.Recurrence {
	date := on(next)
	return store.Recurrence{
		Key: store.Key{Tenant: tenant, ID: id}, CustomerID: "cus-" + id, SellerID: "seller-1", Amount: money.Amount{Minor: 4990, Currency: "BRL"},
		Terms:  recurrence.Terms{Rhythm: recurrence.Rhythm{Period: recurrence.Monthly, Day: date.Time().Day()}},
		At:     recurrence.Position{Next: e.policy().Cycle(date)},
		CardID: store.CardID(tenant, token), State: recurrence.Active,
		Imported: []byte(strconv.Quote(token)),
	}
}

func (e *env) insert(all ...store.Recurrence) {
	e.t.Helper()
	cards := make([]store.Card, len(all))
	for i, r := range all {
		token, err := strconv.Unquote(string(r.Imported))
		if err != nil {
			e.t.Fatal(err)
		}
		cards[i] = store.Card{Tenant: tenant, Token: token, Brand: "visa"}
	}
	e.inTx(func(tx pgx.Tx) error {
		if err := e.store.InsertCards(e.ctx(), tx, cards); err != nil {
			return err
		}
		in, err := e.store.InsertRecurrences(e.ctx(), tx, all)
		if err == nil && len(in) != len(all) {
			err = fmt.Errorf("%d of %d inserted", len(in), len(all))
		}
		return err
	})
}

// sample brings the sample data, as an import does.
func (e *env) sample() {
	e.t.Helper()
	f, err := os.Open("testdata/wallclub-recurrences-2025-10-30.csv")
	if err != nil {
		e.t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		e.t.Fatal(err)
	}
	var all []store.Recurrence
	for _, row := range rows[1:] {
		col := map[string]string{}
		for i, name := range rows[0] {
			col[name] = row[i]
		}
		amount, err := money.Parse(col["amount"], money.Currency(col["currency"]))
		if err != nil {
			e.t.Fatal(err)
		}
		day, _ := strconv.Atoi(col["anchor_day"])
		month, _ := strconv.Atoi(col["anchor_month"])
		in := recurrence.Imported{
			State: recurrence.State(col["status"]), NextChargeDate: on(col["next_charge_date"]),
			Terms: recurrence.Terms{Rhythm: recurrence.Rhythm{Period: recurrence.Period(col["period"]), Day: day, Month: month}},
		}
		at, err := e.policy().Position(in, e.store.Clock.Now())
		if err != nil {
			e.t.Fatalf("%s: %v", col["recurrence_id"], err)
		}
		r := store.Recurrence{
			Key: store.Key{Tenant: tenant, ID: col["recurrence_id"]}, CustomerID: col["customer_id"], CustomerName: col["customer_name"],
			SellerID: col["seller_id"], Amount: amount, Terms: in.Terms, At: at, State: in.State,
			CardID: store.CardID(tenant, col["card_token"]), Imported: []byte(strconv.Quote(col["card_token"])),
		}
		if recurrence.Ended(r.State) {
			now := e.store.Clock.Now()
			r.EndedAt = &now
		}
		all = append(all, r)
	}
	e.insert(all...)
}

// tick is the run of a job's tick. Nominal times are given in UTC; the local date is São Paulo's.
func (e *env) tick(job, nominal string) run.Run {
	e.t.Helper()
	at, err := time.Parse(time.RFC3339, nominal)
	if err != nil {
		e.t.Fatal(err)
	}
	t, _ := e.store.Tenants.Tenant(tenant)
	schedule := strings.TrimPrefix(job, "recurrences/")
	id := fmt.Sprintf("%s/recurrences/%s@%s", tenant, schedule, nominal)
	r := run.Run{
		Service: store.Service, ID: run.ID(id), TickID: id, Tenant: tenant, Schedule: schedule, Job: job, NominalTime: at,
		LocalDate: at.In(t.Location).Format(time.DateOnly), WindowStart: at.AddDate(0, 0, -1), WindowEnd: at, Timezone: t.Timezone,
		Trigger: "cron", Correlation: id, Causation: id,
	}
	e.inTx(func(tx pgx.Tx) error { _, err := e.runs.Insert(e.ctx(), tx, r); return err })
	return r
}

// pages does all pages of a run, and returns what they did and how many they were. Done again, they are done anew, as if
// nothing of the first time had been kept but the rows.
func (e *env) pages(r run.Run) (done, pages int) {
	e.t.Helper()
	for {
		out, err := e.page(r)
		if err != nil {
			e.t.Fatal(err)
		}
		done, pages = done+out.Done, pages+1
		if out.Last {
			return done, pages
		}
		r.Cursor, r.Page = out.Cursor, r.Page+1
	}
}

func (e *env) page(r run.Run) (out run.Page, err error) {
	err = pg.InTx(e.ctx(), e.pool, func(tx pgx.Tx) error {
		out, err = e.planner.Jobs()[r.Job](e.ctx(), tx, r)
		return err
	})
	return out, err
}

// run does a job of a tick.
func (e *env) run(job, nominal string) (done int) {
	e.t.Helper()
	done, _ = e.pages(e.tick(job, nominal))
	return done
}

// morning does 08:00 of a local date and has the gateway answer.
func (e *env) morning(date string) int {
	e.t.Helper()
	done := e.run(plan.JobChargeDue, date+"T11:00:00Z")
	e.answer()
	return done
}

// retry does 10:00 of a local date and has the gateway answer.
func (e *env) retry(date string) {
	e.t.Helper()
	e.run(plan.JobRetryFailed, date+"T13:00:00Z")
	e.answer()
}

// answer sends what is wanted and records what the gateway says of each token.
func (e *env) answer() {
	e.t.Helper()
	for _, c := range e.wanted() {
		e.begin(c)
		e.record(c.ID, byToken(e.token(c.CardID)))
	}
}

func (e *env) wanted() []store.Charge {
	e.t.Helper()
	ids := list[uuid.UUID](e, "SELECT charge_id FROM charges WHERE send_run IS NOT NULL AND state <> 'submitting' ORDER BY recurrence_id, cycle")
	all, err := e.store.Charges(e.ctx(), e.pool, ids...)
	if err != nil {
		e.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b store.Charge) int { return cmp.Compare(a.RecurrenceID, b.RecurrenceID) })
	return all
}

// begin is what a claim does.
func (e *env) begin(c store.Charge) {
	e.t.Helper()
	e.inTx(func(tx pgx.Tx) error {
		_, err := e.store.ApplyCharges(e.ctx(), tx, []store.ChargeChange{{
			ID: c.ID, From: []charge.State{c.State}, To: charge.Submitting, Attempt: c.Attempt + 1, Reference: charge.Reference(c.ID, c.Attempt+1),
		}})
		return err
	})
	e.sent[c.RecurrenceID+" "+c.Cycle.Date.String()]++
}

func byToken(token string) charge.Answer {
	switch {
	case strings.HasPrefix(token, "tok_soft"):
		return charge.Answer{Class: charge.ClassRejectedRetryable, Scope: "payment", Code: "insufficient_funds"}
	case strings.HasPrefix(token, "tok_hard"):
		return charge.Answer{Class: charge.ClassRejectedFinal, Scope: charge.ScopeCard, Code: "expired_card"}
	case strings.HasPrefix(token, "tok_timeout"):
		return charge.Answer{Class: "AMBIGUOUS", Code: "timeout"}
	case strings.HasPrefix(token, "tok_down"):
		return charge.Answer{Class: charge.ClassNotSent, Code: "connect"}
	default:
		return charge.Answer{Class: charge.ClassSucceeded}
	}
}

func (e *env) record(id uuid.UUID, a charge.Answer) {
	e.t.Helper()
	if err := e.recorded(id, a); err != nil {
		e.t.Fatal(err)
	}
}

// recorded writes an answer down by the rules of package charge.
func (e *env) recorded(id uuid.UUID, a charge.Answer) error {
	return pg.InTx(e.ctx(), e.pool, func(tx pgx.Tx) error {
		locked, err := e.store.LockCharges(e.ctx(), tx, id)
		if err != nil {
			return err
		}
		c := locked[0]
		o := a.Outcome(c.State, c.Tries)
		tried := 0
		if o.Declined {
			tried = 1
		}
		attempted := cmp.Or(c.Send.Date, c.LastAttempt)
		policy := e.policy()
		retries := charge.Retries{Calendar: policy.Calendar, Days: e.rules.RetryDays, Max: e.rules.MaxRetries}
		o, next := retries.Declined(o, cmp.Or(c.FirstAttempt, attempted), attempted, c.Tries+tried)
		reason := store.Reason{Class: a.Class, Scope: a.Scope, Code: a.Code}
		first := store.ChargeChange{ID: id, From: []charge.State{c.State}, To: o.State, Reason: reason, Tried: tried, RetryOn: next, Again: o.Again}
		changes := []store.ChargeChange{first}
		if o.State == charge.Exhausted {
			changes[0].To = charge.FailedSoft
			changes = append(changes, store.ChargeChange{ID: id, From: []charge.State{charge.FailedSoft}, To: charge.Exhausted, Reason: reason})
		}
		if _, err := e.store.ApplyCharges(e.ctx(), tx, changes); err != nil {
			return err
		}
		return e.follow(tx, c, o)
	})
}

// follow moves what hangs on a charge: its card, its recurrence.
func (e *env) follow(tx pgx.Tx, c store.Charge, o charge.Outcome) error {
	ctx := e.ctx()
	cards, err := e.store.LockCards(ctx, tx, c.CardID)
	if err != nil {
		return err
	}
	failures, invalid := o.Failures(cards[0].Failures, e.rules.CardFailureLimit)
	if err := e.store.CountFailures(ctx, tx, map[uuid.UUID]int{c.CardID: failures}); err != nil {
		return err
	}
	unpaid, err := e.store.Unpaid(ctx, tx, c.Key())
	if err != nil {
		return err
	}
	all, err := e.store.LockRecurrences(ctx, tx, c.Key())
	if err != nil {
		return err
	}
	others := slices.ContainsFunc(unpaid[c.Key()], func(u store.Charge) bool { return u.ID != c.ID && u.State != charge.Due })
	r := all[0]
	to, code := charge.Standing{State: r.State, OthersUnpaid: others, CardInvalid: invalid}.After(o)
	if to != r.State {
		change := store.RecurrenceChange{Key: r.Key, From: []recurrence.State{r.State}, To: to, Reason: store.Reason{Code: code}, HeldBy: &c.NominalTime}
		if _, err := e.store.ApplyRecurrences(ctx, tx, []store.RecurrenceChange{change}); err != nil {
			return err
		}
	}
	if invalid {
		why := map[uuid.UUID]store.Reason{c.CardID: {Code: charge.CodeCardFailures}}
		if _, err := e.store.InvalidateCards(ctx, tx, why, map[uuid.UUID]*time.Time{c.CardID: &c.NominalTime}); err != nil {
			return err
		}
	}
	_, err = e.store.CompleteFinished(ctx, tx, r.Key)
	return err
}

func (e *env) token(card uuid.UUID) string {
	return list[string](e, "SELECT token FROM cards WHERE card_id = $1", card)[0]
}

// list reads one column.
func list[T any](e *env, sql string, args ...any) []T {
	e.t.Helper()
	rows, err := e.pool.Query(e.t.Context(), sql, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

func (e *env) exec(sql string, args ...any) {
	e.t.Helper()
	if _, err := e.pool.Exec(e.t.Context(), sql, args...); err != nil {
		e.t.Fatal(err)
	}
}

// count reads one number.
func (e *env) count(sql string, args ...any) int64 {
	e.t.Helper()
	return list[int64](e, sql, args...)[0]
}

// states are the recurrences' states with the codes of their reasons, and their next charge dates.
func (e *env) states() []string {
	e.t.Helper()
	return list[string](e, `SELECT concat_ws(' ', recurrence_id, state, NULLIF(reason_code, ''), 'next', next_charge_date) FROM recurrences ORDER BY recurrence_id`)
}

// charges are the charges' states by recurrence and cycle.
func (e *env) charges() []string {
	e.t.Helper()
	return list[string](e, `SELECT concat_ws(' ', recurrence_id, cycle, state, 'retry ' || retry_on) FROM charges ORDER BY recurrence_id, cycle`)
}

// dump is every row that a job may write.
func (e *env) dump() string {
	e.t.Helper()
	var b strings.Builder
	for _, table := range []string{"recurrences", "charges", "cards", "missed_cycles", "hold_digests"} {
		for _, row := range list[string](e, fmt.Sprintf("SELECT (to_jsonb(t) - 'updated_at')::text FROM %s t ORDER BY 1", table)) {
			fmt.Fprintf(&b, "%s %s\n", table, row)
		}
	}
	fmt.Fprintf(&b, "%d events\n", e.count("SELECT count(*) FROM outbox WHERE stream = $1", stream.Events))
	return b.String()
}

// checkEvents fails the test unless events have contiguous versions per aggregate, each follows from the one before it, and
// the last one tells what the tables hold (promise 5).
func (e *env) checkEvents() {
	e.t.Helper()
	versions, states := map[string]int64{}, map[string]string{}
	rows, err := e.pool.Query(e.t.Context(), "SELECT headers, payload FROM outbox WHERE stream = $1 ORDER BY seq", stream.Events)
	if err != nil {
		e.t.Fatal(err)
	}
	var headers, payload []byte
	_, err = pgx.ForEachRow(rows, []any{&headers, &payload}, func() error {
		var h map[string]string
		var body struct {
			State    string `json:"state"`
			Previous string `json:"previous_state"`
		}
		if err := cmp.Or(json.Unmarshal(headers, &h), json.Unmarshal(payload, &body)); err != nil {
			return err
		}
		ev, err := event.ParseHeaders(func(k string) string { return h[k] })
		if err != nil {
			return err
		}
		key := ev.Type.Aggregate() + " " + ev.Subject
		before, known := states[key]
		if ev.Version != versions[key]+1 || known && before != body.Previous {
			e.t.Errorf("%s: %s from %q has version %d, after %q with %d", key, ev.Type, body.Previous, ev.Version, before, versions[key])
		}
		versions[key], states[key] = ev.Version, body.State
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	for table, sql := range map[string]string{
		"recurrence": "SELECT recurrence_id || ' ' || state || ' ' || version FROM recurrences",
		"charge":     "SELECT charge_id || ' ' || state || ' ' || version FROM charges",
	} {
		for _, row := range list[string](e, sql) {
			id, want, _ := strings.Cut(row, " ")
			if got := fmt.Sprintf("%s %d", states[table+" "+id], versions[table+" "+id]); got != want {
				e.t.Errorf("%s %s: events end in %q, the table has %q", table, id, got, want)
			}
		}
	}
}
