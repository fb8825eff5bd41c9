package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ledger: every balance follows from payments and from where payouts stand.
func (c *comparison) ledger() {
	want := Balances(c.expected, c.observed.Payouts)
	got := map[string]int64{}
	for account, b := range c.observed.Balances {
		// What a payee owes may stand in an account of its own: together they are what there is between payee and tenant.
		if payee, ok := strings.CutPrefix(account, "payee_receivable:"); ok {
			account = "payable:" + payee
		}
		got[account] += b
	}
	maps.DeleteFunc(got, func(_ string, b int64) bool { return b == 0 })
	sum := int64(0)
	for _, b := range got {
		sum += b
	}
	if sum != 0 {
		c.differ("ledger", "debits = credits", "a difference of ", sum)
	}
	for _, account := range slices.Sorted(maps.Keys(merge(want, got))) {
		if want[account] != got[account] {
			c.differ("ledger "+account, fmt.Sprint(want[account]), got[account])
		}
	}
}

func merge(a, b map[string]int64) map[string]int64 {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// Balances are the balances (debit − credit, zeros left out) that payments and the states of payouts make.
func Balances(e Expected, payouts []Payout) map[string]int64 {
	b := map[string]int64{}
	for _, p := range e.Payments {
		if !p.Done {
			continue
		}
		owed := "payable:" + p.Payee
		b["collections"] += p.Gross
		b["commission"] -= p.Commission
		b[owed] -= p.Net
		if p.PaidElsewhere {
			b[owed] += p.Net
			b["treasury"] -= p.Net
		}
		if p.Status == "refunded" {
			b["collections"] -= p.Gross
			b["commission"] += p.Commission
			b[owed] += p.Net
		}
	}
	b["float:"+e.Rules.Provider] += e.Rules.TopUps
	b["treasury"] -= e.Rules.TopUps
	for _, p := range payouts {
		switch p.State {
		case "submitting", "processing", "unknown", "manual_review":
			b["payable:"+p.Payee] += p.Net
			b["in_transit:"+e.Rules.Provider] -= p.Net
		case "succeeded":
			b["payable:"+p.Payee] += p.Net
			b["float:"+e.Rules.Provider] -= p.Net
		}
	}
	maps.DeleteFunc(b, func(_ string, v int64) bool { return v == 0 })
	return b
}
