package rows

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/agogopay/agogo/internal/pan"
)

const (
	maxID   = 128
	maxName = 200 // characters
)

// CheckID says what is wrong with an id of the tenant's own. Ids travel in ledger accounts, headers and URLs, hence ASCII
// without blanks.
func CheckID(s string) string {
	switch {
	case s == "":
		return "missing"
	case len(s) > maxID:
		return fmt.Sprintf("longer than %d characters", maxID)
	}
	for _, c := range []byte(s) {
		if !letter(c) && !strings.ContainsRune("._:@/+=-", rune(c)) {
			return fmt.Sprintf("has the character %q; use letters, digits and . _ : @ / + = -", c)
		}
	}
	return ""
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// CheckWord says what is wrong with a word such as a method: lower case, digits and underscores.
func CheckWord(s string) string {
	if s == "" {
		return "missing"
	}
	for _, c := range []byte(s) {
		if (!letter(c) && c != '_' && c != '-') || c >= 'A' && c <= 'Z' {
			return "use lower-case letters, digits, _ and -"
		}
	}
	if len(s) > 64 {
		return "longer than 64 characters"
	}
	return ""
}

// CheckText says what is wrong with free text, without showing it: it may be a name.
func CheckText(s string) string {
	if n := utf8.RuneCountInString(s); n > maxName {
		return fmt.Sprintf("%d characters long, at most %d are kept", n, maxName)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "contains a control character"
	}
	return ""
}

// ParseInstant reads an RFC 3339 time to the microsecond, which is what Postgres keeps.
func ParseInstant(s string) (time.Time, string) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, Shape(s) + " is no RFC 3339 time such as 2025-01-24T17:15:46Z"
	}
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, fmt.Sprintf("year %d", at.Year())
	}
	return at.UTC().Truncate(time.Microsecond), ""
}

// Shape shows outside text in a message, bounded and printable, and not at all when it looks like a card number.
func Shape(s string) string {
	const most = 40
	if pan.In(s) {
		return "(a number like a card's)"
	}
	r := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(r) > most {
		return fmt.Sprintf("%q… (%d characters)", string(r[:most]), len(r))
	}
	return fmt.Sprintf("%q", string(r))
}
