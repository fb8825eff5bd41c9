package charging

import (
	"slices"
	"strings"
	"testing"
)

// honest is what Agogo and the gateway say when everything is as it must be.
func honest(m *Model) Observed {
	o := Observed{Balances: map[string]int64{"fees": 0}}
	c := &comparison{model: m}
	for _, r := range m.sorted() {
		o.Recurrences = append(o.Recurrences, c.recurrence(r))
	}
	for _, w := range m.charges {
		got := Charge{
			Recurrence: w.of.id, Cycle: text(w.cycle.date), ChargeDate: text(w.cycle.chargeOn), State: w.state, First: text(w.first),
			Last: text(w.last), RetryOn: text(w.retryOn), Amount: w.of.amount, Tries: w.tries,
		}
		for i := range w.attempts {
			reference := w.of.id + "/" + text(w.cycle.date) + "/" + string(rune('1'+i))
			got.References = append(got.References, reference)
			e := BookEntry{Reference: reference, Card: w.of.token, Amount: w.of.amount}
			if i == w.attempts-1 {
				e.Moved = w.moved
			}
			o.Book = append(o.Book, e)
		}
		o.Charges = append(o.Charges, got)
		if w.state == "succeeded" {
			o.Balances["gateway_receivable:cielo"] += w.of.amount
			o.Balances["seller_payable:"+w.of.seller] -= w.of.amount
		}
	}
	for _, d := range m.digests {
		o.Digests = append(o.Digests, d)
	}
	return o
}

func played(t *testing.T) *Model {
	t.Helper()
	c := agreed(t, "monthly,30,,2025-10-30,tok_ok_a,active", "monthly,30,,2025-10-30,tok_soft_51_b,active", "monthly,30,,2025-10-30,tok_hard_54_c,active",
		"weekly,4,,2025-10-16,tok_ok_d,active", "monthly,30,,2025-10-30,tok_timeout_paid_e,active", "monthly,30,,2025-10-30,tok_timeout_unpaid_f,active")
	c.morning("2025-10-30")
	c.Settle()
	c.NotifyHolds(at(t, "2025-10-30", 18))
	c.retry("2025-10-31")
	return c.Model
}

func TestNothingDiffersFromItself(t *testing.T) {
	t.Parallel()
	m := played(t)
	o := honest(m)
	if diffs := m.Compare(o); len(diffs) > 0 {
		t.Errorf("%v", diffs)
	}
	if open := m.Unsettled(o); len(open) > 0 {
		t.Errorf("open: %v", open)
	}
	i := slices.IndexFunc(o.Charges, func(c Charge) bool { return c.State == "unknown" })
	o.Charges[i].State = "manual_review"
	if diffs := m.Compare(o); len(diffs) > 0 {
		t.Errorf("what nobody knows may wait for people: %v", diffs)
	}
	o.Charges[0].State = "unknown"
	if open := m.Unsettled(o); !slices.Equal(open, []string{"rec-1 2025-10-30 unknown"}) {
		t.Errorf("open: %v", open)
	}
}

// Everything that can be wrong is found, and named.
func TestEveryDifferenceIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(o *Observed)
		where string
	}{
		"a second charge at the gateway":    {func(o *Observed) { o.Book[0].Moved = 2 }, "gateway's book"},
		"a charge nobody knows":             {func(o *Observed) { o.Book = append(o.Book, BookEntry{Reference: "x", Amount: 4990, Moved: 1}) }, "gateway's book x"},
		"charged and not booked there":      {func(o *Observed) { o.Book[0].Moved = 0 }, "charge rec-1"},
		"declined and charged":              {func(o *Observed) { o.Book[1].Moved = 1 }, "charge rec-2"},
		"another amount":                    {func(o *Observed) { o.Book[0].Amount++ }, "charge rec-1"},
		"another card":                      {func(o *Observed) { o.Book[0].Card = "tok_ok_z" }, "charge rec-1"},
		"one reference for two charges":     {func(o *Observed) { o.Charges[0].References = o.Charges[1].References[:1] }, "reference "},
		"an attempt too many":               {func(o *Observed) { o.Charges[0].References = append(o.Charges[0].References, "y") }, "charge rec-1"},
		"another state of a charge":         {func(o *Observed) { o.Charges[1].State = "exhausted" }, "charge rec-2"},
		"another retry date":                {func(o *Observed) { o.Charges[1].RetryOn = "2025-11-02" }, "charge rec-2"},
		"an unwanted send":                  {func(o *Observed) { o.Charges[0].Waiting = true }, "charge rec-1"},
		"a contradiction":                   {func(o *Observed) { o.Charges[0].Contradicted = true }, "charge rec-1"},
		"a charge twice":                    {func(o *Observed) { o.Charges = append(o.Charges, o.Charges[0]) }, "charge rec-1"},
		"a charge too many":                 {func(o *Observed) { o.Charges = append(o.Charges, Charge{Recurrence: "rec-4", Cycle: "2025-10-23"}) }, "charge rec-4"},
		"a charge less":                     {func(o *Observed) { o.Charges = o.Charges[1:] }, "charge rec-1"},
		"a recurrence less":                 {func(o *Observed) { o.Recurrences = o.Recurrences[1:] }, "recurrence rec-1"},
		"a recurrence twice":                {func(o *Observed) { o.Recurrences = append(o.Recurrences, o.Recurrences[0]) }, "recurrence rec-1"},
		"another state of a recurrence":     {func(o *Observed) { o.Recurrences[2].State = "active" }, "recurrence rec-3"},
		"another reason":                    {func(o *Observed) { o.Recurrences[2].Reason = "hard_decline" }, "recurrence rec-3"},
		"another next cycle":                {func(o *Observed) { o.Recurrences[0].NextCycle = "2025-10-30" }, "recurrence rec-1"},
		"a missed cycle that was forgotten": {func(o *Observed) { o.Recurrences[3].Missed = nil }, "recurrence rec-4"},
		"a card that is thought to work":    {func(o *Observed) { o.Recurrences[2].CardInvalid = false }, "recurrence rec-3"},
		"declines that were not counted":    {func(o *Observed) { o.Recurrences[1].CardFailures = 1 }, "recurrence rec-2"},
		"a digest less":                     {func(o *Observed) { o.Digests = nil }, "digest seller-1"},
		"a digest of another day":           {func(o *Observed) { o.Digests[0].Date = "2025-10-31" }, "digest seller-1 2025-10-31"},
		"a digest that leaves something":    {func(o *Observed) { o.Digests[0].IDs = nil }, "digest seller-1"},
		"a digest with another sum":         {func(o *Observed) { o.Digests[0].Total++ }, "digest seller-1"},
		"a balance":                         {func(o *Observed) { o.Balances["seller_payable:seller-1"]++ }, "ledger seller_payable:seller-1"},
		"an account too many":               {func(o *Observed) { o.Balances["suspense"] = 1 }, "ledger suspense"},
		"an account less":                   {func(o *Observed) { delete(o.Balances, "gateway_receivable:cielo") }, "ledger gateway_receivable:cielo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := played(t)
			o := honest(m)
			c.spoil(&o)
			diffs := m.Compare(o)
			if !slices.ContainsFunc(diffs, func(d Difference) bool { return strings.HasPrefix(d.Where, c.where) }) {
				t.Errorf("found %v, want something about %s", diffs, c.where)
			}
		})
	}
}
