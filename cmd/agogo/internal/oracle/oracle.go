// Package oracle says what an evening of payouts must come to. It is an expectation of its own: it reads the files that were
// imported and the tenant's rules as plain values, computes with exact fractions, and shares no code with the services or
// with the packages they stand on, so that no mistake of theirs can agree with itself here.
package oracle

import (
	"math/big"
	"slices"
	"time"
)

// Rules are a tenant's, as far as they decide who is paid what.
type Rules struct {
	Currency      string
	Decimals      int // of the currency: 0 for XOF
	CommissionBPS int64
	Minimum       int64 // minor units
	MaxPerPayout  int64 // 0 is off
	Methods       []string
	AcceptFrom    time.Time
	Zone          *time.Location
	Provider      string // its name in the tenants file, as in the ledger's accounts
	CountryPrefix string // of phone numbers: what a local number lacks, "+225"
	TopUps        int64  // put into the float so far
}

// Fate is what the provider will do with a payee's payout, as a test knows it beforehand.
type Fate int

// The fates. Pays is what happens to everybody else.
const (
	Pays         Fate = iota
	PaysUnseen        // the money moves, and the caller cannot see it
	PaysLater         // pending, then paid
	Refuses           // a definite no to the first request
	RefusesLater      // pending, then a definite no
	Vanishes          // nothing moves, the answer says nothing, lookups do not know it
	StaysOpen         // pending for ever
)

// Model is what is known so far. Import and Plan follow each other as imports and runs do.
type Model struct {
	rules    Rules
	payments map[string]*payment
	payees   map[string]*payee
	fates    map[string]Fate
	groups   []*Group
}

type payment struct {
	id, payee, method, status, paidReference string
	gross, commission, net                   int64
	completedAt                              time.Time
	done                                     bool   // it was completed at some time
	claim                                    *Group // the payout that pays it
	carry                                    *carry
}

type payee struct{ id, phone string }

// carry is a refund of money that the payee already has.
type carry struct {
	at    time.Time
	claim *Group
}

// Group is what one payee gets in one run: one payout, or several when a limit divides it.
type Group struct {
	Payee      string
	PeriodDate string // local date of the run, YYYY-MM-DD
	Payments   []string
	Refunds    []string // payments whose refund is taken off
	Gross      int64
	Commission int64
	Net        int64
	Skipped    bool // too little, or no wallet: carried over
	Fate       Fate
	peer       string // as the provider writes it
}

// Peer is the number that the payee is paid at, as the provider writes it.
func (g Group) Peer() string { return g.peer }

// New makes a model without payments. fates are by payee; they hold for the first run after they are set.
func New(r Rules) *Model {
	return &Model{rules: r, payments: map[string]*payment{}, payees: map[string]*payee{}}
}

// Fates sets what the provider will do in the runs planned from now on.
func (m *Model) Fates(f map[string]Fate) { m.fates = f }

// Plan says what a run at its nominal time must pay, and remembers it as claimed.
func (m *Model) Plan(nominal time.Time) []*Group {
	due := map[string][]*payment{}
	for _, p := range m.payments {
		if m.due(p, nominal) {
			due[p.payee] = append(due[p.payee], p)
		}
	}
	var planned []*Group
	for id, payments := range due {
		g := m.group(id, nominal, payments)
		planned = append(planned, g)
		if g.Skipped {
			continue
		}
		for _, p := range payments {
			p.claim = g
		}
		for _, r := range g.Refunds {
			m.payments[r].carry.claim = g
		}
	}
	slices.SortFunc(planned, func(a, b *Group) int { return compare(a.Payee, b.Payee) })
	m.groups = append(m.groups, planned...)
	return planned
}

// due: completed, payable, unpaid, and known to be so by the run's nominal time, of that day or earlier.
func (m *Model) due(p *payment, nominal time.Time) bool {
	return p.status == "completed" && p.paidReference == "" && p.claim == nil && slices.Contains(m.rules.Methods, p.method) &&
		!p.completedAt.After(nominal) && !p.completedAt.Before(m.rules.AcceptFrom)
}

func (m *Model) group(id string, nominal time.Time, payments []*payment) *Group {
	g := &Group{Payee: id, PeriodDate: nominal.In(m.rules.Zone).Format(time.DateOnly), Fate: m.fates[id], peer: m.peer(id)}
	for _, p := range payments {
		g.Payments = append(g.Payments, p.id)
		g.add(p, 1)
	}
	for _, p := range m.payments {
		if p.payee == id && p.carry != nil && p.carry.claim == nil && !p.carry.at.After(nominal) {
			g.Refunds = append(g.Refunds, p.id)
			g.add(p, -1)
		}
	}
	slices.Sort(g.Payments)
	slices.Sort(g.Refunds)
	g.Skipped = g.Net <= 0 || g.Net < m.rules.Minimum || m.payees[id].phone == ""
	return g
}

func (g *Group) add(p *payment, sign int64) {
	g.Gross += sign * p.gross
	g.Commission += sign * p.commission
	g.Net += sign * p.net
}

// commission is bps of gross, rounded half-up to the unit: floor(gross × bps / 10000 + 1/2).
func commission(gross, bps int64) int64 {
	exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(gross), big.NewInt(bps)), big.NewInt(10_000))
	exact.Add(exact, big.NewRat(1, 2))
	return new(big.Int).Div(exact.Num(), exact.Denom()).Int64()
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
