package evening

import (
	"bytes"
	"encoding/csv"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	"github.com/agogopay/agogo/simulator"
)

// trouble is something that can happen to a payee's payout. Rules decide one call each, so that what is tried again, and
// the next evening, meet a provider that works.
type trouble struct {
	fate  oracle.Fate
	rules []simulator.Rule
}

// Times are those of a tenants file for demonstrations: a quiet time of two seconds, lookups after one, two and five.
var brief = []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}

func (g *generator) moment() time.Duration { return brief[g.IntN(len(brief))] }

func (g *generator) trouble() trouble {
	pay := func(fate oracle.Fate, r simulator.Rule) trouble {
		r.Operation = "cashin"
		return trouble{fate, []simulator.Rule{r}}
	}
	switch g.IntN(16) {
	case 0:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.LostAnswer})
	case 1:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.LostAnswer, Blind: g.moment()})
	case 2:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.ServerErrorAfter, Status: []int{408, 500, 502, 503, 504}[g.IntN(5)]})
	case 3:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.ResetAfter})
	case 4:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.Garbage})
	case 5:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.TimeoutAfter, Delay: 10 * time.Second})
	case 6:
		return pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.LookupBlind, Duration: g.moment()})
	case 7:
		return pay(oracle.PaysLater, simulator.Rule{Fault: simulator.PendingSuccess, Duration: g.moment()})
	case 8:
		return pay(oracle.PaysLater, simulator.Rule{Fault: simulator.UnknownStatus, Duration: g.moment()})
	case 9:
		return pay(oracle.RefusesLater, simulator.Rule{Fault: simulator.PendingFailed, Duration: g.moment()})
	case 10:
		return pay(oracle.Refuses, simulator.Rule{Fault: simulator.Failed})
	case 11:
		return pay(oracle.Vanishes, simulator.Rule{Fault: simulator.ResetBefore})
	case 12:
		return pay(oracle.Vanishes, simulator.Rule{Fault: simulator.ServerErrorBefore, Status: []int{500, 502, 503, 504}[g.IntN(4)]})
	case 13:
		return pay(oracle.Pays, simulator.Rule{Fault: simulator.TooMany, RetryAfter: time.Second})
	case 14:
		if g.withdrawn || g.chance(2) {
			return pay(oracle.Pays, simulator.Rule{Fault: simulator.WrongShape})
		}
		g.withdrawn = true // once an evening: a token that is withdrawn again right after its renewal is another story
		return pay(oracle.Pays, simulator.Rule{Fault: simulator.Unauthorized})
	default:
		t := pay(oracle.PaysUnseen, simulator.Rule{Fault: simulator.LostAnswer, Callback: []string{"duplicated", "late", "forged", "never"}[g.IntN(4)]})
		t.rules = append(t.rules, simulator.Rule{Operation: "lookup", Fault: simulator.ServerErrorBefore, Status: 502})
		return t
	}
}

// maxRefused keeps refusals below what pauses a batch: five failures say that something is wrong with all of it.
const maxRefused = 3

// faults gives trouble to about a third of those whom the first run pays.
func (g *generator) faults() error {
	paid, err := g.paid()
	if err != nil {
		return err
	}
	plan := simulator.Plan{Seed: g.evening.Seed}
	refused := 0
	for _, p := range g.all {
		if !paid[p.id] || !g.chance(3) {
			continue
		}
		t := g.trouble()
		if t.fate == oracle.Refuses || t.fate == oracle.RefusesLater {
			if refused++; refused > maxRefused {
				continue
			}
		}
		if t.fate != oracle.Pays {
			g.evening.Fates[p.id] = t.fate
		}
		for _, r := range t.rules {
			r.Provider, r.Match.Peer, r.Times = simulator.Orange, strings.TrimPrefix(p.phone, g.rules.CountryPrefix), 1
			plan.Rules = append(plan.Rules, r)
		}
	}
	for _, token := range g.evening.DeadTokens {
		plan.Rules = append(plan.Rules, simulator.Rule{
			Provider: simulator.FCM, Operation: "send", Match: simulator.Match{Token: token}, Fault: simulator.DeadToken,
		})
	}
	g.evening.Faults = plan
	return nil
}

// paid are those whom the first run pays: trouble for anybody else would come up in the next one.
func (g *generator) paid() (map[string]bool, error) {
	m := oracle.New(g.rules)
	if err := m.Import(bytes.NewReader(g.evening.Payments)); err != nil {
		return nil, err
	}
	paid := map[string]bool{}
	for _, group := range m.Plan(g.evening.First) {
		paid[group.Payee] = !group.Skipped
	}
	return paid, nil
}

// devices gives most payees a telephone that hears pushes, and some a dead one beside it.
func (g *generator) devices() {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	write(w, []string{"user_id", "token", "platform", "locale"})
	for _, p := range g.all {
		if g.chance(8) {
			continue
		}
		write(w, []string{p.id, "device-" + p.id, []string{"android", "ios"}[g.IntN(2)], "fr-CI"})
		if g.chance(10) {
			dead := "dead-" + p.id
			write(w, []string{p.id, dead, "android", "fr-CI"})
			g.evening.DeadTokens = append(g.evening.DeadTokens, dead)
		}
	}
	w.Flush()
	g.evening.Devices = out.Bytes()
}
