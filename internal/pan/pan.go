// Package pan finds what looks like a card number, so that it is refused at the door: before it is stored, logged or told
// to anybody. Agogo knows cards by their gateway's tokens and has no use for their numbers.
package pan

import (
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The lengths that card numbers have.
const (
	shortest = 13
	longest  = 19
)

// Advice is what a refusal tells people to do.
const Advice = "looks like a card number, which must not come here: give the gateway's token of the card; " +
	"another long number passes with a letter, a dot or a slash in it"

// In reports whether a text holds something like a card number: 13 to 19 digits with a right check digit, written together
// or in groups with spaces and dashes between them. Every run of neighbouring groups is tried, for a date or a number before
// the card must not hide it. More than 19 digits written together are none: gateways number their payments so. Nor are the
// digits of a UUID, of which one in four hundred would pass for a card.
func In(s string) bool {
	if !enough(s) {
		return false
	}
	var c cluster
	between := false // something other than a digit came since the last one
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if n := uuidAt(s, i); n > 0 {
			r, size = '?', n
		}
		i += size
		switch d, ok := digit(r); {
		case ok && between:
			c.begin(d)
			between = false
		case ok:
			c.add(d)
		case separates(r):
			between = true
		default:
			if c.holdsCard() {
				return true
			}
			c, between = cluster{}, false
		}
	}
	return c.holdsCard()
}

// enough is the quick no that nearly every text gets.
func enough(s string) bool {
	if len(s) < shortest {
		return false
	}
	digits := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' || s[i] >= utf8.RuneSelf {
			digits++
		}
	}
	return digits >= shortest
}

// uuidAt is the length of the UUID that begins there and stands by itself, or 0.
func uuidAt(s string, at int) int {
	const length = 36 // with its dashes; the other ways to write one have them not
	end := at + length
	if end > len(s) || s[at+8] != '-' || s[end-13] != '-' || at > 0 && joins(s[at-1]) || end < len(s) && joins(s[end]) {
		return 0
	}
	if uuid.Validate(s[at:end]) != nil {
		return 0
	}
	return length
}

// joins reports what would make a UUID's digits a part of something longer.
func joins(c byte) bool {
	return c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// digit is a decimal digit of any script as ASCII has it. Unicode keeps the ten of each together and in order.
func digit(r rune) (byte, bool) {
	if r < utf8.RuneSelf {
		return byte(r), r >= '0' && r <= '9'
	}
	for _, t := range unicode.Nd.R16 {
		if uint32(t.Lo) <= uint32(r) && uint32(r) <= uint32(t.Hi) {
			return '0' + byte((uint32(r)-uint32(t.Lo))%10), true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if t.Lo <= uint32(r) && uint32(r) <= t.Hi {
			return '0' + byte((uint32(r)-t.Lo)%10), true
		}
	}
	return 0, false
}

// separates reports spaces and dashes of any kind, and what cannot be seen.
func separates(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf) || r == '\u2212' // minus
}

// cluster is digits in groups.
type cluster struct {
	digits []byte
	starts []int // of the groups after the first one
}

func (c *cluster) begin(d byte) {
	if len(c.digits) > 0 {
		c.starts = append(c.starts, len(c.digits))
	}
	c.add(d)
}

func (c *cluster) add(d byte) { c.digits = append(c.digits, d) }

// holdsCard tries each run of groups; one that is too long ends the tries from its first group, so it is linear.
func (c *cluster) holdsCard() bool {
	if len(c.digits) < shortest {
		return false
	}
	bounds := append(append([]int{0}, c.starts...), len(c.digits))
	for i, from := range bounds {
		for _, to := range bounds[i+1:] {
			if to-from > longest {
				break
			}
			if to-from >= shortest && Luhn(c.digits[from:to]) {
				return true
			}
		}
	}
	return false
}

// Luhn reports whether the last of some ASCII digits is the check digit of those before it.
func Luhn[T string | []byte](digits T) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
