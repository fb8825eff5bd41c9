package evening_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/cmd/agogo/internal/evening"
	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	"github.com/agogopay/agogo/simulator"
)

var lebenis = oracle.Rules{
	Currency: "XOF", CommissionBPS: 2000, Minimum: 100, MaxPerPayout: 2_000_000, Methods: []string{"orange_money"},
	AcceptFrom: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Zone: time.UTC, Provider: "orange", CountryPrefix: "+225",
}

func generate(t interface{ Fatal(...any) }, seed int64, rules oracle.Rules) *evening.Evening {
	e, err := evening.Generate(seed, rules)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnEveningFollowsFromItsSeed(t *testing.T) {
	for seed := range int64(20) {
		if diff := cmp.Diff(generate(t, seed, lebenis), generate(t, seed, lebenis)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	if cmp.Equal(generate(t, 1, lebenis), generate(t, 2, lebenis)) {
		t.Error("two seeds, one evening")
	}
}

// Every evening can be imported, has the edges that it is for, and gives trouble only to those whom its first run pays.
func TestEveryEveningIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := lebenis
		if rapid.Bool().Draw(t, "reais") {
			rules.Currency, rules.Decimals, rules.CommissionBPS, rules.Minimum = "BRL", 2, rapid.Int64Range(1, 5000).Draw(t, "bps"), 500
		}
		e := generate(t, rapid.Int64().Draw(t, "seed"), rules)
		m := oracle.New(rules)
		if err := m.Import(bytes.NewReader(e.Payments)); err != nil {
			t.Fatal(err)
		}
		m.Fates(e.Fates)
		groups := map[string]*oracle.Group{}
		for _, g := range m.Plan(e.First) {
			groups[g.Payee] = g
		}
		if g := groups["drv-001"]; g == nil || g.Net > rules.Minimum || g.Skipped != (g.Net < rules.Minimum) {
			t.Errorf("just below the minimum: %+v", g)
		}
		if g := groups["drv-002"]; g == nil || g.Net < rules.Minimum || g.Net > rules.Minimum+1 || g.Skipped {
			t.Errorf("just enough: %+v", g)
		}
		if g := groups["drv-003"]; g != nil {
			t.Errorf("late, and paid: %+v", g)
		}
		for id := range e.Fates {
			if g := groups[id]; g == nil || g.Skipped {
				t.Errorf("%s has a fate and no payout", id)
			}
		}
		if err := m.Import(bytes.NewReader(e.Later)); err != nil {
			t.Fatal(err)
		}
		m.Fates(nil)
		if next := m.Plan(e.Next); len(next) == 0 {
			t.Error("nothing to pay the next evening")
		}
		if e.Next.After(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) || e.First.Before(rules.AcceptFrom) {
			t.Errorf("the days %v and %v", e.First, e.Next)
		}
	})
}

func TestTheSimulatorTakesEveryPlan(t *testing.T) {
	sim, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	faults, fates := map[simulator.Fault]int{}, map[oracle.Fate]int{}
	for seed := range int64(300) {
		e := generate(t, seed, lebenis)
		if err := sim.Plan(e.Faults); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		refused, withdrawn := 0, 0
		for _, r := range e.Faults.Rules {
			faults[r.Fault]++
			if r.Fault == simulator.Unauthorized {
				withdrawn++
			}
			if r.Provider == simulator.Orange && r.Times != 1 {
				t.Errorf("seed %d: a rule that never ends: %+v", seed, r)
			}
		}
		for _, f := range e.Fates {
			fates[f]++
			if f == oracle.Refuses || f == oracle.RefusesLater {
				refused++
			}
		}
		if withdrawn > 1 {
			t.Errorf("seed %d: the token is withdrawn %d times", seed, withdrawn)
		}
		if refused > 3 {
			t.Errorf("seed %d: %d refusals would pause the batch", seed, refused)
		}
	}
	if len(faults) < 15 || len(fates) < 5 {
		t.Errorf("faults %v, fates %v", faults, fates)
	}
}

// What evenings are made of, over many of them: an edge that no longer comes up is an edge that is no longer tested.
func TestEveningsHaveEveryEdge(t *testing.T) {
	seen := map[string]int{}
	for seed := range int64(50) {
		e := generate(t, seed, lebenis)
		known := map[string]string{} // payment → the status that was told last
		for i, file := range [][]byte{e.Payments, e.Later} {
			name := []string{"first", "later"}[i]
			rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows[1:] {
				note(seen, name, e, r, known[r[0]])
				known[r[0]] = r[7]
			}
		}
		seen["device"] += bytes.Count(e.Devices, []byte("device-"))
		seen["dead device"] += len(e.DeadTokens)
	}
	for _, edge := range []string{
		"first completed", "first pending", "first processing", "first failed", "first refunded", "first again", "first elsewhere",
		"first not payable", "first cut-off -1s", "first cut-off +0s", "first cut-off +500ms", "first cut-off +30s", "first cut-off +1m0s",
		"first cut-off -23h59m30s", "first other zone", "first pending → processing", "first processing → completed", "later completed → refunded", "later pending → completed", "later pending → failed",
		"later completed → completed", "later back-dated", "device", "dead device",
	} {
		if seen[edge] == 0 {
			t.Errorf("%s never came up", edge)
		}
	}
	t.Log(seen)
}

func note(seen map[string]int, file string, e *evening.Evening, r []string, before string) {
	seen[file+" "+r[7]]++
	if before != "" {
		seen[file+" again"]++
		seen[file+" "+before+" → "+r[7]]++
	}
	if r[9] != "" {
		seen[file+" elsewhere"]++
	}
	if r[6] != "orange_money" {
		seen[file+" not payable"]++
	}
	if r[8] == "" {
		return
	}
	at, err := time.Parse(time.RFC3339Nano, r[8])
	if err != nil {
		seen["bad time"]++
		return
	}
	if !strings.HasSuffix(r[8], "Z") {
		seen[file+" other zone"]++
	}
	if file == "later" && r[7] == "completed" && !at.After(e.First) {
		seen["later back-dated"]++
	}
	sign := "+"
	d := at.Sub(e.First)
	if d < 0 {
		sign = ""
	}
	seen[fmt.Sprintf("%s cut-off %s%v", file, sign, d)]++
}

// The files are for an importer that refuses a status that goes back: they never have one.
func TestRowsOfAPaymentKeepTheirOrder(t *testing.T) {
	rank := map[string]int{"pending": 0, "processing": 1, "completed": 2, "failed": 3, "refunded": 3}
	for seed := range int64(50) {
		e := generate(t, seed, lebenis)
		last := map[string]int{}
		for _, file := range [][]byte{e.Payments, e.Later} {
			rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows[1:] {
				if rank[r[7]] < last[r[0]] {
					t.Fatalf("seed %d: %v goes back", seed, r)
				}
				last[r[0]] = rank[r[7]]
			}
		}
	}
}

func TestFilesAreShuffled(t *testing.T) {
	e := generate(t, 1, lebenis)
	rows, err := csv.NewReader(bytes.NewReader(e.Payments)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	order := make([]string, 0, len(rows))
	for _, r := range rows[1:] {
		order = append(order, r[0])
	}
	if slices.IsSorted(order) {
		t.Error("the file is in the order in which it was made")
	}
}
