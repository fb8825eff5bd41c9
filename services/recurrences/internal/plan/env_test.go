package plan_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const tenant = recurrencestest.Tenant

// env is the service on a fresh schema. Its tests do the pages of runs themselves: before an answer, in the middle, again.
type env struct {
	*recurrencestest.Env
	pool    *pgxpool.Pool
	store   *store.Store
	planner *plan.Planner
	rules   *config.Recurrences
	begun   bool // a tick has come
	t       testing.TB
}

func newEnv(t testing.TB) *env {
	t.Helper()
	e := &env{Env: recurrencestest.New(t), t: t}
	e.pool, e.store, e.rules = e.Pool, e.Store, e.Rules()
	e.planner = &plan.Planner{Store: e.Store, Runs: e.Runs}
	e.Ticks.Jobs, e.Exec.Jobs = e.planner.Jobs(), e.planner.Jobs()
	return e
}

func (e *env) policy() recurrence.Policy {
	c, err := recurrence.NewCalendar(e.rules.BusinessDay, e.rules.Holidays)
	if err != nil {
		e.t.Fatal(err)
	}
	return recurrence.Policy{Calendar: c, CatchUpDays: e.rules.CatchUpDays, CleanupAfterDays: e.rules.CleanupAfterDays}
}

func on(s string) recurrence.Date { return recurrencestest.On(s) }

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
	e.InTx(func(tx pgx.Tx) error {
		if err := e.store.InsertCards(e.Ctx(), tx, cards); err != nil {
			return err
		}
		in, err := e.store.InsertRecurrences(e.Ctx(), tx, all)
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
	if late := at.Add(5 * time.Second); late.After(e.Clock.Now()) || !e.begun {
		e.Clock.Set(late)
	}
	e.begun = true
	t, _ := e.store.Tenants.Tenant(tenant)
	schedule := strings.TrimPrefix(job, "recurrences/")
	id := fmt.Sprintf("%s/recurrences/%s@%s", tenant, schedule, nominal)
	r := run.Run{
		Service: store.Service, ID: run.ID(id), TickID: id, Tenant: tenant, Schedule: schedule, Job: job, NominalTime: at,
		LocalDate: at.In(t.Location).Format(time.DateOnly), WindowStart: at.AddDate(0, 0, -1), WindowEnd: at, Timezone: t.Timezone,
		Trigger: "cron", Correlation: id, Causation: id,
	}
	e.InTx(func(tx pgx.Tx) error { _, err := e.Runs.Insert(e.Ctx(), tx, r); return err })
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
	err = pg.InTx(e.Ctx(), e.pool, func(tx pgx.Tx) error {
		out, err = e.planner.Jobs()[r.Job](e.Ctx(), tx, r)
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

// answer sends what is wanted and takes the gateway's answers.
func (e *env) answer() {
	e.t.Helper()
	for at := range e.places() {
		if err := e.Dispatch(e.Ctx(), at.Run, at.Page); err != nil {
			e.t.Fatal(err)
		}
	}
}

// places are the pages that have something to send.
func (e *env) places() map[run.Place]bool {
	e.t.Helper()
	places := map[run.Place]bool{}
	for _, c := range e.wanted() {
		places[run.Place{Run: c.Send.Run, Page: c.Send.Page}] = true
	}
	return places
}

// wanted are the charges that are to be sent.
func (e *env) wanted() []store.Charge {
	e.t.Helper()
	ids := list[uuid.UUID](e, "SELECT charge_id FROM charges WHERE send_run IS NOT NULL AND state <> 'submitting'")
	all, err := e.store.Charges(e.Ctx(), e.pool, ids...)
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// sent is how often each cycle came to the gateway, by "<recurrence> <cycle>".
func (e *env) sent() map[string]int {
	e.t.Helper()
	cycles := map[string]string{}
	for _, row := range list[string](e, "SELECT replace(charge_id::text, '-', '') || ' ' || recurrence_id || ' ' || cycle FROM charges") {
		id, cycle, _ := strings.Cut(row, " ")
		cycles[id] = cycle
	}
	sent := map[string]int{}
	for _, t := range e.Gateway.Sends() {
		sent[cycles[t.Reference[:32]]]++
	}
	return sent
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
	fmt.Fprintf(&b, "%d events\n", e.Count("SELECT count(*) FROM outbox WHERE stream = $1 AND subject NOT LIKE '%.run.%'", stream.Events))
	return b.String()
}
