package week

import (
	"fmt"
	"time"
)

// day is what fires on one local date.
func (g *generator) day(offset int) []Tick {
	date := g.first.AddDate(0, 0, offset)
	at := func(job string, hour int) Tick {
		return Tick{job, time.Date(date.Year(), date.Month(), date.Day(), hour, 0, 0, 0, g.rules.Zone).UTC()}
	}
	ticks := []Tick{at("charge-due", 8), at("retry-failed", 10), at("notify-holds", 18)}
	if date.Weekday() == time.Sunday {
		ticks = append([]Tick{at("cleanup", 2)}, ticks...)
	}
	return ticks
}

// days decides when the week is, and which of its ticks fire when.
func (g *generator) days() {
	g.first = time.Date(2025, 1, 6, 0, 0, 0, 0, time.UTC).AddDate(0, 0, g.IntN(320))
	if g.chance(3) { // the ends of months are where rhythms can drift
		g.first = time.Date(2025, time.Month(1+g.IntN(11)), 25+g.IntN(4), 0, 0, 0, 0, time.UTC)
	}
	order, outage := g.order()
	for _, offset := range order {
		g.week.Ticks = append(g.week.Ticks, g.day(offset)...)
		if d := g.first.AddDate(0, 0, offset); d.After(g.last) {
			g.last = d
		}
	}
	g.week.Outage = outage
	g.week.LaterAt = len(g.week.Ticks) / 2
}

// order are the days on which something fires, in the order in which it does.
func (g *generator) order() (offsets []int, outage string) {
	from, length := 1+g.IntN(3), 1+g.IntN(2)
	switch g.IntN(5) {
	case 0:
		return span(0, 7), "no outage"
	case 1:
		return append(span(0, from), span(from+length, 7)...), count(length) + " on which nothing ran, collapsed into the next one"
	case 2: // each late tick does what it would have done in time
		return span(0, 7), count(length) + " on which nothing ran, caught up one by one"
	case 3:
		newer := append(span(0, from), from+1, from)
		return append(newer, span(from+2, 7)...), "a day whose ticks came after those of the next"
	default:
		away := 8 + g.IntN(4)
		return append(span(0, 2), span(2+away, 7+away)...), count(away) + " on which nothing ran"
	}
}

func count(days int) string {
	if days == 1 {
		return "a day"
	}
	return fmt.Sprintf("%d days", days)
}

func span(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}
