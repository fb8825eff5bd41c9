package charging

import (
	"fmt"
	"maps"
	"slices"
)

// Observed is what Agogo and the gateway say, in plain values.
type Observed struct {
	Recurrences []Recurrence
	Charges     []Charge
	Digests     []Digest
	Book        []BookEntry      // the gateway's
	Balances    map[string]int64 // account → debit − credit
}

// Recurrence is one of Agogo's. Dates are YYYY-MM-DD, "" where there is none.
type Recurrence struct {
	ID, Seller, State, Reason, NextCycle, NextCharge string
	Amount                                           int64
	Cycles                                           int
	Missed                                           []string // cycles, oldest first
	CardInvalid                                      bool
	CardFailures                                     int
}

// Charge is one of Agogo's. First and Last are the local dates of its attempts.
type Charge struct {
	Recurrence, Cycle, ChargeDate, State, First, Last, RetryOn string
	Amount                                                     int64
	Tries                                                      int
	Waiting, Contradicted                                      bool
	References                                                 []string // of all its attempts
}

// Digest is what a seller is told to be on hold on a local date.
type Digest struct {
	Seller, Date string
	IDs          []string
	Total        int64
}

// BookEntry is one order in the gateway's book, with the number of times that its card was charged for it.
type BookEntry struct {
	Reference, Card string
	Amount          int64
	Moved           int
}

// Difference is one thing that is not as it must be.
type Difference struct {
	Where, Want, Got string
}

func (d Difference) String() string { return d.Where + ": want " + d.Want + ", got " + d.Got }

// Compare holds what was observed against the model, which lookups have settled as they have Agogo. No differences means that every recurrence, charge, digest,
// card, movement of money and balance is accounted for.
func (m *Model) Compare(o Observed) []Difference {
	c := &comparison{model: m, observed: o}
	c.recurrences()
	c.charges()
	c.digests()
	c.ledger()
	return c.differences
}

// Unsettled names the charges whose outcome is decided at the gateway and not yet known in Agogo, in a model that has been
// settled: a test asks until there are none.
func (m *Model) Unsettled(o Observed) []string {
	want := m.byKey()
	var open []string
	for _, c := range o.Charges {
		if w := want[key{c.Recurrence, c.Cycle}]; w != nil && !slices.Contains(states(w), c.State) {
			open = append(open, c.Recurrence+" "+c.Cycle+" "+c.State)
		}
	}
	slices.Sort(open)
	return open
}

// Charged counts the charges that are paid, and adds them up.
func (m *Model) Charged() (count int, total int64) {
	for _, c := range m.charges {
		if c.state == "succeeded" {
			count, total = count+1, total+c.of.amount
		}
	}
	return count, total
}

// Census counts what the model has, by what the rules tell apart.
func (m *Model) Census() map[string]int {
	n := map[string]int{"digest": len(m.digests)}
	for _, r := range m.recurrences {
		n["missed"] += len(r.missed)
		n["recurrence "+r.state]++
		n["recurrence "+r.state+" "+r.reason]++
	}
	for _, c := range m.charges {
		n["charge "+c.state]++
		if c.state == "succeeded" && c.tries > 0 {
			n["paid by a retry"]++
		}
	}
	for _, k := range m.cards {
		if k.dead {
			n["invalid card"]++
		}
	}
	return n
}

type key struct{ recurrence, cycle string }

func (m *Model) byKey() map[key]*charge {
	all := map[key]*charge{}
	for _, c := range m.charges {
		all[key{c.of.id, text(c.cycle.date)}] = c
	}
	return all
}

// states are those that a charge may be in. What nobody knows goes from doubt to people when its time has come.
func states(c *charge) []string {
	if c.state == "unknown" {
		return []string{"unknown", "manual_review"}
	}
	return []string{c.state}
}

type comparison struct {
	model       *Model
	observed    Observed
	differences []Difference
}

func (c *comparison) differ(where string, want, got any) {
	c.differences = append(c.differences, Difference{where, fmt.Sprint(want), fmt.Sprint(got)})
}

func (c *comparison) recurrences() {
	seen := map[string]bool{}
	for _, got := range c.observed.Recurrences {
		r := c.model.recurrences[got.ID]
		if r == nil || seen[got.ID] {
			c.differ("recurrence "+got.ID, "no such recurrence", got)
			continue
		}
		seen[got.ID] = true
		if want := c.recurrence(r); show(want) != show(got) {
			c.differ("recurrence "+got.ID, show(want), show(got))
		}
	}
	for id := range c.model.recurrences {
		if !seen[id] {
			c.differ("recurrence "+id, "that it is stored", "nothing")
		}
	}
}

func (c *comparison) recurrence(r *recurrence) Recurrence {
	k := c.model.cards[r.token]
	want := Recurrence{
		ID: r.id, Seller: r.seller, State: r.state, Reason: r.reason, Amount: r.amount, Cycles: r.cycles, Missed: r.missed,
		CardInvalid: k.dead, CardFailures: k.failures,
	}
	if r.next != nil {
		want.NextCycle, want.NextCharge = text(r.next.date), text(r.next.chargeOn)
	}
	return want
}

func (c *comparison) charges() {
	known, seen := c.model.byKey(), map[key]bool{}
	c.book()
	for _, got := range c.observed.Charges {
		k := key{got.Recurrence, got.Cycle}
		w := known[k]
		if w == nil || seen[k] {
			c.differ("charge "+k.recurrence+" "+k.cycle, "no such charge", show(got))
			continue
		}
		seen[k] = true
		c.charge(w, got)
	}
	for k := range known {
		if !seen[k] {
			c.differ("charge "+k.recurrence+" "+k.cycle, "that it was made", "nothing")
		}
	}
}

func (c *comparison) charge(w *charge, got Charge) {
	want := Charge{
		Recurrence: w.of.id, Cycle: text(w.cycle.date), ChargeDate: text(w.cycle.chargeOn), State: w.state, First: text(w.first),
		Last: text(w.last), RetryOn: text(w.retryOn), Amount: w.of.amount, Tries: w.tries, References: got.References,
	}
	if slices.Contains(states(w), got.State) {
		want.State = got.State
	}
	if show(want) != show(got) {
		c.differ(w.String(), show(want), show(got))
	}
	if len(got.References) != w.attempts {
		c.differ(w.String(), fmt.Sprintf("%d attempts", w.attempts), len(got.References))
	}
	moved := 0
	for _, e := range c.observed.Book {
		if !slices.Contains(got.References, e.Reference) {
			continue
		}
		moved += e.Moved
		if e.Amount != w.of.amount || e.Card != w.of.token {
			c.differ(w.String(), fmt.Sprintf("%d of card %s", w.of.amount, w.of.token), fmt.Sprintf("%d of card %s at the gateway", e.Amount, e.Card))
		}
	}
	if moved != w.moved {
		c.differ(w.String(), fmt.Sprintf("money moved %d times", w.moved), moved)
	}
}

// book: whatever moved money belongs to one charge and moved it once.
func (c *comparison) book() {
	known := map[string]string{}
	for _, o := range c.observed.Charges {
		for _, r := range o.References {
			if other, twice := known[r]; twice {
				c.differ("reference "+r, "one charge", other+" and "+o.Recurrence+" "+o.Cycle)
			}
			known[r] = o.Recurrence + " " + o.Cycle
		}
	}
	for _, e := range c.observed.Book {
		if e.Moved > 1 {
			c.differ("gateway's book "+e.Reference, "money moved once", fmt.Sprint(e.Moved, " times"))
		}
		if known[e.Reference] == "" {
			c.differ("gateway's book "+e.Reference, "a charge that it belongs to", fmt.Sprintf("none; %d moved %d times", e.Amount, e.Moved))
		}
	}
}

func (c *comparison) digests() {
	seen := map[string]bool{}
	for _, got := range c.observed.Digests {
		k := got.Seller + " " + got.Date
		want, ok := c.model.digests[k]
		if !ok || seen[k] {
			c.differ("digest "+k, "no digest", got)
			continue
		}
		seen[k] = true
		slices.Sort(got.IDs)
		if show(want) != show(got) {
			c.differ("digest "+k, show(want), show(got))
		}
	}
	for k := range c.model.digests {
		if !seen[k] {
			c.differ("digest "+k, "that it was made", "nothing")
		}
	}
}

// ledger: every balance follows from what was charged.
func (c *comparison) ledger() {
	want := map[string]int64{}
	for _, w := range c.model.charges {
		if w.state == "succeeded" {
			want["gateway_receivable:"+c.model.rules.Gateway] += w.of.amount
			want["seller_payable:"+w.of.seller] -= w.of.amount
		}
	}
	got := maps.Clone(c.observed.Balances)
	maps.DeleteFunc(got, func(_ string, b int64) bool { return b == 0 })
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, account := range slices.Sorted(maps.Keys(all)) {
		if want[account] != got[account] {
			c.differ("ledger "+account, want[account], got[account])
		}
	}
}

// show names the fields, for whoever reads a difference.
func show(v any) string {
	return fmt.Sprintf("%+v", v)
}
