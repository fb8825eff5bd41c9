package disburse_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

var update = flag.Bool("update", false, "write docs/providers/fault-matrix.md instead of comparing it")

const matrixPath = "../../../../docs/providers/fault-matrix.md"

// trouble is a way to go wrong: the rule that every provider has for it, and what differs. An empty rule is "not here".
type trouble struct {
	name  string
	rule  simulator.Rule
	other map[string]simulator.Rule // by kind
	ask   bool                      // it befalls lookups, after a lost answer
	hangs bool                      // the call ends by its own time
}

const soon = 3 * time.Second

func troubles() []trouble {
	none := simulator.Rule{}
	return []trouble{
		{name: "nothing"},
		{name: "paid, the connection closes", rule: simulator.Rule{Fault: simulator.LostAnswer}},
		{name: "paid, TCP reset", rule: simulator.Rule{Fault: simulator.ResetAfter}},
		{name: "paid, no answer in time", rule: simulator.Rule{Fault: simulator.TimeoutAfter}, hangs: true},
		{name: "paid, 502", rule: simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 502}},
		{name: "paid, 504", rule: simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 504}},
		{name: "paid, 408", rule: simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 408}},
		{name: "paid, 200 with a page of a proxy", rule: simulator.Rule{Fault: simulator.Garbage}},
		{name: "paid, lookups find nothing for 3 s", rule: simulator.Rule{Fault: simulator.LookupBlind, Duration: soon}},
		{name: "paid, lookups find nothing for 10 min", rule: simulator.Rule{Fault: simulator.LookupBlind, Duration: 10 * time.Minute}},
		{name: "paid and lost, lookups reset", rule: simulator.Rule{Fault: simulator.ResetBefore}, ask: true},
		{name: "paid and lost, lookups 503", rule: simulator.Rule{Fault: simulator.ServerErrorBefore}, ask: true},
		{name: "paid and lost, lookups 429", rule: simulator.Rule{Fault: simulator.TooMany}, ask: true},
		{name: "not paid, TCP reset", rule: simulator.Rule{Fault: simulator.ResetBefore}},
		{name: "not paid, no answer in time", rule: simulator.Rule{Fault: simulator.TimeoutBefore}, hangs: true},
		{name: "not paid, 503", rule: simulator.Rule{Fault: simulator.ServerErrorBefore}},
		{name: "429", rule: simulator.Rule{Fault: simulator.TooMany}},
		{name: "429 with Retry-After of a minute", rule: simulator.Rule{Fault: simulator.TooMany, RetryAfter: time.Minute}},
		{name: "pending, then paid", rule: simulator.Rule{Fault: simulator.PendingSuccess, Duration: soon}},
		{name: "pending, then failed", rule: simulator.Rule{Fault: simulator.PendingFailed, Duration: soon}},
		{name: "pending for ever", rule: simulator.Rule{Fault: simulator.PendingForever}},
		{name: "a status that no documentation has", rule: simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Hour}},
		{name: "numbers as strings, amounts as 24000.0", rule: simulator.Rule{Fault: simulator.WrongShape}},
		{name: "the token has expired", rule: simulator.Rule{Fault: simulator.Unauthorized}, other: map[string]simulator.Rule{"wave": none}},
		{
			name: "refused for good", rule: simulator.Rule{Fault: simulator.Failed, Message: "Compte bloque"}, other: map[string]simulator.Rule{
				"mtn": {Fault: simulator.Failed, Status: 500, Message: "PAYEE_NOT_FOUND"}, "sonatel": {Fault: simulator.Problem, Message: "2000"},
				"wave": {Fault: simulator.Failed},
			},
		},
		{
			name: "our float is empty", rule: simulator.Rule{Fault: simulator.Failed, Message: "Solde insuffisant."}, other: map[string]simulator.Rule{
				"mtn": {Fault: simulator.Failed, Status: 500, Message: "NOT_ENOUGH_FUNDS"}, "sonatel": {Fault: simulator.Problem, Message: "2021"},
				"wave": {Fault: simulator.Failed, Message: "insufficient-funds"},
			},
		},
		{name: "an identical transaction", rule: simulator.Rule{Fault: simulator.Identical}},
		{name: "we may not use this", rule: simulator.Rule{Fault: simulator.NotSubscribed}},
		{name: "the service is not activated", rule: simulator.Rule{Fault: simulator.NotActivated}},
		{name: "our key is revoked", other: map[string]simulator.Rule{"wave": {Fault: simulator.Unauthorized}}},
		{name: "our PIN is wrong", other: map[string]simulator.Rule{"sonatel": {Fault: simulator.Problem, Message: "2011"}}},
	}
}

// of is the rule for a kind; ok is false where it cannot happen.
func (f trouble) of(kind string) (r simulator.Rule, ok bool) {
	r = f.rule
	if other, differs := f.other[kind]; differs {
		r = other
	}
	return r, r.Fault != "" || f.name == "nothing"
}

type payer struct {
	kind   func() sending.Kind
	title  string
	change []func(*simulator.Config)
}

func payers() []payer {
	return []payer{
		{sending.Orange, "orange_omr", nil},
		{sending.Sonatel, "orange_sonatel", []func(*simulator.Config){sending.SonatelAccount}},
		{sending.MTN, "mtn_momo", nil},
		{sending.Wave, "wave", nil},
	}
}

// Every adapter and every way to go wrong: what the first answer is taken for, what becomes of the payout at once and in the end, and
// how often the money moved by the provider's own book. The result is a page that people read; -update writes it anew.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	all, cells := troubles(), map[string]string{}
	var mu sync.Mutex
	t.Run("cells", func(t *testing.T) {
		for _, p := range payers() {
			for _, f := range all {
				t.Run(p.title+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					text := f.cell(t, p)
					mu.Lock()
					defer mu.Unlock()
					cells[p.title+f.name] = text
				})
			}
		}
	})
	if t.Failed() {
		return
	}
	page := matrixPage(all, cells)
	if *update {
		if err := os.WriteFile(matrixPath, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, err := os.ReadFile(matrixPath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(was), page); diff != "" {
		t.Errorf("docs/providers/fault-matrix.md is not what the providers' faults come to; look at the difference, then: go test ./services/payouts/internal/disburse -run TestFaultMatrix -update\n%s", diff)
	}
}

// cell lives through one fault with one provider.
func (f trouble) cell(t *testing.T, p payer) string {
	t.Helper()
	if _, ok := f.of(p.kind().Name); !ok {
		return ""
	}
	e := sending.NewOf(t, p.kind(), p.change...)
	e.Config.LookupAfter = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute}
	e.Config.Timeout = 30 * time.Second // for the machine; the clock of the test is another one
	if f.hangs {
		e.Config.Timeout = 6 * time.Second
	}
	rule, _ := f.of(e.Config.Name)
	rule.Provider, rule.Operation, rule.Times = p.kind().Simulated, p.kind().Pay, 1
	rules := []simulator.Rule{rule}
	if f.ask {
		rules[0].Fault = simulator.LostAnswer
		rule.Operation, rule.Times = p.kind().Ask, 3
		rules = append(rules, rule)
	}
	for _, r := range rules {
		if err := e.Sim.AddRule(r); r.Fault != "" && err != nil {
			return "" // the provider knows no such fault
		}
	}
	var first string
	var once sync.Once
	s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		res := real.Submit(ctx, tr)
		once.Do(func() { first = strings.TrimSpace(fmt.Sprintf("`%s` %s", res.Class, res.Scope)) })
		return res
	}})
	run := e.Plan(1)
	if f.hangs { // while time stands still the provider does not answer, and our own time is the machine's
		e.Dispatch(s, run)
	} else {
		e.DispatchMoving(s, run)
	}
	at, moved := e.One(), 0
	paid := 0 // steps since; one more shows that nothing is paid again
	for _, after := range []time.Duration{10, 20, 30, 60, 60, 600, 600, 600, 600} {
		e.Clock.Advance(after * time.Second)
		e.Pass(s)
		e.SweepMoving(s)
		if e.One() == "succeeded" {
			paid++
		}
		if paid > 1 {
			break
		}
	}
	e.Check()
	for _, entry := range e.Book() {
		moved += entry.Moved
	}
	end := e.One()
	if moved > 1 || (end == "succeeded") != (moved == 1) {
		t.Errorf("in the end %s, and money moved %d times", end, moved)
	}
	if at == end {
		return fmt.Sprintf("%s: %s", first, end)
	}
	return fmt.Sprintf("%s: %s → %s", first, at, end)
}

func matrixPage(all []trouble, cells map[string]string) string {
	var b strings.Builder
	b.WriteString(`# Faults and what becomes of them

Written by ` + "`TestFaultMatrix`" + ` (services/payouts/internal/disburse), which lets each provider's simulator go wrong once and compares the tables with the simulator's
book when all is over. A cell is what the first answer is taken for (class and scope), then the payout's state with its reason at once and 40 minutes
later, when the provider is well again and nobody has done anything. ` + "`succeeded`" + ` stands only where the money moved, once; everywhere else it did not move.
An empty cell is a fault that the provider cannot show. Orange and Sonatel are tried as providers that do not deduplicate, MTN and Wave as ones that do.

| fault |`)
	for _, p := range payers() {
		fmt.Fprintf(&b, " `%s` |", p.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(payers())) + "\n")
	for _, f := range all {
		fmt.Fprintf(&b, "| %s |", f.name)
		for _, p := range payers() {
			fmt.Fprintf(&b, " %s |", cells[p.title+f.name])
		}
		b.WriteString("\n")
	}
	return b.String()
}
