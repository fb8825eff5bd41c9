package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// customers is what the customer expects of the day, which neither the services nor the oracle wrote.
type customers struct {
	Morning struct {
		Charged    group `json:"charged"`
		SoftFailed group `json:"soft_failed"`
		HardFailed group `json:"hard_failed"`
		Unknown    group `json:"unknown"`
		Untouched  group `json:"untouched"`
	} `json:"after_charge_due"`
	Lookup struct {
		Charged group `json:"charged"`
		Unknown group `json:"unknown"`
		Second  int   `json:"second_charges_at_the_gateway"`
	} `json:"after_lookup"`
	Digest struct {
		BySeller map[string]group `json:"by_seller"`
	} `json:"hold_digest"`
	Retry struct {
		Attempted []string `json:"attempted"`
	} `json:"retry_failed"`
	Cleanup struct {
		Completed []string `json:"completed"`
		Reason    string   `json:"reason"`
	} `json:"cleanup"`
}

// group is some recurrences.
type group struct {
	Count  int      `json:"count"`
	Amount int64    `json:"amount_minor"`
	IDs    []string `json:"ids"`
}

func (g group) with(id string, amount int64) group {
	return group{g.Count + 1, g.Amount + amount, append(g.IDs, id)}
}

func (g group) String() string { return fmt.Sprintf("%d (%s)", g.Count, brl(g.Amount)) }

// same reports whether two groups agree; ids do not count where the customer names none.
func (g group) same(got group) bool {
	slices.Sort(got.IDs)
	return g.Count == got.Count && g.Amount == got.Amount && (g.IDs == nil || slices.Equal(g.IDs, got.IDs))
}

// expectMorning sorts the charges by what their first answer said: one that was looked up meanwhile had none.
func (d *day) expectMorning(counts map[string]int64, charges []*recurrencesv1.Charge, all []*recurrencesv1.Recurrence) error {
	got, touched := map[string]group{}, map[string]bool{}
	for _, k := range charges {
		state := k.State
		if len(k.Attempts) == 1 && k.Attempts[0].Lookups > 0 {
			state = "unknown"
		}
		got[state] = got[state].with(k.RecurrenceId, k.Amount.GetMinor())
		touched[k.RecurrenceId] = true
	}
	for _, r := range all {
		if !touched[r.Id] {
			got["untouched"] = got["untouched"].with(r.Id, r.Amount.GetMinor())
		}
	}
	s := d.want.Morning
	names := []string{"succeeded", "failed_soft", "failed_hard", "unknown", "untouched"}
	for i, want := range []group{s.Charged, s.SoftFailed, s.HardFailed, s.Unknown, s.Untouched} {
		name := names[i]
		if !want.same(got[name]) {
			return d.differ("the customer expects %s %v %v, there are %v %v", name, want, want.IDs, got[name], got[name].IDs)
		}
		if n := counts[name]; name != "untouched" && n != int64(want.Count) {
			return d.differ("the customer expects %s %d, the run says %d", name, want.Count, n)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		return d.differ("the customer expects nothing else, there are %v", slices.Sorted(maps.Keys(got)))
	}
	fmt.Fprintf(d.out, "✓ charged %v, declined for now %v, for good %v, unknown %v, untouched %v, as the customer expects\n",
		s.Charged, s.SoftFailed, s.HardFailed, s.Unknown, s.Untouched)
	return nil
}

// expectLookups counts what was charged, and in the gateway's book what was charged twice.
func (d *day) expectLookups(ctx context.Context, charges []*recurrencesv1.Charge) error {
	got, orders := map[string]group{}, map[string]string{}
	for _, k := range charges {
		got[k.State] = got[k.State].with(k.RecurrenceId, k.Amount.GetMinor())
		for _, a := range k.Attempts {
			orders[a.ProviderReference] = k.RecurrenceId
		}
	}
	book, err := d.book(ctx, "cielo")
	if err != nil {
		return err
	}
	taken, second := map[string]int{}, 0
	for _, e := range book {
		taken[orders[e.Reference]] += e.Moved
	}
	for _, n := range taken {
		second += max(n-1, 0)
	}
	want := d.want.Lookup
	if !want.Charged.same(got["succeeded"]) || !want.Unknown.same(got["unknown"]) || second != want.Second {
		return d.differ("the customer expects charged %v, unknown %v, %d charged twice; there are %v, %v, %d", want.Charged, want.Unknown, want.Second,
			got["succeeded"], got["unknown"], second)
	}
	fmt.Fprintf(d.out, "✓ charged %v, unknown %v, %d second charges in the gateway's book, as the customer expects\n", want.Charged, want.Unknown, second)
	return nil
}

func (d *day) expectDigests(digests []*recurrencesv1.HoldDigest) error {
	if len(digests) != len(d.want.Digest.BySeller) {
		return d.differ("the customer expects %d digests, there are %d", len(d.want.Digest.BySeller), len(digests))
	}
	for _, k := range digests {
		got := group{len(k.RecurrenceIds), k.Total.GetMinor(), k.RecurrenceIds}
		want, ok := d.want.Digest.BySeller[k.SellerId]
		if !ok || !want.same(got) {
			return d.differ("the customer expects of %s %v %v, the digest has %v %v", k.SellerId, want, want.IDs, got, got.IDs)
		}
	}
	fmt.Fprintf(d.out, "✓ sellers with a digest: %d, as the customer expects\n", len(digests))
	return nil
}

func (d *day) expectRetries(charges []*recurrencesv1.Charge) error {
	const moved = "2025-11-03" // D+3 is a Sunday
	var again []string
	for _, k := range charges {
		again = append(again, k.RecurrenceId)
		if k.State != "failed_soft" || k.RetryOn != moved || len(k.Attempts) != 2 {
			return d.differ("%s is %s after %d attempts, next on %q; want failed_soft after 2, next on %s", k.RecurrenceId, k.State, len(k.Attempts), k.RetryOn, moved)
		}
	}
	if slices.Sort(again); !slices.Equal(again, d.want.Retry.Attempted) {
		return d.differ("the customer expects tries of %v, there are %v", d.want.Retry.Attempted, again)
	}
	fmt.Fprintf(d.out, "✓ %d charges tried again, next on %s, as the customer expects\n", len(again), moved)
	return nil
}

func (d *day) expectCleanup(expired []*recurrencesv1.Recurrence) error {
	var ids []string
	for _, r := range expired {
		if ids = append(ids, r.Id); r.State != "completed" {
			return d.differ("%s is %s, want completed", r.Id, r.State)
		}
	}
	if slices.Sort(ids); !slices.Equal(ids, d.want.Cleanup.Completed) {
		return d.differ("the customer expects the end of %v, there is that of %v", d.want.Cleanup.Completed, ids)
	}
	fmt.Fprintf(d.out, "✓ %d recurrence completed as %s, as the customer expects\n", len(ids), d.want.Cleanup.Reason)
	return nil
}
