package charge

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whatever is refunded, disputed, lost and won, in whatever order it is told: the books end where the facts say, no step takes more
// from the gateway than was charged, and no account but suspense pays for what nobody can explain.
func TestBooksFollowFromWhatWasTakenBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		charged := rapid.Int64Range(1, 10_000).Draw(t, "charged")
		var now TakenBack
		var known []Dispute
		balance := map[Side]int64{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			refunded := rapid.Int64Range(now.Refunded, max(now.Refunded, charged+10)).Draw(t, "refunded")
			told := []Dispute{{fmt.Sprint("c", rapid.IntRange(0, 2).Draw(t, "case")), rapid.Int64Range(1, charged).Draw(t, "disputed"), DisputeOpen}}
			if rapid.Bool().Draw(t, "lost") {
				told[0].State = DisputeLost
			}
			steps, _ := News(charged, now, known, refunded, told)
			if len(known) > 0 && known[0].Case != told[0].Case && rapid.IntRange(0, 3).Draw(t, "person") == 0 {
				if s, ok := known[0].Decide(DisputeWon); ok {
					steps = append(steps, s)
				}
			}
			for _, s := range steps {
				known = keep(known, s)
				next := now.Plus(s.Change)
				for _, f := range now.Bearing(charged).Flows(next.Bearing(charged)) {
					if f.Minor <= 0 {
						t.Fatalf("a posting of %d", f.Minor)
					}
					balance[f.Debit] += f.Minor
					balance[f.Credit] -= f.Minor
				}
				now = next
			}
			if again, _ := News(charged, now, known, now.Refunded, told); len(again) > 0 {
				t.Fatalf("told again, it leads to %+v", again)
			}
		}
		b := now.Bearing(charged)
		if b.Seller < 0 || b.Chargebacks < 0 || b.Suspense < 0 || b.Seller+b.Chargebacks > charged {
			t.Fatalf("%+v of %d is borne as %+v", now, charged, b)
		}
		want := map[Side]int64{SideSeller: b.Seller, SideChargebacks: b.Chargebacks, SideSuspense: b.Suspense, SideGateway: -b.Seller - b.Chargebacks - b.Suspense}
		for side, minor := range want {
			if balance[side] != minor {
				t.Fatalf("side %d holds %d, want %d: %+v of %d", side, balance[side], minor, now, charged)
			}
		}
		if now.Refunded <= charged && b.Suspense != 0 {
			t.Fatalf("%d in suspense without a cause", b.Suspense)
		}
	})
}

func keep(known []Dispute, s Step) []Dispute {
	if s.Dispute == nil {
		return known
	}
	for i := range known {
		if known[i].Case == s.Dispute.Case {
			known[i] = *s.Dispute
			return known
		}
	}
	return append(known, *s.Dispute)
}

// Each simple case is one entry, between the accounts that people expect.
func TestFlows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to TakenBack
		want     []Flow
	}{
		"a refund":                         {TakenBack{}, TakenBack{Refunded: 100}, []Flow{{SideSeller, SideGateway, 100}}},
		"a dispute":                        {TakenBack{}, TakenBack{Disputed: 100}, []Flow{{SideChargebacks, SideGateway, 100}}},
		"lost":                             {TakenBack{Disputed: 100}, TakenBack{Disputed: 100, ChargedBack: 100}, []Flow{{SideSeller, SideChargebacks, 100}}},
		"won":                              {TakenBack{Disputed: 100}, TakenBack{}, []Flow{{SideGateway, SideChargebacks, 100}}},
		"refunded after a dispute":         {TakenBack{Disputed: 100}, TakenBack{Refunded: 100, Disputed: 100}, []Flow{{SideSeller, SideChargebacks, 100}}},
		"lost after a refund":              {TakenBack{Refunded: 100, Disputed: 100}, TakenBack{Refunded: 100, Disputed: 100, ChargedBack: 100}, []Flow{}},
		"a part, beside another's dispute": {TakenBack{Disputed: 30}, TakenBack{Refunded: 70, Disputed: 30}, []Flow{{SideSeller, SideGateway, 70}}},
		"a part of what is disputed": {
			TakenBack{Disputed: 60}, TakenBack{Refunded: 70, Disputed: 60}, []Flow{{SideSeller, SideGateway, 40}, {SideSeller, SideChargebacks, 30}},
		},
		"more than was charged": {TakenBack{}, TakenBack{Refunded: 110}, []Flow{{SideSeller, SideGateway, 100}, {SideSuspense, SideGateway, 10}}},
	} {
		if diff := cmp.Diff(c.want, c.from.Bearing(100).Flows(c.to.Bearing(100))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
