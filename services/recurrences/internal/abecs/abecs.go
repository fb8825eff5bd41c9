// Package abecs knows what a declined card payment means: whether the same card may be tried again and when, whether it
// needs a new card or the customer, and whether the network forbids to try again. The key is brand and code together, for
// brands give one code different meanings.
package abecs

import (
	"slices"
	"strings"
	"time"
)

// Brand is a card network.
type Brand string

// The brands that have rules of their own.
const (
	Visa       Brand = "visa"
	Mastercard Brand = "mastercard"
	Elo        Brand = "elo"
	Hipercard  Brand = "hipercard"
	Amex       Brand = "amex"
)

// ParseBrand reads a brand as people and gateways write it. One without rules of its own is kept as it is, in small letters.
func ParseBrand(s string) Brand {
	s = strings.ToLower(strings.TrimSpace(s))
	switch s {
	case "master", "master card", "mastercard":
		return Mastercard
	case "hiper", "hipercard":
		return Hipercard
	case "american express", "americanexpress", "amex":
		return Amex
	}
	return Brand(s)
}

// letter is how a brand stands in the table.
func (b Brand) letter() string {
	switch b {
	case Elo:
		return "E"
	case Visa:
		return "V"
	case Mastercard, Hipercard:
		return "M"
	case Amex:
		return "A"
	}
	return every
}

// Class says what a decline allows.
type Class uint8

// The classes, from the mildest.
const (
	Soft   Class = iota + 1 // the same card may pay later
	Action                  // only the customer can help
	Hard                    // not with this card
)

// Unknown is the word of a decline whose code no table has.
const Unknown = "unknown_decline"

// Decline is the meaning of a declined payment.
type Decline struct {
	Class Class
	Word  string // Agogo's: "insufficient_funds"
	// CardInvalid says that no charge of this card will pass any more.
	CardInvalid bool
	// Forbidden says that the network forbids to try this card again for this merchant, and fines it.
	Forbidden bool
	// Merchant says that the gateway refused the merchant and not the card: it would refuse every other charge, too.
	Merchant bool
	// After is how long the network wants to be left alone, 0 when it does not say.
	After time.Duration
	// Known is false for a code that no table has: soft, with the smallest budget.
	Known bool
}

// Classify says what a decline means. merchantAdvice is Mastercard's advice code, "" when there is none. Where two tables
// disagree the stricter holds.
func Classify(b Brand, code, merchantAdvice string) Decline {
	code = Normal(code)
	r, known := find(b, code)
	d := Decline{Class: Soft, Word: Unknown}
	if known {
		d = r.decline()
	}
	if d.Forbidden = d.Forbidden || has(forbidden[b], code); d.Forbidden {
		d.Class = Hard
	}
	if a, ok := adviceOf(b, code, merchantAdvice); ok {
		d = a.apply(d, r.mark&byAdvice != 0)
	}
	return d
}

// Normal is a code as the tables write it: capitals, and two digits where some write one.
func Normal(code string) string {
	code = strings.ToUpper(strings.TrimSpace(code))
	if len(code) == 1 {
		code = "0" + code
	}
	return code
}

func find(b Brand, code string) (row, bool) {
	letter := b.letter()
	for _, want := range []string{letter, every} {
		for _, r := range rows {
			if strings.Contains(r.brands, want) && has(r.codes, code) {
				return r, true
			}
		}
	}
	return row{}, false
}

func has(list, code string) bool { return code != "" && slices.Contains(strings.Fields(list), code) }

func (r row) decline() Decline {
	d := Decline{
		Class: r.class, Word: r.word, Known: true,
		CardInvalid: r.mark&gone != 0, Forbidden: r.mark&never != 0, Merchant: r.mark&merchant != 0,
	}
	if r.mark&wait3d != 0 {
		d.After = 72 * time.Hour
	}
	return d
}

func adviceOf(b Brand, code, given string) (advice, bool) {
	if b != Mastercard {
		return advice{}, false
	}
	given = Normal(given)
	for _, a := range advices {
		if has(a.codes, given) && (a.only == "" || a.only == code) {
			return a, true
		}
	}
	return advice{}, false
}

// apply puts an advice beside a decline: the stricter of both, unless the code leaves the decision to the advice.
func (a advice) apply(d Decline, decides bool) Decline {
	if decides {
		d.Class = a.class
	}
	d.Class = max(d.Class, a.class)
	d.Forbidden = d.Forbidden || a.mark&never != 0
	d.After = max(d.After, a.after)
	d.Known = true
	return d
}
