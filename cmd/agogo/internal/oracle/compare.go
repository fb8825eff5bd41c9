package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// Observed is what Agogo and the provider say, in plain values.
type Observed struct {
	Payouts  []Payout
	Payments []Payment
	Book     []BookEntry      // the provider's
	Balances map[string]int64 // account → debit − credit
}

// Payout is one of Agogo's.
type Payout struct {
	ID, Payee, PeriodDate, State string
	Seq                          int
	Gross, Commission, Net       int64
	Items                        int
	References                   []string // of all its attempts
}

// Payment is one of Agogo's.
type Payment struct {
	ID, Payee, Status, PayoutID string
	Gross, Commission, Net      int64
}

// BookEntry is money that moved, or did not, at the provider.
type BookEntry struct {
	Reference, Peer string
	Amount          int64
	Moved           int
}

// Expected is what everything must be.
type Expected struct {
	Rules    Rules
	Groups   []Group
	Payments map[string]ExpectedPayment
	// Settled is true when lookups have had their time: what moved money is then known to have moved it.
	Settled bool
}

// ExpectedPayment is what must be stored of a payment.
type ExpectedPayment struct {
	Payee, Status          string
	Gross, Commission, Net int64
	Done                   bool // it was completed at some time
	PaidElsewhere          bool
}

// Difference is one thing that is not as it must be.
type Difference struct {
	Where string // "payout drv-04 2025-01-24", "provider's book", "ledger in_transit:orange"
	Want  string
	Got   string
}

func (d Difference) String() string { return d.Where + ": want " + d.Want + ", got " + d.Got }

// Expected is the model's expectation as it stands.
func (m *Model) Expected(settled bool) Expected {
	e := Expected{Rules: m.rules, Payments: map[string]ExpectedPayment{}, Settled: settled}
	for _, g := range m.groups {
		e.Groups = append(e.Groups, *g)
	}
	for id, p := range m.payments {
		e.Payments[id] = ExpectedPayment{
			Payee: p.payee, Status: p.status, Gross: p.gross, Commission: p.commission, Net: p.net, Done: p.done,
			PaidElsewhere: p.paidReference != "",
		}
	}
	return e
}

// Adopt takes over what only the system can know: which failed payouts have given their payments back.
func (m *Model) Adopt(o Observed) {
	claimed := map[string]bool{}
	for _, p := range o.Payments {
		claimed[p.ID] = p.PayoutID != ""
	}
	for id, p := range m.payments {
		if p.claim == nil || claimed[id] || !slices.Contains([]Fate{Refuses, RefusesLater}, p.claim.Fate) {
			continue
		}
		for _, r := range p.claim.Refunds {
			m.payments[r].carry.claim = nil
		}
		p.claim = nil
	}
}

// Compare holds what was observed against what must be. No differences means that every payment, payout, movement of money
// and balance is accounted for.
func Compare(e Expected, o Observed) []Difference {
	c := &comparison{expected: e, observed: o}
	c.payments()
	c.payouts()
	c.book()
	c.ledger()
	return c.differences
}

type comparison struct {
	expected    Expected
	observed    Observed
	differences []Difference
}

func (c *comparison) differ(where, want string, got ...any) {
	c.differences = append(c.differences, Difference{where, want, fmt.Sprint(got...)})
}

func (c *comparison) payments() {
	seen := map[string]bool{}
	for _, p := range c.observed.Payments {
		want, ok := c.expected.Payments[p.ID]
		if !ok || seen[p.ID] {
			c.differ("payment "+p.ID, "no such payment", p)
			continue
		}
		seen[p.ID] = true
		got := ExpectedPayment{p.Payee, p.Status, p.Gross, p.Commission, p.Net, want.Done, want.PaidElsewhere}
		if got != want {
			c.differ("payment "+p.ID, fmt.Sprint(want), got)
		}
	}
	for id := range c.expected.Payments {
		if !seen[id] {
			c.differ("payment "+id, "that it is stored", "nothing")
		}
	}
}

type groupKey struct{ payee, date string }

func (c *comparison) payouts() {
	parts := map[groupKey][]Payout{}
	for _, p := range c.observed.Payouts {
		k := groupKey{p.Payee, p.PeriodDate}
		parts[k] = append(parts[k], p)
	}
	claims := map[string][]string{} // payout → payments
	for _, p := range c.observed.Payments {
		if p.PayoutID != "" {
			claims[p.PayoutID] = append(claims[p.PayoutID], p.ID)
		}
	}
	for _, g := range c.expected.Groups {
		k := groupKey{g.Payee, g.PeriodDate}
		c.group(g, parts[k], claims)
		delete(parts, k)
	}
	for k, unexpected := range parts {
		c.differ("payout "+k.payee+" "+k.date, "no payout", unexpected)
	}
}

// group compares the payouts of one payee and day with what they must be together.
func (c *comparison) group(g Group, parts []Payout, claims map[string][]string) {
	where := "payout " + g.Payee + " " + g.PeriodDate
	if len(parts) == 0 {
		c.differ(where, fmt.Sprintf("a payout of %d", g.Net), "none")
		return
	}
	var sum Payout
	var claimed []string
	held := true
	for _, p := range parts {
		sum.Gross, sum.Commission, sum.Net, sum.Items = sum.Gross+p.Gross, sum.Commission+p.Commission, sum.Net+p.Net, sum.Items+p.Items
		if p.Gross != p.Commission+p.Net {
			c.differ(where, "gross = commission + net", p)
		}
		if most := c.expected.Rules.MaxPerPayout; most > 0 && p.Net > most {
			c.differ(where, fmt.Sprintf("at most %d", most), p.Net)
		}
		c.state(where, g, p)
		held = held && !released(p.State)
		claimed = append(claimed, claims[p.ID]...)
	}
	if got, want := [4]int64{sum.Gross, sum.Commission, sum.Net, int64(sum.Items)}, [4]int64{g.Gross, g.Commission, g.Net, int64(len(g.Payments) + len(g.Refunds))}; got != want {
		c.differ(where, fmt.Sprintf("gross, commission, net, items %v", want), got)
	}
	slices.Sort(claimed)
	if want := g.Payments; held && !slices.Equal(claimed, want) {
		c.differ(where, "the payments "+strings.Join(want, " "), strings.Join(claimed, " "))
	}
}

// released says whether a state may have given its payments back.
func released(state string) bool {
	return slices.Contains([]string{"skipped", "rejected", "cancelled", "reversed", "failed"}, state)
}

// outcome is a state that a payout may be in, with how often money may have moved for it by then.
type outcome struct {
	state string
	moved int
}

// allowed lists what a fate may have come to. A payout that was never sent and one whose first request was lost differ in
// nothing that the caller can see, so some fates have several honest ends; none of them pays twice.
func allowed(g Group, settled bool) []outcome {
	if g.Skipped {
		return []outcome{{"skipped", 0}}
	}
	paid := outcome{"succeeded", 1}
	switch g.Fate {
	case PaysUnseen:
		if settled {
			return []outcome{paid}
		}
		return []outcome{paid, {"unknown", 1}, {"manual_review", 1}}
	case PaysLater:
		if settled {
			return []outcome{paid}
		}
		return []outcome{paid, {"processing", 0}, {"processing", 1}, {"unknown", 0}, {"unknown", 1}}
	case Refuses, RefusesLater:
		// A refusal may be tried again, with another reference, and then pay.
		ends := []outcome{{"failed", 0}, {"approved", 0}, {"submitting", 0}, paid}
		if g.Fate == RefusesLater && !settled {
			ends = append(ends, outcome{"processing", 0}, outcome{"unknown", 0})
		}
		return ends
	case Vanishes:
		// An answer that proves that nothing was created lets it go again; everything else waits for people.
		return []outcome{{"unknown", 0}, {"manual_review", 0}, paid}
	case StaysOpen:
		return []outcome{{"processing", 0}, {"manual_review", 0}}
	default:
		return []outcome{paid}
	}
}

func (c *comparison) state(where string, g Group, p Payout) {
	moved, requests := 0, 0
	for _, e := range c.observed.Book {
		if !slices.Contains(p.References, e.Reference) {
			continue
		}
		requests++
		moved += e.Moved
		if e.Amount != p.Net || e.Peer != g.peer {
			c.differ(where, fmt.Sprintf("%d to …%s", p.Net, tail(g.peer)), fmt.Sprintf("%d to …%s at the provider", e.Amount, tail(e.Peer)))
		}
	}
	got := outcome{p.State, moved}
	if want := allowed(g, c.expected.Settled); !slices.Contains(want, got) {
		c.differ(where, "one of "+show(want), show([]outcome{got}))
	}
}

func show(all []outcome) string {
	words := make([]string, len(all))
	for i, o := range all {
		words[i] = fmt.Sprintf("%s (money moved %d times)", o.state, o.moved)
	}
	return strings.Join(words, ", ")
}

// tail is enough of a number to find it: differences are printed.
func tail(peer string) string { return peer[max(0, len(peer)-2):] }

// book: whatever moved money belongs to a payout and moved it once.
func (c *comparison) book() {
	known := map[string]string{}
	for _, p := range c.observed.Payouts {
		for _, r := range p.References {
			if other, twice := known[r]; twice {
				c.differ("provider reference "+r, "one payout", "payouts "+other+" and "+p.ID)
			}
			known[r] = p.ID
		}
	}
	for _, e := range c.observed.Book {
		if e.Moved > 1 {
			c.differ("provider's book "+e.Reference, "money moved once", e.Moved, " times")
		}
		if known[e.Reference] == "" {
			c.differ("provider's book "+e.Reference, "a payout that it belongs to", "none; ", e.Amount, " moved ", e.Moved, " times")
		}
	}
}

// Unsettled names the payouts whose fate is decided at the provider and not yet known in Agogo: a test asks until there
// are none.
func Unsettled(e Expected, o Observed) []string {
	e.Settled = true
	fates := map[groupKey]Group{}
	for _, g := range e.Groups {
		fates[groupKey{g.Payee, g.PeriodDate}] = g
	}
	var open []string
	for _, p := range o.Payouts {
		g, ok := fates[groupKey{p.Payee, p.PeriodDate}]
		if !ok {
			continue
		}
		final := slices.ContainsFunc(allowed(g, true), func(w outcome) bool { return w.state == p.State })
		if !final {
			open = append(open, p.Payee+" "+p.PeriodDate+" "+p.State)
		}
	}
	slices.Sort(open)
	return open
}
