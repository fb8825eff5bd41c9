package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/money"
)

// Charges is a run that charges customers: what is due in the morning, or what is tried again.
type Charges struct {
	Locale   string    // "pt-BR", "en"; anything else reads English
	At       time.Time // the run's nominal time in the tenant's zone
	Again    bool      // it tries again what was declined before
	Service  string    // who takes the money, as people know it: "Cielo"
	Currency money.Currency
	Charges  []Charge // in the order in which they are shown
}

// Charge is one customer's.
type Charge struct {
	Customer string // name, or id where there is no name
	Amount   money.Amount
	State    string    // as in Agogo: "succeeded", "failed_soft", …
	Code     string    // why it was declined, in Agogo's words
	RetryOn  time.Time // date of the next automatic try; zero: there is none
}

// Holds is what sellers are told in the evening.
type Holds struct {
	Locale   string
	At       time.Time
	Currency money.Currency
	Sellers  []Held
}

// Held is what is on hold of a seller, or what the clean-up ended of a customer.
type Held struct {
	Whose  string
	Count  int
	Amount money.Amount
	Since  time.Time // date of the charge that was forgotten; for the clean-up
}

// Cleaned is what the clean-up ended.
type Cleaned struct {
	Locale  string
	At      time.Time
	Expired []Held
}

// WriteCharges prints a run's charges and what they come to. All amounts must be of the run's currency.
func WriteCharges(w io.Writer, r Charges) error {
	t := chargeTextsOf(r.Locale)
	totals, err := sumCharges(r)
	if err != nil {
		return err
	}
	when := r.At.Format(t.date + ", " + t.clock)
	p := &page{to: w}
	p.line("🚀", fmt.Sprintf(t.start[r.Again], when))
	rows := make([]row, 0, len(r.Charges))
	for _, c := range r.Charges {
		s := t.state(c.State)
		line := strings.NewReplacer("{service}", r.Service, "{customer}", c.Customer).Replace(s.line)
		rows = append(rows, row{s.sign, line, c.Amount.Format(r.Locale), t.why(c)})
	}
	p.table(rows)
	p.line("")
	p.line("📊", fmt.Sprintf(t.summary[r.Again], when))
	p.table(summaryOfCharges(r.Locale, t, totals))
	return p.err
}

func sumCharges(r Charges) (map[string]total, error) {
	totals := map[string]total{"succeeded": {amount: money.Amount{Currency: r.Currency}}}
	for _, c := range r.Charges {
		s, known := totals[c.State]
		if !known {
			s.amount.Currency = r.Currency
		}
		var err error
		if s.amount, err = s.amount.Add(c.Amount); err != nil {
			return nil, fmt.Errorf("sum of charges in %s: %w", c.State, err)
		}
		s.count++
		totals[c.State] = s
	}
	return totals, nil
}

// summaryOfCharges counts. What was charged is always told, nought too; the rest only where there is some.
func summaryOfCharges(locale string, t chargeTexts, totals map[string]total) []row {
	known := []string{"succeeded", "processing", "unknown", "manual_review", "failed_soft", "failed_hard", "requires_action", "exhausted", "due", "submitting", "cancelled"}
	wide := 0
	for _, s := range totals {
		wide = max(wide, columns(s.amount.Format(locale)))
	}
	var rows []row
	for _, state := range append(known, slices.Sorted(maps.Keys(totals))...) {
		if s, ok := totals[state]; ok {
			amount := s.amount.Format(locale)
			value := fmt.Sprintf("%d  %s%s", s.count, strings.Repeat(" ", wide-columns(amount)), amount)
			rows = append(rows, row{t.state(state).sign, t.state(state).count, value, ""})
			delete(totals, state)
		}
	}
	return rows
}

// why says why a charge was declined and when it is tried again.
func (t chargeTexts) why(c Charge) string {
	var parts []string
	if c.Code != "" && c.State != "succeeded" {
		parts = append(parts, cmp.Or(t.codes[c.Code], c.Code))
	}
	if !c.RetryOn.IsZero() {
		parts = append(parts, fmt.Sprintf(t.retry, c.RetryOn.Format(t.date)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, "; ") + ")"
}

// WriteHolds prints the evening's digests.
func WriteHolds(w io.Writer, h Holds) error {
	t := chargeTextsOf(h.Locale)
	p := &page{to: w}
	p.line("📣", fmt.Sprintf(t.holds, h.At.Format(t.date+", "+t.clock)))
	rows := make([]row, 0, len(h.Sellers))
	for _, s := range h.Sellers {
		rows = append(rows, row{"✋", fmt.Sprintf(t.seller, s.Whose), s.Amount.Format(h.Locale), "(" + t.count(s.Count) + ")"})
	}
	p.table(rows)
	return p.err
}

// WriteCleaned prints what Sunday's clean-up ended.
func WriteCleaned(w io.Writer, c Cleaned) error {
	t := chargeTextsOf(c.Locale)
	p := &page{to: w}
	p.line("🧹", fmt.Sprintf(t.cleaned, c.At.Format(t.date+", "+t.clock)))
	rows := make([]row, 0, len(c.Expired))
	for _, e := range c.Expired {
		rows = append(rows, row{"📦", fmt.Sprintf(t.expired, e.Whose), e.Amount.Format(c.Locale), "(" + fmt.Sprintf(t.since, e.Since.Format(t.date)) + ")"})
	}
	p.table(rows)
	return p.err
}
