package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

func TestControlPlanAndRules(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	plan := `{"seed":1,"rules":[{"provider":"orange_omr","operation":"cashin","match":{"peer":"0700000101","amount":24000,"reference":"","token":"","probability":1.0},"fault":"failed","times":1,"delay":"0s","duration":"5s"}]}`
	w.want(w.control("PUT", "/_control/plan", plan), http.StatusNoContent, nil)
	rule := `{"provider":"orange_omr","operation":"cashin","match":{"peer":"07000001*"},"fault":"5xx_after_payment","status":504}`
	w.want(w.control("POST", "/_control/rules", rule), http.StatusNoContent, nil)
	for _, want := range []string{"FAILED", "504/0", "504/0"} {
		if got := saw(w.cashin("ref-1", peer, amount)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	var shown struct {
		Seed  int64
		Rules []struct {
			Fault, Duration string
			Status, Applied int
		}
	}
	w.want(w.control("GET", "/_control/plan", nil), http.StatusOK, &shown)
	if got := fmt.Sprintf("%+v", shown); got != "{Seed:1 Rules:[{Fault:failed Duration:5s Status:0 Applied:1} {Fault:5xx_after_payment Duration: Status:504 Applied:2}]}" {
		t.Error(got)
	}
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Failed})
	rule := func(s string) string { return `{"provider":"orange_omr","operation":"cashin",` + s + `}` }
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", "/_control/rules", rule(`"fault":"lost_anwser"`), "lost_answer_after_payment"},
		{"POST", "/_control/rules", rule(`"fault":"dead_token"`), "cannot fail with"},
		{"POST", "/_control/rules", rule(`"fualt":"failed"`), "unknown field"},
		{"POST", "/_control/rules", rule(`"delay":"5"`), "not a duration"},
		{"POST", "/_control/rules", rule(`"duration":"-5s"`), "not a duration"},
		{"POST", "/_control/rules", rule(`"times":-1`), "negative"},
		{"POST", "/_control/rules", rule(`"match":{"probability":1.5}`), "between 0 and 1"},
		{"POST", "/_control/rules", rule(`"status":200`), "no error status"},
		{"POST", "/_control/rules", rule(`"callback":"twice"`), "duplicated"},
		{"POST", "/_control/rules", rule(`"times":1`) + "x", "follows"},
		{"POST", "/_control/rules", `{"provider":"paypal","operation":"cashin"}`, "mtn_momo, orange_omr"},
		{"POST", "/_control/rules", `{"provider":"fcm","operation":"cashin"}`, "send"},
		{"PUT", "/_control/plan", `{"seed":1,"rules":[{"provider":"fcm","operation":"send","fault":"nothing"}]}`, "rule 0"},
		{"PUT", "/_control/latency", `{"provider":"paypal","fixed":"1s"}`, "not simulated"},
		{"PUT", "/_control/latency", `{"provider":"fcm","fixed":"soon"}`, "not a duration"},
		{"PUT", "/_control/callback", `{"provider":"orange_omr","url":"ftp://x"}`, "no http"},
		{"PUT", "/_control/callback", `{"provider":"fcm","url":"http://x"}`, "orange_omr"},
		{"POST", "/_control/float", `{"provider":"fcm","minor":1}`, "no book"},
	} {
		r := w.control(c.method, c.path, c.body)
		if r.status != http.StatusBadRequest || !strings.Contains(string(r.body), c.says) {
			t.Errorf("%s %s: %d %s, want 400 and %q", c.path, c.body, r.status, r.body, c.says)
		}
	}
	if got := saw(w.cashin("ref-1", peer, amount)); got != "FAILED" {
		t.Errorf("a wrong plan took the right one away: %s", got)
	}
	if r := w.control("GET", "/_control/books", nil); r.status != http.StatusNotFound || !strings.Contains(string(r.body), "docs/simulator.md") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestControlBookCallsAndReset(t *testing.T) {
	t.Parallel()
	float := int64(100_000)
	w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{Float: &float}})
	w.cashin("ref-2", "0700000102", 500)
	w.clock.advance(time.Second)
	w.cashin("ref-1", peer, amount)
	w.cashin("ref-1", peer, amount)
	w.lookup("ref-1")
	var got simulator.Book
	w.want(w.control("GET", "/_control/book?provider=orange_omr", nil), http.StatusOK, &got)
	first, left := w.clock.Now(), float-500-2*amount
	want := simulator.Book{
		Entries: []simulator.Entry{
			{Reference: "ref-1", Peer: peer, Amount: amount, Currency: "XOF", Status: "SUCCESS", Moved: 2, MovedMinor: 2 * amount, Requests: 2, FirstAt: first, LastAt: first},
			{Reference: "ref-2", Peer: "0700000102", Amount: 500, Currency: "XOF", Status: "SUCCESS", Moved: 1, MovedMinor: 500, Requests: 1, FirstAt: first.Add(-time.Second), LastAt: first.Add(-time.Second)},
		},
		Totals: simulator.Totals{Entries: 2, MovedCount: 3, MovedMinor: 500 + 2*amount, Float: &left},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for query, entries := range map[string]int{"": 2, "?entries=false": 0, "?reference=ref-2": 1, "?peer=" + peer: 1, "?reference=nobody": 0} {
		w.want(w.control("GET", "/_control/book"+query, nil), http.StatusOK, &got)
		if len(got.Entries) != entries {
			t.Errorf("%s: %d entries", query, len(got.Entries))
		}
	}
	var counted struct{ Calls []simulator.CallCount }
	w.want(w.control("GET", "/_control/calls", nil), http.StatusOK, &counted)
	wantCalls := []simulator.CallCount{
		{Provider: "orange_omr", Operation: "cashin", Outcome: "SUCCESS", Calls: 3},
		{Provider: "orange_omr", Operation: "forms", Outcome: "ok", Calls: 1},
		{Provider: "orange_omr", Operation: "lookup", Outcome: "SUCCESS", Calls: 1},
		{Provider: "orange_omr", Operation: "services", Outcome: "ok", Calls: 1},
		{Provider: "orange_omr", Operation: "token", Outcome: "ok", Calls: 1},
	}
	if diff := cmp.Diff(wantCalls, counted.Calls); diff != "" {
		t.Error(diff)
	}
	w.want(w.control("POST", "/_control/reset", nil), http.StatusNoContent, nil)
	if b := w.book(); len(b.Entries) != 0 || *b.Totals.Float != float || len(w.sim.Calls()) != 0 {
		t.Errorf("after the reset: %+v, %v", b, w.sim.Calls())
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	w.want(w.control("PUT", "/_control/latency", `{"provider":"orange_omr","operation":"lookup","fixed":"50ms","jitter":"20ms"}`), http.StatusNoContent, nil)
	w.cashin("ref-1", peer, amount) // not slowed down: the clock stands still
	answered := make(chan reply)
	go func() { answered <- w.lookup("ref-1") }()
	started := w.clock.Now()
	w.until("the lookup is answered", func() bool {
		select {
		case <-answered:
			return true
		default:
			w.clock.advance(time.Millisecond)
			return false
		}
	})
	if took := w.clock.Now().Sub(started); took < 50*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// The same seed gives every reference the same fate, in whatever order and however often the calls come; another seed
// gives another evening.
func TestProbabilityFollowsFromSeedAndReference(t *testing.T) {
	t.Parallel()
	fate := func(seed int64, order []int) map[string]string {
		w := ready(t, simulator.Config{})
		rules := []simulator.Rule{
			{Provider: simulator.Orange, Operation: "cashin", Match: simulator.Match{Probability: 0.2}, Fault: simulator.ServerErrorAfter},
			{Provider: simulator.Orange, Operation: "cashin", Match: simulator.Match{Probability: 0.5}, Fault: simulator.Failed},
		}
		if err := w.sim.Plan(simulator.Plan{Seed: seed, Rules: rules}); err != nil {
			t.Fatal(err)
		}
		fates := map[string]string{}
		for _, i := range order {
			reference := fmt.Sprintf("ref-%d", i)
			fates[reference] = saw(w.cashin(reference, peer, int64(1000+i)))
		}
		return fates
	}
	const n = 400
	up, down := make([]int, n), make([]int, n)
	for i := range n {
		up[i], down[n-1-i] = i, i
	}
	forth, back, other := fate(7, up), fate(7, down), fate(8, up)
	if diff := cmp.Diff(forth, back); diff != "" {
		t.Errorf("the order of calls changed fates: %s", diff)
	}
	if cmp.Equal(forth, other) {
		t.Error("another seed changed nothing")
	}
	counts := map[string]int{}
	for _, f := range forth {
		counts[f]++
	}
	// 20 % and half of the rest, within five standard deviations.
	if counts["502/0"] < 40 || counts["502/0"] > 120 || counts["FAILED"] < 110 || counts["FAILED"] > 210 {
		t.Errorf("shares: %v", counts)
	}
}

func TestTimesHoldUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.TooMany, Times: 37, RetryAfter: time.Second})
	answers := make(chan string, 100)
	for i := range 100 {
		go func() { answers <- saw(w.cashin(fmt.Sprintf("ref-%d", i), peer, amount)) }()
	}
	counts := map[string]int{}
	for range 100 {
		counts[<-answers]++
	}
	if counts["429/53"] != 37 || counts["SUCCESS"] != 63 {
		t.Error(counts)
	}
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	cfg := simulator.Config{BookPath: filepath.Join(t.TempDir(), "book.jsonl")}
	go func() { done <- simulator.Run(ctx, "127.0.0.1:0", cfg, func(addr string) { ready <- addr }) }()
	addr := <-ready
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr + "/healthz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
	if err := simulator.Run(ctx, addr, simulator.Config{}, nil); err == nil || !strings.Contains(err.Error(), "cannot listen") {
		t.Errorf("a second one on the same address: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := client.Get("http://" + addr + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	if _, err := simulator.New(simulator.Config{BookPath: filepath.Join(t.TempDir(), "no", "such", "folder")}); err == nil {
		t.Error("a book in a folder that is not there")
	}
	if _, err := simulator.New(simulator.Config{Orange: simulator.OrangeConfig{Callback: simulator.Callback{Mode: "sometimes"}}}); err == nil {
		t.Error("a callback mode that is not there")
	}
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Fill("paypal", 1), s.Close()); err == nil {
		t.Error("a float at a provider that is not there")
	}
	if _, err := s.Book("paypal"); err == nil {
		t.Error("a book of a provider that is not there")
	}
}
