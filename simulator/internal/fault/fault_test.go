package fault

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var known = Catalogue{"p": {"pay": {Failed, Slow, Unauthorized}, "ask": {Failed}}}

func TestFirstRuleThatFitsDecides(t *testing.T) {
	s := NewSet(known)
	if err := s.Replace(Plan{Rules: []Rule{
		{Provider: "p", Operation: "ask", Fault: Failed},
		{Provider: "p", Operation: "pay", Match: Match{Peer: "1", Amount: 5}, Message: "both"},
		{Provider: "p", Operation: "pay", Match: Match{Reference: "r*"}, Message: "prefix", Times: 1},
		{Provider: "p", Operation: "pay", Match: Match{Token: "t"}, Message: "token"},
	}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		call Call
		want string
	}{
		{Call{Peer: "1", Amount: 5, Reference: "r1"}, "both"},
		{Call{Peer: "1", Amount: 6, Reference: "r1"}, "prefix"},
		{Call{Peer: "1", Amount: 6, Reference: "r1"}, "-"}, // used up
		{Call{Peer: "2", Amount: 5}, "-"},
		{Call{Token: "t"}, "token"},
		{Call{Token: "tt"}, "-"},
	} {
		c.call.Provider, c.call.Operation = "p", "pay"
		got := "-"
		if r, ok := s.Decide(c.call); ok {
			got = r.Message
		}
		if got != c.want {
			t.Errorf("%+v: got %s, want %s", c.call, got, c.want)
		}
	}
}

func TestUnauthorizedIsOnceUnlessSaidOtherwise(t *testing.T) {
	s := NewSet(known)
	if err := s.Replace(Plan{Rules: []Rule{{Provider: "p", Operation: "pay", Fault: Unauthorized}}}); err != nil {
		t.Fatal(err)
	}
	call := Call{Provider: "p", Operation: "pay"}
	if _, ok := s.Decide(call); !ok {
		t.Error("not even once")
	}
	if _, ok := s.Decide(call); ok {
		t.Error("twice")
	}
}

func TestAddKeepsWhatOthersHaveUsedUp(t *testing.T) {
	s := NewSet(known)
	call := Call{Provider: "p", Operation: "pay"}
	for _, message := range []string{"a", "b"} {
		if err := s.Add(Rule{Provider: "p", Operation: "pay", Times: 1, Message: message}); err != nil {
			t.Fatal(err)
		}
		if r, ok := s.Decide(call); !ok || r.Message != message {
			t.Errorf("got %q, want %q", r.Message, message)
		}
	}
	if _, rules := s.Current(); rules[0].Applied != 1 || rules[1].Applied != 1 {
		t.Errorf("%+v", rules)
	}
}

func TestFractionIsSpreadEvenly(t *testing.T) {
	const n = 100_000
	var buckets [10]int
	for i := range n {
		buckets[int(Fraction(3, 1, "ref-"+time.Duration(i).String())*10)]++
	}
	for i, count := range buckets {
		if math.Abs(float64(count)-n/10) > n/100 {
			t.Errorf("bucket %d has %d of %d", i, count, n)
		}
	}
	if Fraction(3, 1, "a") == Fraction(3, 2, "a") || Fraction(3, 1, "a") == Fraction(4, 1, "a") {
		t.Error("rule or seed does not matter")
	}
}

func TestRulesSurviveTheirJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Map(rapid.Int64Range(0, 1e15), func(n int64) time.Duration { return time.Duration(n) })
		word := rapid.StringMatching(`[a-z0-9_*]{0,12}`)
		want := Rule{
			Provider: word.Draw(t, "provider"), Operation: word.Draw(t, "operation"), Fault: Kind(word.Draw(t, "fault")),
			Match: Match{
				Peer: word.Draw(t, "peer"), Amount: rapid.Int64().Draw(t, "amount"), Reference: word.Draw(t, "reference"),
				Token: word.Draw(t, "token"), Probability: rapid.Float64Range(0, 1).Draw(t, "probability"),
			},
			Times: rapid.IntRange(0, 9).Draw(t, "times"), Delay: span.Draw(t, "delay"), Duration: span.Draw(t, "duration"),
			Blind: span.Draw(t, "blind"), Status: rapid.IntRange(0, 599).Draw(t, "status"), Message: rapid.String().Draw(t, "message"),
			RetryAfter: span.Draw(t, "retry after"), Callback: word.Draw(t, "callback"),
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLatencySurvivesItsJSON(t *testing.T) {
	want := Latency{"p", "pay", 50 * time.Millisecond, time.Second}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Latency
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("%s: %+v (%v)", text, got, err)
	}
	var all Latencies
	all.Set(want)
	all.Set(Latency{Provider: "p", Fixed: time.Minute})
	call := Call{Provider: "p", Operation: "pay", Reference: "r"}
	if d := all.Of(call); d < 50*time.Millisecond || d > 1050*time.Millisecond || d != all.Of(call) {
		t.Errorf("%v", d)
	}
	if d := all.Of(Call{Provider: "p", Operation: "ask"}); d != time.Minute {
		t.Errorf("the provider's own: %v", d)
	}
	all.Clear()
	if d := all.Of(call); d != 0 {
		t.Errorf("cleared: %v", d)
	}
}

// A plan that is accepted is one that can be shown and read again.
func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(`{"seed":1,"rules":[{"provider":"p","operation":"pay","match":{"peer":"0700000101","amount":24000,"probability":1.0},"fault":"failed","times":1,"delay":"0s","duration":"5s"}]}`))
	f.Add([]byte(`{"rules":[{"delay":"-1s"}]}`))
	f.Add([]byte(`{}{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePlan(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParsePlan(again)
		if err != nil || len(p.Rules) != len(q.Rules) || q.Seed != p.Seed {
			t.Fatalf("%s became %s (%v)", text, again, err)
		}
	})
}
