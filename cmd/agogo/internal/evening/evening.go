// Package evening makes up evenings of payouts: payees, payments with everything that payments can be, times around the
// cut-off, refunds, and a provider on which things go wrong. An evening follows from its seed alone.
//
// It is played in this order: Payments and Devices are imported and Faults put in force; the run of First fires; pending
// payouts are checked until oracle.Unsettled names none; everything is compared and the model adopts what was given back;
// Later is imported; the run of Next fires without fates; everything is compared again.
package evening

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	"github.com/agogopay/agogo/simulator"
)

// Evening is one made-up evening and the day after it.
type Evening struct {
	Seed int64
	// First and Next are the nominal times of the two runs.
	First, Next time.Time
	// Payments is imported before the first run, Later before the next one: what came in meanwhile, what changed, refunds.
	Payments, Later []byte
	// Devices are the payees' push tokens; DeadTokens are those that the push service will say are dead.
	Devices    []byte
	DeadTokens []string
	// Faults is what goes wrong at the provider, and Fates what that means for each payee of the first run.
	Faults simulator.Plan
	Fates  map[string]oracle.Fate
}

// Generate makes the evening of a seed for a tenant with these rules. Its days lie in the past of anybody who runs this,
// for a run of the future is refused.
func Generate(seed int64, rules oracle.Rules) (*Evening, error) {
	g := &generator{
		Rand: rand.New(rand.NewPCG(uint64(seed), 0x9e3779b97f4a7c15)), rules: rules,
		evening: &Evening{Seed: seed, Fates: map[string]oracle.Fate{}},
	}
	day := time.Date(2025, 1, 2, 23, 59, 0, 0, rules.Zone).AddDate(0, 0, g.IntN(360))
	g.evening.First, g.evening.Next = day.UTC(), day.AddDate(0, 0, 1).UTC()
	g.payees()
	g.firstDay()
	g.devices()
	if err := g.faults(); err != nil {
		return nil, err
	}
	g.nextDay()
	return g.evening, nil
}

// generator draws from one stream of random numbers.
type generator struct {
	*rand.Rand
	rules    oracle.Rules
	evening  *Evening
	all      []*payee
	payments int
	rows     []row

	withdrawn bool // a token was
}

// payee is a driver with a habit.
type payee struct {
	id, name, phone string
	habit           habit
	known           []*payment // of the first day
}

// habit decides what a payee's payments are like.
type habit int

const (
	ordinary   habit = iota
	justBelow        // one payment that comes to one unit less than the minimum
	justEnough       // one payment that comes to the minimum
	little           // a few francs
	late             // nothing before the cut-off
	unpayable        // nothing that is to be paid out
)

type payment struct {
	id, status, method, paidReference string
	amount                            int64
	at                                time.Time
}

// chance is true once in n.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g *generator) payees() {
	for i := range 8 + g.IntN(33) {
		p := &payee{id: fmt.Sprintf("drv-%03d", i+1), name: g.name(), phone: fmt.Sprintf("%s0700%06d", g.rules.CountryPrefix, i+1)}
		switch i {
		case 0: // one of each edge in every evening
			p.habit = justBelow
		case 1:
			p.habit = justEnough
		case 2:
			p.habit = late
		default:
			if g.chance(8) {
				p.habit = []habit{justBelow, justEnough, little, late, unpayable}[g.IntN(5)]
			}
		}
		g.all = append(g.all, p)
	}
}

func (g *generator) name() string {
	first := []string{"Awa", "Adjoua", "Kouamé", "Jean-Baptiste", "Mariam", "Yao", "Fatou", "Séverin", "Aya", "Ibrahim"}
	last := []string{"Kouassi", "Traoré", "N'Guessan", "Koné", "Bamba", "Ouattara", "Zadi", "Gnahoré"}
	return first[g.IntN(len(first))] + " " + last[g.IntN(len(last))]
}
