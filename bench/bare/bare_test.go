package bare_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/agogopay/agogo/bench/bare"
	"github.com/agogopay/agogo/simulator"
)

func serve(t *testing.T) (*simulator.Simulator, string) {
	t.Helper()
	sim, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.Close()
		_ = sim.Close()
	})
	return sim, server.URL
}

func TestTheLoopPaysEverybodyOnce(t *testing.T) {
	sim, url := serve(t)
	r, err := bare.Loop(t.Context(), bare.Config{URL: url, Country: "ci", Calls: 500, Concurrency: 8, Run: "a"})
	if err != nil {
		t.Fatal(err)
	}
	book, err := sim.Book(simulator.Orange)
	if err != nil {
		t.Fatal(err)
	}
	if book.Totals.Entries != 500 || book.Totals.MovedCount != 500 || r.Paid != 500 {
		t.Errorf("%+v, %v", book.Totals, r)
	}
	if r.PerSecond() <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
		t.Error(r)
	}
}

func TestAFailureEndsTheLoop(t *testing.T) {
	sim, url := serve(t)
	for _, fault := range []simulator.Fault{simulator.Failed, simulator.ServerErrorBefore, simulator.LostAnswer} {
		if err := sim.Plan(simulator.Plan{Rules: []simulator.Rule{{Provider: simulator.Orange, Operation: "cashin", Fault: fault, Match: simulator.Match{Reference: string(fault) + "-17"}}}}); err != nil {
			t.Fatal(err)
		}
		_, err := bare.Loop(t.Context(), bare.Config{URL: url, Country: "ci", Calls: 100, Concurrency: 4, Run: string(fault)})
		if err == nil || !strings.Contains(err.Error(), "call 17") {
			t.Errorf("%s: %v", fault, err)
		}
	}
	if _, err := bare.Loop(t.Context(), bare.Config{URL: url}); err == nil {
		t.Error("no calls at all")
	}
}
