package config

import (
	"math"
	"time"

	"go.yaml.in/yaml/v3"
)

// Approval says how many people must agree before money leaves. The zero value asks nobody.
type Approval struct {
	Tiers        []Tier        // by what a payee gets in a run
	BatchTiers   []Tier        // by what a run pays in all
	ExpiresAfter time.Duration // 72h; how long an answer is waited for
}

// Tier asks for so many approvals of an amount of Above or more.
type Tier struct {
	Above     int64
	Approvals int
}

// OfPayout is how many people must approve what a payee gets.
func (a Approval) OfPayout(net int64) int { return approvals(a.Tiers, net) }

// OfBatch is how many people must approve what a run pays.
func (a Approval) OfBatch(net int64) int { return approvals(a.BatchTiers, net) }

func (a Approval) asks() bool { return len(a.Tiers)+len(a.BatchTiers) > 0 }

func approvals(tiers []Tier, net int64) int {
	n := 0
	for _, t := range tiers {
		if net >= t.Above {
			n = t.Approvals // tiers rise
		}
	}
	return n
}

// defaultExpiry lets what is planned on a Friday evening wait for Monday.
const defaultExpiry = 72 * time.Hour

// mostApprovals bounds what a typing error can ask for.
const mostApprovals = 10

// approvalAbove reads the short form: one approval from an amount on.
func (l *loader) approvalAbove(a *Approval) func(at) {
	return func(v at) {
		t := Tier{Approvals: 1}
		integer(l, &t.Above, 0, math.MaxInt64)(v)
		if a.Tiers != nil {
			l.fail(v, "says the same as approval.tiers: keep one of the two")
		}
		a.Tiers = []Tier{t}
	}
}

func (l *loader) approval(a *Approval) func(at) {
	return func(v at) {
		short := a.Tiers != nil
		l.object(
			v,
			optional("tiers", func(v at) {
				if short {
					l.fail(v, "says the same as approval_above: keep one of the two")
				}
				l.tiers(&a.Tiers)(v)
			}),
			optional("batch_tiers", l.tiers(&a.BatchTiers)),
			optional("expires_after", l.duration(&a.ExpiresAfter, year)),
		)
		if v.node.Kind == yaml.MappingNode && !a.asks() {
			l.fail(v, "has no tier, so it asks for nothing: write tiers or batch_tiers, or remove the key")
		}
	}
}

// tiers reads rising tiers: a larger sum never needs fewer people.
func (l *loader) tiers(dst *[]Tier) func(at) {
	return func(v at) {
		*dst = []Tier{}
		l.list(func(item at) {
			var t Tier
			l.object(
				item,
				required("above", integer(l, &t.Above, 0, math.MaxInt64)),
				required("approvals", integer(l, &t.Approvals, 1, mostApprovals)),
			)
			if n := len(*dst); n > 0 && t.Approvals > 0 {
				before := (*dst)[n-1]
				if t.Above <= before.Above || t.Approvals < before.Approvals {
					l.fail(item, "comes after a tier above %d with %d: write the tiers with rising amounts, none with fewer approvals", before.Above, before.Approvals)
				}
			}
			*dst = append(*dst, t)
		})(v)
	}
}
