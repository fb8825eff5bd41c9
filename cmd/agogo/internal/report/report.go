// Package report prints what an evening of payouts came to, in the words and the order that its people know from the system
// that Agogo replaces: the start, each payout, each transfer, the summary.
package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/money"
)

// Run is what is reported.
type Run struct {
	Locale   string    // "fr-CI", "pt-BR", "en"; anything else reads English
	At       time.Time // the run's nominal time in the tenant's zone
	Service  string    // who moves the money, as payees know it: "Orange Money"
	Currency money.Currency
	Payouts  []Payout // in the order in which they are shown
}

// Payout is one payee's.
type Payout struct {
	Payee    string // name, or id where there is no name
	Amount   money.Amount
	Payments int
	State    string // as in Agogo: "succeeded", "unknown", …
	Reason   string // why it is in its state, where that needs to be said
}

// Write prints the report. All amounts must be of the run's currency.
func Write(w io.Writer, r Run) error {
	totals, err := sum(r)
	if err != nil {
		return err
	}
	t := textsOf(r.Locale)
	at := r.At.Format(t.clock)
	p := &page{to: w}
	p.line("🚀", fmt.Sprintf(t.start, at))
	p.table(created(r, t))
	p.table(transfers(r, t))
	p.line("")
	p.line("📊", fmt.Sprintf(t.summary, at))
	p.table(summary(r, t, totals))
	return p.err
}

// total is how many payouts are in a state, and what they come to.
type total struct {
	count  int
	amount money.Amount
}

func sum(r Run) (map[string]total, error) {
	totals := map[string]total{}
	for _, p := range r.Payouts {
		s, known := totals[p.State]
		if !known {
			s.amount.Currency = r.Currency
		}
		var err error
		if s.amount, err = s.amount.Add(p.Amount); err != nil {
			return nil, fmt.Errorf("sum of payouts in %s: %w", p.State, err)
		}
		s.count++
		totals[p.State] = s
	}
	return totals, nil
}

// created lists what was planned, without what is carried over: that is no payout yet.
func created(r Run, t texts) []row {
	var rows []row
	for _, p := range r.Payouts {
		if p.State != "skipped" {
			rows = append(rows, row{"💰", fmt.Sprintf(t.created, p.Payee), p.Amount.Format(r.Locale), "(" + t.payments(p.Payments) + ")"})
		}
	}
	return rows
}

// transfers says what became of each.
func transfers(r Run, t texts) []row {
	rows := make([]row, 0, len(r.Payouts))
	for _, p := range r.Payouts {
		s := t.state(p.State)
		why := ""
		if p.Reason != "" {
			why = "(" + p.Reason + ")"
		}
		rows = append(rows, row{s.sign, strings.NewReplacer("{service}", r.Service, "{payee}", p.Payee).Replace(s.line), p.Amount.Format(r.Locale), why})
	}
	return rows
}

// summary counts. Paid and failed are always told, nought too; the rest only where there is some.
func summary(r Run, t texts, totals map[string]total) []row {
	paid := totals["succeeded"]
	paid.amount.Currency = r.Currency
	rows := []row{
		{"✅", t.createdCount, fmt.Sprint(len(r.Payouts) - totals["skipped"].count), ""},
		{"💰", t.transferred, paid.amount.Format(r.Locale), ""},
		{"❌", t.failedCount, fmt.Sprint(totals["failed"].count), ""},
	}
	delete(totals, "succeeded")
	delete(totals, "failed")
	for _, state := range append(order(), slices.Sorted(maps.Keys(totals))...) {
		if s, ok := totals[state]; ok {
			rows = append(rows, row{t.state(state).sign, t.state(state).count, fmt.Sprint(s.count), "(" + s.amount.Format(r.Locale) + ")"})
			delete(totals, state)
		}
	}
	return rows
}
