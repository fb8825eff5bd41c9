package imports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pan"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/abecs"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

var columns = rows.Columns{Required: 14, Names: []string{
	"recurrence_id", "customer_id", "customer_name", "seller_id", "amount", "currency", "period", "anchor_day", "anchor_month",
	"next_charge_date", "card_token", "card_brand", "status", "description",
	"interval_days", "end_date", "max_cycles", "failed_attempts", "ended_at",
}}

// row is a checked row.
type row struct {
	line  int64
	token string
	facts
	at recurrence.Position
}

// check checks rows against a tenant's rules.
type check struct {
	tenant   string
	currency money.Currency
	policy   recurrence.Policy
	clock    clock.Clock
}

func newCheck(t config.Tenant, c clock.Clock) (*check, error) {
	calendar, err := recurrence.NewCalendar(t.Recurrences.BusinessDay, t.Recurrences.Holidays)
	if err != nil {
		return nil, fmt.Errorf("rules of %s: %w", t.ID, err)
	}
	return &check{tenant: t.ID, currency: t.Currency, clock: c, policy: recurrence.Policy{
		Calendar: calendar, CatchUpDays: t.Recurrences.CatchUpDays, CleanupAfterDays: t.Recurrences.CleanupAfterDays,
	}}, nil
}

// fields reads the values of one row; the first thing wrong is kept.
type fields struct {
	values []string
	ref    *rows.Error
	line   int64
}

func (f *fields) wrong(name, message string) {
	if f.ref == nil && message != "" {
		f.ref = &rows.Error{Line: f.line, Field: name, Message: message}
	}
}

// raw is a column's value as it is in the file.
func (f *fields) raw(name string) string { return f.values[columns.Index(name)] }

// text is a value that a check has nothing against.
func (f *fields) text(name string, check func(string) string) string {
	s := f.raw(name)
	f.wrong(name, check(s))
	return strings.Clone(s)
}

// number is a whole number, 0 when the column is empty.
func (f *fields) number(name string) int {
	s := f.raw(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		f.wrong(name, rows.Shape(s)+" is no whole number; write digits, or leave it empty")
	}
	return int(n)
}

func (f *fields) date(name string) recurrence.Date {
	s := f.raw(name)
	if s == "" {
		return 0
	}
	d, err := recurrence.ParseDate(s)
	if err != nil {
		f.wrong(name, rows.Shape(s)+" is no date; write year-month-day, such as 2025-10-30")
	}
	return d
}

func (f *fields) instant(name string) time.Time {
	s := f.raw(name)
	if s == "" {
		return time.Time{}
	}
	at, wrong := rows.ParseInstant(s)
	f.wrong(name, wrong)
	return at
}

// screen refuses a row that holds something like a card number anywhere, before anything looks at what it says.
func (f *fields) screen() {
	for i, v := range f.values {
		if pan.In(v) {
			f.wrong(columns.Names[i], pan.Advice)
			return
		}
	}
}

// parse checks one row; the first thing wrong with it is what is told.
func (c *check) parse(r rows.Record) (row, *rows.Error) {
	f := &fields{values: r.Values, line: r.Line}
	f.screen()
	out := row{line: r.Line, facts: facts{
		ID: f.text("recurrence_id", rows.CheckID), CustomerID: f.text("customer_id", rows.CheckID), CustomerName: f.text("customer_name", rows.CheckText),
		SellerID: f.text("seller_id", rows.CheckID), Amount: c.amount(f), Currency: string(c.currency),
		Period: f.text("period", rows.CheckWord), AnchorDay: f.number("anchor_day"), AnchorMonth: f.number("anchor_month"),
		IntervalDays: f.number("interval_days"), NextChargeDate: f.date("next_charge_date"), EndDate: f.date("end_date"),
		MaxCycles: f.number("max_cycles"), Status: f.text("status", rows.CheckWord), Description: f.text("description", rows.CheckText),
		FailedAttempts: f.number("failed_attempts"), EndedAt: f.instant("ended_at"),
	}}
	out.token = f.text("card_token", rows.CheckID)
	out.CardID = store.CardID(c.tenant, out.token)
	out.CardBrand = string(abecs.ParseBrand(strings.Clone(f.raw("card_brand"))))
	f.wrong("card_brand", rows.CheckWord(out.CardBrand))
	f.onlyOf(out.facts)
	c.position(f, &out)
	return out, f.ref
}

func (c *check) amount(f *fields) int64 {
	got, err := money.ParseCurrency(f.raw("currency"))
	switch {
	case err != nil:
		f.about("currency", err)
		return 0
	case got != c.currency:
		f.wrong("currency", fmt.Sprintf("%s, but the tenant's currency is %s", got, c.currency))
		return 0
	}
	a, err := money.Parse(f.raw("amount"), c.currency)
	switch {
	case err != nil:
		f.about("amount", err)
	case a.Minor <= 0:
		f.wrong("amount", "zero; a recurrence has an amount")
	}
	return a.Minor
}

// onlyOf refuses anchors that the period does not have: a month of a monthly one says that somebody meant something else.
func (f *fields) onlyOf(x facts) {
	for _, a := range []struct {
		name    string
		value   int
		periods []recurrence.Period
	}{
		{"anchor_day", x.AnchorDay, []recurrence.Period{recurrence.Monthly, recurrence.Yearly, recurrence.Weekly}},
		{"anchor_month", x.AnchorMonth, []recurrence.Period{recurrence.Yearly}},
		{"interval_days", x.IntervalDays, []recurrence.Period{recurrence.Days}},
	} {
		known := slices.Contains([]recurrence.Period{recurrence.Monthly, recurrence.Yearly, recurrence.Weekly, recurrence.Days}, recurrence.Period(x.Period))
		if a.value != 0 && known && !slices.Contains(a.periods, recurrence.Period(x.Period)) {
			f.wrong(a.name, fmt.Sprintf("%d, but the period is %s: leave it empty, or correct the period", a.value, x.Period))
		}
	}
}

// position asks the rules where the recurrence stands.
func (c *check) position(f *fields, out *row) {
	if f.ref != nil {
		return
	}
	at, err := c.policy.Position(recurrence.Imported{
		State: recurrence.State(out.Status), Terms: out.terms(), NextChargeDate: out.NextChargeDate, FailedAttempts: out.FailedAttempts, EndedAt: out.EndedAt,
	}, c.clock.Now())
	f.about("", err)
	out.at = at
}

// about tells an error that may begin with the name of the column that it is about; otherwise it is about the given one.
func (f *fields) about(name string, err error) {
	if err == nil {
		return
	}
	message := err.Error()
	if end := strings.IndexAny(message, ": "); end > 0 && columns.Index(message[:end]) >= 0 {
		name, message = message[:end], strings.TrimLeft(message[end:], ": ")
	}
	f.wrong(name, message)
}
