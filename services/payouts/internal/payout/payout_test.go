package payout

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

func TestIDFollowsFromItsFieldsAlone(t *testing.T) {
	t.Parallel()
	one := ID("lebenis", "drv-01", "2025-01-24", "payouts/daily", 1)
	if again := ID("lebenis", "drv-01", "2025-01-24", "payouts/daily", 1); again != one {
		t.Errorf("planning twice gave %s and %s", one, again)
	}
	// Fields are length-prefixed: moving a character over a border must give another id.
	others := map[string]string{
		ID("lebenis", "drv-0", "12025-01-24", "payouts/daily", 1).String():  "moved border",
		ID("lebenis", "drv-01", "2025-01-24", "payouts/daily", 2).String():  "next seq",
		ID("lebenis", "drv-01", "2025-01-25", "payouts/daily", 1).String():  "next day",
		ID("wallclub", "drv-01", "2025-01-24", "payouts/daily", 1).String(): "other tenant",
	}
	if len(others) != 4 {
		t.Errorf("ids collide: %v", others)
	}
	if why, same := others[one.String()]; same {
		t.Errorf("%s has the same id", why)
	}
	if Reference(one, 1) == Reference(one, 2) {
		t.Error("two attempts share a reference")
	}
}

func TestStatesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	ours := map[string]bool{"": true}
	for _, s := range []State{
		Created, Skipped, AwaitingApproval, Approved, Rejected, Held, Submitting, Processing, Unknown,
		ManualReview, Succeeded, Failed, Reversed, Cancelled,
	} {
		ours[string(s)] = true
	}
	table := map[string]bool{"": true}
	for _, s := range event.Payout.States() {
		table[s] = true
	}
	if diff := cmp.Diff(table, ours); diff != "" {
		t.Errorf("states (-table +ours):\n%s", diff)
	}
}

func TestItemsAreReleasedOnlyWhereNoMoneyMoved(t *testing.T) {
	t.Parallel()
	released := map[State]bool{Skipped: true, Rejected: true, Cancelled: true, Reversed: true, Failed: true}
	for _, s := range event.Payout.States() {
		if s := State(s); MayRelease(s) != released[s] {
			t.Errorf("MayRelease(%s) = %v", s, MayRelease(s))
		}
	}
	if Releases(Failed, true) {
		t.Error("a failure that is tried again gave its items away")
	}
}

// items makes a payee's items: payments with commission split off as when they were recorded, and some carries.
func items(t *rapid.T) []Item {
	n := rapid.IntRange(1, 40).Draw(t, "items")
	bps := rapid.Int64Range(0, 10_000).Draw(t, "bps")
	all := make([]Item, n)
	for i := range all {
		gross := money.Amount{Minor: rapid.Int64Range(1, 3_000_000).Draw(t, "gross"), Currency: "XOF"}
		commission, net := gross.Commission(bps)
		all[i] = Item{Kind: KindPayment, ID: rapid.StringN(1, 3, -1).Draw(t, "prefix") + string(rune('A'+i)), Gross: gross.Minor, Commission: commission.Minor, Net: net.Minor}
		if rapid.IntRange(0, 9).Draw(t, "carry") == 0 {
			all[i].Kind = KindCarry
			all[i].Gross, all[i].Commission, all[i].Net = -all[i].Gross, -all[i].Commission, -all[i].Net
		}
	}
	return all
}

func TestSplitLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := items(t)
		most := rapid.Int64Range(0, 4_000_000).Draw(t, "most")
		parts := Split(all, most)
		seen := map[Item]int{}
		for _, part := range parts {
			if len(part) == 0 {
				t.Fatal("an empty part")
			}
			for _, i := range part {
				seen[i]++
			}
		}
		for _, i := range all {
			if seen[i] != 1 {
				t.Fatalf("item %v is in %d parts", i, seen[i])
			}
		}
		if len(seen) != len(all) {
			t.Fatalf("%d items came out of %d", len(seen), len(all))
		}
	})
}

func TestSplitKeepsTheLimitUnlessOnePaymentPassesIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := items(t)
		most := rapid.Int64Range(1, 4_000_000).Draw(t, "most")
		parts := Split(all, most)
		owing := 0
		for _, part := range parts {
			s := SumOf(part)
			if s.Gross != s.Commission+s.Net {
				t.Fatalf("part %v: gross %d is not commission %d + net %d", part, s.Gross, s.Commission, s.Net)
			}
			if s.Net > most && len(part) > 1 {
				t.Fatalf("a part of %d items pays %d, most is %d", len(part), s.Net, most)
			}
			if s.Net <= 0 {
				owing++
			}
		}
		if owing > 1 {
			t.Fatalf("%d parts owe; carries belong into one", owing)
		}
	})
}

func TestSplitDoesNotSplitWhatFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := items(t)
		sum := SumOf(all).Net
		if parts := Split(all, max(sum, 1)); len(parts) != 1 {
			t.Fatalf("%d parts of what fits into one", len(parts))
		}
		if parts := Split(all, 0); len(parts) != 1 {
			t.Fatalf("%d parts without a limit", len(parts))
		}
	})
}

func TestDecide(t *testing.T) {
	t.Parallel()
	pays := Facts{Net: 24_000, Minimum: 100, MaxPerPayout: 2_000_000, Wallet: true, Cap: func() string { return "" }}
	with := func(change func(*Facts)) Facts { f := pays; change(&f); return f }
	tests := []struct {
		name string
		f    Facts
		to   State
		code string
	}{
		{"nothing in the way", pays, Approved, ""},
		{"exactly the minimum", with(func(f *Facts) { f.Net = 100 }), Approved, ""},
		{"below the minimum", with(func(f *Facts) { f.Net = 99 }), Skipped, CodeBelowMinimum},
		{"carries eat it up", with(func(f *Facts) { f.Net, f.Minimum = -5, 0 }), Skipped, CodeBelowMinimum},
		{"nothing left, no minimum", with(func(f *Facts) { f.Net, f.Minimum = 0, 0 }), Skipped, CodeBelowMinimum},
		{"no wallet", with(func(f *Facts) { f.Wallet = false }), Skipped, CodeNoWallet},
		{"no wallet under a stop is still skipped", with(func(f *Facts) { f.Wallet, f.OutflowStopped = false, true }), Skipped, CodeNoWallet},
		{"exactly the most", with(func(f *Facts) { f.Net = 2_000_000 }), Approved, ""},
		{"above the most", with(func(f *Facts) { f.Net = 2_000_001 }), Held, CodeMaxPerPayout},
		{"stop", with(func(f *Facts) { f.OutflowStopped = true }), Held, CodeTenantStop},
		{"payee paused", with(func(f *Facts) { f.PayeePaused = true }), Held, CodePayeePaused},
		{"provider stopped", with(func(f *Facts) { f.ProviderStopped = true }), Held, CodeProviderStopped},
		{"cap", with(func(f *Facts) { f.Cap = func() string { return CodeDailyCap } }), Held, CodeDailyCap},
		{"tier", with(func(f *Facts) { f.ApprovalsNeeded = 1 }), AwaitingApproval, CodeAboveTier},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to, reason := Decide(tt.f)
			if to != tt.to || reason.Code != tt.code {
				t.Errorf("Decide = %s (%s), want %s (%s)", to, reason.Code, tt.to, tt.code)
			}
			if _, ok := event.Payout.Event(string(Created), string(to)); !ok {
				t.Errorf("the state table has no way from created to %s", to)
			}
		})
	}
}

func TestDecideAsksTheCapOnlyAboutWhatWouldGoOut(t *testing.T) {
	t.Parallel()
	asked := false
	f := Facts{Net: 500, Wallet: true, PayeePaused: true, Cap: func() string { asked = true; return "" }}
	Decide(f)
	if asked {
		t.Error("a held payout used up the day's cap")
	}
}
