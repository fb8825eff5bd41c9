package week

import (
	"fmt"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle/charging"
	"github.com/agogopay/agogo/simulator"
)

// plastic is a card.
type plastic struct{ token, brand string }

// card makes one whose token has these words.
func (g *generator) card(words string) plastic {
	g.cards++
	return plastic{fmt.Sprintf("tok_%s_%03d", words, g.cards), pick(g, "visa", "mastercard", "elo")}
}

// Times are those of a tenants file for demonstrations: lookups after one, two and five seconds.
func (g *generator) moment() time.Duration {
	return pick(g, 500*time.Millisecond, 1500*time.Millisecond, 3*time.Second)
}

// fault makes the next attempts on a card go wrong.
func (g *generator) fault(c plastic, times int, answer charging.Answer, r simulator.Rule) plastic {
	r.Provider, r.Operation, r.Match.Token, r.Times = simulator.Cielo, "sale", c.token, times
	g.week.Faults.Rules = append(g.week.Faults.Rules, r)
	for range times {
		g.week.Fates[c.token] = append(g.week.Fates[c.token], answer)
	}
	return c
}

// notNow are codes with which every brand says that the same card may pay later.
func (g *generator) notNow() string { return pick(g, "51", "05", "61", "65", "91") }

// troubled is a card for one recurrence, on which something goes wrong.
func (g *generator) troubled() plastic {
	switch ok := g.card("ok"); g.IntN(12) {
	case 0:
		return g.card("soft_" + g.notNow())
	case 1, 2: // has no funds for a while
		return g.fault(ok, 1+g.IntN(3), charging.Declines, simulator.Rule{Fault: simulator.Failed, Message: g.notNow()})
	case 3:
		return g.card("hard_" + pick(g, "15", "54", "41", "43", "14"))
	case 4:
		c := g.card("action_70")
		c.brand = "visa" // to the other brands 70 is something else
		return c
	case 5:
		return g.fault(ok, 1, charging.PaysLater, simulator.Rule{Fault: pick(g, simulator.PendingSuccess, simulator.AuthorizedOnly, simulator.UnknownStatus), Duration: g.moment()})
	case 6:
		return g.fault(ok, 1, charging.DeclinesLater, simulator.Rule{Fault: simulator.PendingFailed, Duration: g.moment()})
	case 7:
		return g.card("pending_forever")
	case 8:
		return g.fault(ok, 1, charging.Pays, simulator.Rule{Fault: simulator.WrongShape})
	case 9:
		return g.fault(ok, 1, charging.Pays, simulator.Rule{Fault: simulator.TooMany, RetryAfter: time.Second})
	default:
		return g.unanswered(ok)
	}
}

// most cards without answers: five faults in a row would say that something is wrong with the gateway.
const (
	mostSlow = 2
	mostLost = 3
)

// unanswered is a card whose first attempt comes to something that the caller cannot see.
func (g *generator) unanswered(c plastic) plastic {
	if g.slow < mostSlow && g.chance(2) {
		g.slow++
		return g.card("timeout_" + pick(g, "paid", "paid", "unpaid"))
	}
	if g.lost == mostLost {
		return c
	}
	g.lost++
	switch g.IntN(7) {
	case 0:
		return g.fault(c, 1, charging.PaysUnseen, simulator.Rule{Fault: simulator.LostAnswer})
	case 1:
		return g.fault(c, 1, charging.PaysUnseen, simulator.Rule{Fault: simulator.ResetAfter})
	case 2:
		return g.fault(c, 1, charging.PaysUnseen, simulator.Rule{Fault: simulator.ServerErrorAfter, Status: pick(g, 500, 502, 503, 504)})
	case 3:
		return g.fault(c, 1, charging.PaysUnseen, simulator.Rule{Fault: simulator.Garbage})
	case 4:
		return g.fault(c, 1, charging.PaysUnseen, simulator.Rule{Fault: simulator.LookupBlind, Duration: g.moment()})
	case 5:
		return g.fault(c, 1, charging.Vanishes, simulator.Rule{Fault: simulator.ResetBefore})
	default:
		return g.fault(c, 1, charging.Vanishes, simulator.Rule{Fault: simulator.ServerErrorBefore, Status: pick(g, 500, 502, 504)})
	}
}
