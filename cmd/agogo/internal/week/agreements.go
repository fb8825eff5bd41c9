package week

import "time"

// agreements makes both files.
func (g *generator) agreements() {
	for range 18 + g.IntN(18) {
		c := g.card("ok")
		switch {
		case g.chance(3):
			g.add(g.due(g.troubled()))
		case g.chance(4): // a card of several
			for range 2 + g.IntN(2) {
				g.add(g.due(c))
			}
		default:
			g.add(g.due(c))
		}
	}
	g.edges()
	g.worn()
	g.dying()
	g.over()
	first := len(g.rows)
	g.week.First = g.file(g.rows)
	for range 3 + g.IntN(5) {
		g.add(g.due(g.card("ok")))
	}
	again := g.rows[:g.IntN(first)]
	g.week.Later = g.file(append(again[:len(again):len(again)], g.rows[first:]...))
}

// edges are as late on the first morning as the rules just allow, and a day later; and one that is behind all week, of which
// each day may charge one cycle only.
func (g *generator) edges() {
	g.add(agreement{period: "days", interval: 1, next: g.first.AddDate(0, 0, -3), status: "active", card: g.card("ok")})
	for _, late := range []int{g.rules.CatchUpDays, g.rules.CatchUpDays + 1, g.rules.CleanupAfterDays, g.rules.CleanupAfterDays + 1} {
		g.add(monthly(g.first.AddDate(0, 0, -late), g.card("ok")))
	}
}

// due is an agreement to charge a card, mostly within the week.
func (g *generator) due(c plastic) agreement {
	a := g.on(g.date())
	a.card, a.status = c, "active"
	switch g.IntN(16) {
	case 0:
		a.status = "past_due"
	case 1:
		a.status = pick(g, "paused", "hold")
	case 2:
		a.status, a.ended = pick(g, "cancelled", "completed"), g.first.AddDate(0, 0, -pick(g, 10, 179, 190, 400))
	case 3:
		a.most = 1 + g.IntN(3)
	case 4:
		a.end = a.next.AddDate(0, 0, 7+g.IntN(30))
	}
	return a
}

// date is when a cycle falls.
func (g *generator) date() time.Time {
	days := int(g.last.Sub(g.first) / (24 * time.Hour))
	switch g.IntN(12) {
	case 0: // late, and still to be charged
		return g.first.AddDate(0, 0, -1-g.IntN(g.rules.CatchUpDays))
	case 1: // too late, by a day or by months
		return g.first.AddDate(0, 0, -g.rules.CatchUpDays-pick(g, 1, 2, 1+g.IntN(100)))
	case 2: // forgotten, or nearly so
		return g.first.AddDate(0, 0, -g.rules.CleanupAfterDays-pick(g, -3, 1, 1+g.IntN(200)))
	case 3: // not yet
		return g.last.AddDate(0, 0, 1+g.IntN(60))
	default:
		return g.first.AddDate(0, 0, g.IntN(days+1))
	}
}

// on is an agreement with a cycle on a date, by whatever rhythm. The file says that date, or the business day that the cycle
// moves to.
func (g *generator) on(d time.Time) agreement {
	a := agreement{period: pick(g, "monthly", "monthly", "monthly", "yearly", "weekly", "days"), next: d}
	switch a.period {
	case "weekly":
		a.day = (int(d.Weekday())+6)%7 + 1
	case "days":
		a.interval = pick(g, 1, 2, 3, 10, 45)
		return a
	default:
		a.day = d.Day()
		if d.AddDate(0, 0, 1).Day() == 1 { // the last day of a month stands for all that it lacks
			a.day += g.IntN(longest(a.period, d) - d.Day() + 1)
		}
		if a.period == "yearly" {
			a.month = int(d.Month())
		}
	}
	if g.chance(2) {
		for a.next.Weekday() == time.Saturday || a.next.Weekday() == time.Sunday {
			a.next = a.next.AddDate(0, 0, 1)
		}
	}
	return a
}

// longest is the highest anchor that a period may have in a month.
func longest(period string, d time.Time) int {
	if period == "monthly" {
		return 31
	}
	leap := time.Date(2024, d.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	return leap.Day()
}

// weekday is one of the week's.
func (g *generator) weekday() time.Time {
	for {
		d := g.first.AddDate(0, 0, g.IntN(7))
		if d.Weekday() != time.Saturday && d.Weekday() != time.Sunday {
			return d
		}
	}
}

func monthly(d time.Time, c plastic) agreement {
	return agreement{period: "monthly", day: d.Day(), next: d, status: "active", card: c}
}

// worn is a card that is declined for as many recurrences at once as a card may be in a row, and one recurrence more, which is
// not due. Whichever is answered last makes it invalid: the end is the same.
func (g *generator) worn() {
	if g.rules.CardFailureLimit != 5 || g.chance(2) {
		return
	}
	c, d := g.card("soft_51"), g.weekday()
	for range g.rules.CardFailureLimit {
		g.add(monthly(d, c))
	}
	g.add(monthly(g.last.AddDate(0, 0, 20), c))
}

// dying is a card that is found to be of no use by the only recurrence of it that is due.
func (g *generator) dying() {
	c := g.card("hard_" + pick(g, "54", "41"))
	g.add(monthly(g.weekday(), c))
	for range 1 + g.IntN(2) {
		a := monthly(g.last.AddDate(0, 0, 20), c)
		a.status = pick(g, "active", "past_due", "paused")
		g.add(a)
	}
}

// over is a card that came with declines from elsewhere: the next one is one too many.
func (g *generator) over() {
	a := monthly(g.weekday(), g.card("soft_51"))
	a.failures = g.rules.CardFailureLimit - 1
	g.add(a)
}
