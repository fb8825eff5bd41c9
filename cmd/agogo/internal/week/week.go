// Package week makes up weeks of recurring charges: recurrences of every period, on every kind of anchor, early, late and long
// forgotten, cards that several of them share, a gateway on which things go wrong, and days on which nothing ran. A week
// follows from its seed alone.
//
// It is played in this order: First is imported and Faults put in force; the ticks fire one after the other, before the tick
// LaterAt Later is imported; after each tick lookups have their time and everything is compared.
package week

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle/charging"
	"github.com/agogopay/agogo/simulator"
)

// Week is one made-up week, or a little more when an outage lies in it.
type Week struct {
	Seed int64
	// First is imported before the first tick, Later before the one with the index LaterAt: new recurrences, and some of the
	// first file again.
	First, Later []byte
	LaterAt      int
	// Ticks are those that fire, in their order. What an outage swallowed is not among them, or comes late.
	Ticks []Tick
	// Outage says what happened to the days that are missing, for people.
	Outage string
	// Faults is what goes wrong at the gateway, and Fates what that means for the attempts on each card.
	Faults simulator.Plan
	Fates  map[string][]charging.Answer
}

// Tick is one firing of a job.
type Tick struct {
	Job string // charge-due, retry-failed, notify-holds, cleanup
	At  time.Time
}

// Generate makes the week of a seed for a tenant with these rules. Its days lie in the past of anybody who runs this, for a
// run of the future is refused.
func Generate(seed int64, rules charging.Rules) *Week {
	g := &generator{
		Rand: rand.New(rand.NewPCG(uint64(seed), 0xa0761d6478bd642f)), rules: rules,
		week: &Week{Seed: seed, Faults: simulator.Plan{Seed: seed}, Fates: map[string][]charging.Answer{}},
	}
	g.days()
	g.agreements()
	return g.week
}

// generator draws from one stream of random numbers.
type generator struct {
	*rand.Rand
	rules charging.Rules
	week  *Week
	first time.Time // midnight in UTC of the first local date
	last  time.Time
	rows  [][]string
	cards int
	slow  int // cards whose attempts keep the caller waiting until it gives up
	lost  int // cards whose attempts lose their answer in other ways
}

// chance is true once in n.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

var header = []string{
	"recurrence_id", "customer_id", "customer_name", "seller_id", "amount", "currency", "period", "anchor_day", "anchor_month",
	"next_charge_date", "card_token", "card_brand", "status", "description", "interval_days", "end_date", "max_cycles", "failed_attempts", "ended_at",
}

// file writes rows in a random order.
func (g *generator) file(rows [][]string) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	write(w, header)
	for _, i := range g.Perm(len(rows)) {
		write(w, rows[i])
	}
	w.Flush()
	return out.Bytes()
}

// write cannot fail: its writer is memory.
func write(w *csv.Writer, fields []string) { _ = w.Write(fields) }

// agreement is a row before it is one. Numbers that are 0 are left out.
type agreement struct {
	period               string
	day, month, interval int
	next                 time.Time
	status               string
	end, ended           time.Time
	most, failures       int
	card                 plastic
}

func (g *generator) add(a agreement) {
	n := len(g.rows) + 1
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	date := func(d time.Time, layout string) string {
		if d.IsZero() {
			return ""
		}
		return d.Format(layout)
	}
	g.rows = append(g.rows, []string{
		fmt.Sprintf("rec-%03d", n), fmt.Sprintf("cus-%03d", n), g.name(), fmt.Sprintf("seller-%d", 1+g.IntN(4)), g.amount(), g.rules.Currency,
		a.period, number(a.day), number(a.month), date(a.next, time.DateOnly), a.card.token, a.card.brand, a.status, fmt.Sprintf("Mensalidade %03d", n),
		number(a.interval), date(a.end, time.DateOnly), number(a.most), number(a.failures), date(a.ended, time.RFC3339),
	})
}

func (g *generator) name() string {
	return pick(g, "Ana", "João", "Maria", "Luiz", "Conceição", "Antônio", "Beatriz") + " " + pick(g, "Souza", "D'Ávila", "Araújo", "Lima", "Gonçalves")
}

// amount is mostly a fee as clubs have them, sometimes one centavo or a fortune.
func (g *generator) amount() string {
	minor := 990 + 1000*g.Int64N(30)
	switch g.IntN(12) {
	case 0:
		minor = 1
	case 1:
		minor = 100_000 + g.Int64N(1_000_000)
	}
	return fmt.Sprintf("%d.%02d", minor/100, minor%100)
}
