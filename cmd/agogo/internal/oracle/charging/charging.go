// Package charging says what days of recurring charges must come to. Like package oracle it is an expectation of its own: it
// reads the file that was imported, the tenant's rules and the words of card tokens as plain values, finds dates by walking
// the calendar day by day, and shares no code with the services or with the packages they stand on.
package charging

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Rules are a tenant's, as far as they decide who is charged when. Charge dates on weekends and holidays go to the next
// business day.
type Rules struct {
	Currency         string
	Decimals         int
	MaxRetries       int
	RetryDays        []int
	CatchUpDays      int
	CleanupAfterDays int
	CardFailureLimit int
	Holidays         []string
	Zone             *time.Location
	Gateway          string // its name in the tenants file, as in the ledger's accounts
}

// Model is what is known so far. Import and the ticks follow each other as imports and runs do.
type Model struct {
	rules       Rules
	recurrences map[string]*recurrence
	cards       map[string]*card
	charges     []*charge
	digests     map[string]Digest // by seller and date
	fates       map[string][]Answer
	now         time.Time // nominal time of the tick
}

type recurrence struct {
	id, seller, token, state, reason string
	amount                           int64
	rhythm                           rhythm
	next                             *cycle // nil: there is none any more
	end                              time.Time
	most, cycles                     int
	heldBy                           time.Time // of the tick that led to it; zero: it was imported so
	ended                            time.Time
	missed                           []string
}

type cycle struct{ date, chargeOn time.Time }

type charge struct {
	of                   *recurrence
	cycle                cycle
	state                string
	tries, attempts      int
	first, last, retryOn time.Time
	answer               Answer    // to the newest attempt
	sentBy               time.Time // nominal time of the tick that sent it
	moved                int
}

type card struct {
	failures int
	dead     bool
}

// New makes a model without recurrences.
func New(r Rules) *Model {
	return &Model{
		rules: r, recurrences: map[string]*recurrence{}, cards: map[string]*card{}, digests: map[string]Digest{}, fates: map[string][]Answer{},
	}
}

// Fates sets what the next attempts on cards meet, by token, whatever the token's own words are.
func (m *Model) Fates(f map[string][]Answer) {
	for token, answers := range f {
		m.fates[token] = slices.Clone(answers)
	}
}

// tick begins one, and returns its local date.
func (m *Model) tick(nominal time.Time) time.Time {
	m.now = nominal
	return dateOf(nominal.In(m.rules.Zone))
}

// Tick does a job at its nominal time.
func (m *Model) Tick(job string, nominal time.Time) error {
	switch job {
	case "charge-due":
		return m.ChargeDue(nominal)
	case "retry-failed":
		return m.RetryFailed(nominal)
	case "notify-holds":
		m.NotifyHolds(nominal)
	case "cleanup":
		m.Cleanup(nominal)
	default:
		return fmt.Errorf("no job is called %q", job)
	}
	return nil
}

// ChargeDue is what the morning's tick must do. It is an error when the outcome would depend on which of several charges on
// one card is answered first: such a file says nothing.
func (m *Model) ChargeDue(nominal time.Time) error {
	today := m.tick(nominal)
	var wave []*charge
	for _, r := range m.sorted() {
		if !r.charged() || r.next == nil || r.next.chargeOn.After(today) || m.busy(r, today) {
			continue
		}
		if c := m.due(r, today); c != nil {
			wave = append(wave, c)
		}
	}
	return m.send(wave, today)
}

// busy: a charge of it may take money yet, or may have taken it, or was tried on that day or later.
func (m *Model) busy(r *recurrence, today time.Time) bool {
	return slices.ContainsFunc(m.charges, func(c *charge) bool {
		return c.of == r && (c.unresolved() || !c.last.Before(today))
	})
}

// due moves a recurrence on and returns what is to be charged, if anything is.
func (m *Model) due(r *recurrence, today time.Time) *charge {
	switch late := days(r.next.chargeOn, today); {
	case late > m.rules.CleanupAfterDays:
		return nil
	case late > m.rules.CatchUpDays:
		for r.next != nil && r.next.date.Before(today) && r.next.chargeOn.Before(today) {
			r.missed = append(r.missed, r.next.date.Format(time.DateOnly))
			m.step(r)
		}
	}
	if r.next == nil || r.next.chargeOn.After(today) {
		m.finish(r)
		return nil
	}
	c := &charge{of: r, cycle: *r.next, state: "due"}
	m.charges = append(m.charges, c)
	m.step(r)
	return c
}

func (m *Model) step(r *recurrence) {
	r.cycles++
	date := r.rhythm.after(r.next.date)
	if r.most > 0 && r.cycles >= r.most || !r.end.IsZero() && date.After(r.end) {
		r.next = nil
		return
	}
	r.next = &cycle{date, m.move(date)}
}

// RetryFailed is what the tick of the retries must do: of each recurrence that is past due the oldest charge whose day has
// come, unless another one of it is under way or was tried again on that day.
func (m *Model) RetryFailed(nominal time.Time) error {
	today := m.tick(nominal)
	var wave []*charge
	for _, r := range m.sorted() {
		if r.state != "past_due" || m.cards[r.token].dead {
			continue
		}
		var oldest *charge
		hindered := map[*charge]bool{}
		for _, c := range m.of(r) {
			if c.state == "failed_soft" && !c.retryOn.After(today) && c.last.Before(today) && oldest == nil {
				oldest = c
			}
			hindered[c] = c.underWay() || !c.last.Before(today) && c.first.Before(today)
		}
		delete(hindered, oldest)
		if oldest != nil && !slices.Contains(values(hindered), true) {
			wave = append(wave, oldest)
		}
	}
	return m.send(wave, today)
}

// NotifyHolds is what the evening's tick must do: one digest for each seller and date.
func (m *Model) NotifyHolds(nominal time.Time) {
	date := m.tick(nominal).Format(time.DateOnly)
	made := map[string]Digest{}
	for _, r := range m.sorted() {
		if r.state != "hold" || r.heldBy.After(nominal) {
			continue
		}
		d := made[r.seller]
		made[r.seller] = Digest{Seller: r.seller, Date: date, IDs: append(d.IDs, r.id), Total: d.Total + r.amount}
	}
	for seller, d := range made {
		if _, known := m.digests[seller+" "+date]; !known {
			m.digests[seller+" "+date] = d
		}
	}
}

// Cleanup is what Sunday's tick must do.
func (m *Model) Cleanup(nominal time.Time) {
	today := m.tick(nominal)
	limit := today.AddDate(0, 0, -m.rules.CleanupAfterDays)
	for _, r := range m.sorted() {
		charges := m.of(r)
		if slices.ContainsFunc(charges, (*charge).unresolved) {
			continue
		}
		switch r.state {
		case "archived":
		case "cancelled", "completed":
			if r.ended.Before(nominal.AddDate(0, 0, -m.rules.CleanupAfterDays)) {
				r.state = "archived"
			}
		default:
			last := time.Time{}
			for _, c := range charges {
				last = later(last, c.cycle.chargeOn)
			}
			if r.next != nil {
				last = r.next.chargeOn
			}
			if !last.IsZero() && last.Before(limit) {
				m.complete(r, "expired")
			}
		}
	}
}

// charged are the states in which a recurrence is charged by itself.
func (r *recurrence) charged() bool { return r.state == "active" || r.state == "past_due" }

func (m *Model) hold(r *recurrence, why string, by time.Time) {
	if r.charged() {
		r.state, r.reason, r.heldBy = "hold", why, by
	}
}

func (m *Model) complete(r *recurrence, why string) {
	r.state, r.reason, r.next, r.ended = "completed", why, nil, m.rules.ended()
}

// ended: what ends in a run ends now, which is long after every nominal time of a test.
func (Rules) ended() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// finish completes a recurrence that has no cycle left and nothing unpaid.
func (m *Model) finish(r *recurrence) {
	unpaid := func(c *charge) bool { return c.state != "succeeded" }
	if r.charged() && r.next == nil && !slices.ContainsFunc(m.of(r), unpaid) {
		m.complete(r, "last_cycle")
	}
}

// of are the charges of a recurrence, oldest cycle first.
func (m *Model) of(r *recurrence) []*charge {
	var own []*charge
	for _, c := range m.charges {
		if c.of == r {
			own = append(own, c)
		}
	}
	slices.SortFunc(own, func(a, b *charge) int { return a.cycle.date.Compare(b.cycle.date) })
	return own
}

func (m *Model) sorted() []*recurrence {
	all := values(m.recurrences)
	slices.SortFunc(all, func(a, b *recurrence) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (c *charge) String() string {
	return fmt.Sprintf("charge %s %s", c.of.id, c.cycle.date.Format(time.DateOnly))
}

// unresolved: it may take money by itself, or may have taken it.
func (c *charge) unresolved() bool { return c.state == "due" || c.underWay() }

func (c *charge) underWay() bool { return slices.Contains([]string{"processing", "unknown"}, c.state) }

func values[K comparable, V any](m map[K]V) []V {
	all := make([]V, 0, len(m))
	for _, v := range m {
		all = append(all, v)
	}
	return all
}
