package charging

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Answer is what an attempt meets at the gateway, as a test knows it beforehand.
type Answer int

// The answers. Pays is what happens to everybody else.
const (
	Pays          Answer = iota
	PaysUnseen           // charged, and the caller cannot see it
	PaysLater            // pending, then charged
	Declines             // not now
	DeclinesLater        // pending, then not now
	Refuses              // not with this card; others of its charges may pass
	Kills                // the card will not work again
	Asks                 // only the customer can help
	Vanishes             // nothing is charged, the answer says nothing, lookups do not know it
	StaysOpen            // pending for ever
)

// answerOf is what the next attempt on a card meets: what was set for it, or what its token says in the words of the
// simulator's documentation.
func (m *Model) answerOf(token string) Answer {
	if set := m.fates[token]; len(set) > 0 {
		m.fates[token] = set[1:]
		return set[0]
	}
	words := append(strings.Split(strings.TrimPrefix(token, "tok_"), "_"), "", "")
	switch words[0] {
	case "soft":
		return Declines
	case "hard":
		// Invalid number, lost, stolen, expired: the card is of no use. Other refusals are about this charge.
		if slices.Contains([]string{"14", "41", "43", "54"}, words[1]) {
			return Kills
		}
		return Refuses
	case "action":
		return Asks
	case "timeout":
		if words[1] == "unpaid" {
			return Vanishes
		}
		return PaysUnseen
	case "pending":
		switch words[1] {
		case "denied":
			return DeclinesLater
		case "forever":
			return StaysOpen
		}
		return PaysLater
	}
	return Pays
}

// send makes one attempt for each charge of a wave: all of them are on their way before the first is answered.
func (m *Model) send(wave []*charge, today time.Time) error {
	for _, c := range wave {
		c.answer, c.sentBy, c.last = m.answerOf(c.of.token), m.now, today
		c.attempts++
		if c.first.IsZero() {
			c.first = today
		}
	}
	for i, c := range wave {
		m.answered(c)
		if !m.cards[c.of.token].dead {
			continue
		}
		if j := slices.IndexFunc(wave[i+1:], func(o *charge) bool { return o.of.token == c.of.token }); j >= 0 {
			return fmt.Errorf("%s: its card is invalid then, and %s is on its way or not yet", c, wave[i+1+j])
		}
	}
	return nil
}

// answered is what the first answer says.
func (m *Model) answered(c *charge) {
	switch c.answer {
	case Pays:
		m.paid(c)
	case PaysUnseen, Vanishes:
		c.state = "unknown"
	case PaysLater, DeclinesLater, StaysOpen:
		c.state = "processing"
	default:
		m.declined(c)
	}
}

// Settle lets lookups decide what they can.
func (m *Model) Settle() {
	for _, c := range m.charges {
		if !c.underWay() {
			continue
		}
		switch c.answer {
		case PaysUnseen, PaysLater:
			m.paid(c)
		case DeclinesLater:
			m.declined(c)
		default: // nobody knows, or it stays open
		}
	}
}

func (m *Model) paid(c *charge) {
	r := c.of
	c.state, c.retryOn, c.moved = "succeeded", time.Time{}, c.moved+1
	m.cards[r.token].failures = 0
	waits := func(o *charge) bool { return o.state == "failed_soft" }
	if r.state == "past_due" && !slices.ContainsFunc(m.of(r), waits) {
		r.state, r.reason = "active", ""
	}
	m.finish(r)
}

// declined moves the charge, then its recurrence, then its card with everything that hangs on it.
func (m *Model) declined(c *charge) {
	r, k := c.of, m.cards[c.of.token]
	c.tries++
	k.failures++
	switch c.answer {
	case Refuses:
		c.state = "failed_hard"
		m.hold(r, "hard_decline", c.sentBy)
	case Kills:
		c.state, k.dead = "failed_hard", true
		m.hold(r, "card_invalid", c.sentBy)
	case Asks:
		c.state = "requires_action"
		m.hold(r, "requires_action", c.sentBy)
	default:
		m.notNow(c)
	}
	if c.state != "failed_soft" {
		c.retryOn = time.Time{}
	}
	if k.failures >= m.rules.CardFailureLimit {
		k.dead = true
	}
	if !k.dead {
		return
	}
	for _, o := range m.sorted() {
		if o.token == r.token {
			m.hold(o, "card_invalid", c.sentBy)
		}
	}
}

// notNow: the nth retry is so many days after the first attempt, and never on the day of the last one.
func (m *Model) notNow(c *charge) {
	r := c.of
	if c.tries > m.rules.MaxRetries {
		c.state = "exhausted"
		m.hold(r, "retries_over", c.sentBy)
		return
	}
	c.state = "failed_soft"
	c.retryOn = later(m.move(c.first.AddDate(0, 0, m.rules.RetryDays[c.tries-1])), c.last.AddDate(0, 0, 1))
	if r.state == "active" {
		r.state, r.reason = "past_due", ""
	}
}
