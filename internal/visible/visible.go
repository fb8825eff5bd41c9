// Package visible makes text from outside harmless where it is shown or kept: whoever pays from a wallet chooses words that stand in a
// statement, and what a terminal obeys must not come from there.
package visible

import (
	"strings"
	"unicode"
)

// Text is s on one line, with every character that moves a cursor, ends a line or turns the order of writing around replaced by one that
// shows that it was there: ESC by ␛, what has no picture by U+FFFD. Different control characters stay different.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ':
			return '␀' + r
		case r == 0x7f:
			return '␡'
		case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
