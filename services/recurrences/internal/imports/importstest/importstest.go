// Package importstest gives tests a schema of the recurrences service, the tenant of the sample data, and an import into
// it. It is imported by tests only.
package importstest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/outbox/outboxtest"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/imports"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/migrations"
)

// Tenant is the tenant of the sample data.
const Tenant = "wallclub"

// Header names the columns that every file has.
const Header = "recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,next_charge_date," +
	"card_token,card_brand,status,description"

// Optional names the other columns.
const Optional = ",interval_days,end_date,max_cycles,failed_attempts,ended_at"

// Env is an importer on a fresh schema.
type Env struct {
	*outboxtest.Schema
	Clock    *clock.Virtual
	Outbox   *outbox.Outbox
	Tenants  *config.File
	Store    *store.Store
	Importer *imports.Importer

	t testing.TB
}

// New makes an environment whose clock shows the morning of the sample data, before eight.
func New(t testing.TB) *Env {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, inbox.Migrations, auth.Migrations, ledger.Migrations, provider.Migrations, attempt.Migrations,
		run.Migrations, reconcile.Migrations, review.Migrations, restore.Migrations,
		precheck.Migrations, migrations.Set)
	e := &Env{
		Schema: outboxtest.New(t, pool), Clock: clock.NewVirtual(At("2025-10-30T10:30:00Z")), Tenants: Wallclub(t), t: t,
		Outbox: outbox.New(outbox.Config{Service: store.Service}, outbox.Deps{Pool: pool}),
	}
	e.Store = &store.Store{Pool: pool, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants}
	e.Importer = &imports.Importer{Pool: pool, Store: e.Store, Outbox: e.Outbox, Clock: e.Clock}
	return e
}

// Wallclub is the tenants file of the sample data.
func Wallclub(t testing.TB) *config.File {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	return &config.File{Tenants: []config.Tenant{{
		ID: Tenant, Timezone: "America/Sao_Paulo", Location: zone, Currency: "BRL", Locale: "pt-BR", Mode: "sandbox",
		Recurrences: &config.Recurrences{
			MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, BusinessDay: "following", CardFailureLimit: 5, CleanupAfterDays: 180,
			DefaultGateway: "cielo",
		},
		Providers: map[string]config.Provider{"cielo": {Name: "cielo", Kind: "cielo"}},
	}, {ID: "lebenis", Location: time.UTC, Currency: "XOF", Payouts: &config.Payouts{}}}}
}

// At parses an RFC 3339 time.
func At(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return at
}

// Import imports text in a format and returns counts and refusals.
func (e *Env) Import(format, text string) (rows.Counts, []rows.Error) {
	e.t.Helper()
	var refused []rows.Error
	n, err := e.Importer.Recurrences(e.Ctx(), e.Tenants.Tenants[0], format, strings.NewReader(text), rows.Sink{
		Refused:  func(r rows.Error) error { refused = append(refused, r); return nil },
		Progress: func(rows.Counts) error { return nil },
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return n, refused
}

// CSV imports lines under the header of all columns. What a line lacks at its end is empty.
func (e *Env) CSV(lines ...string) (rows.Counts, []rows.Error) {
	e.t.Helper()
	text := Header + Optional + "\n"
	for _, l := range lines {
		text += l + strings.Repeat(",", strings.Count(Header+Optional, ",")-strings.Count(l, ",")) + "\n"
	}
	return e.Import("csv", text)
}

// Sample is a file of the sample data.
func Sample(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Strings runs a query and returns its one column of text.
func (e *Env) Strings(query string, args ...any) []string {
	e.t.Helper()
	r, err := e.Pool.Query(e.t.Context(), query, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	all, err := pgx.CollectRows(r, pgx.RowTo[string])
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// Exec runs a statement.
func (e *Env) Exec(statement string, args ...any) {
	e.t.Helper()
	if _, err := e.Pool.Exec(e.t.Context(), statement, args...); err != nil {
		e.t.Fatal(err)
	}
}
