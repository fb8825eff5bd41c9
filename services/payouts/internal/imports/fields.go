package imports

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

const (
	maxID   = 128
	maxName = 200 // characters
)

// checkID says what is wrong with an id of the tenant's own. Ids travel in ledger accounts, headers and URLs, hence ASCII
// without blanks.
func checkID(s string) string {
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

// checkWord says what is wrong with a word such as a method: lower case, digits and underscores.
func checkWord(s string) string {
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

// checkText says what is wrong with free text, without showing it: it may be a name.
func checkText(s string) string {
	if n := utf8.RuneCountInString(s); n > maxName {
		return fmt.Sprintf("%d characters long, at most %d are kept", n, maxName)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "contains a control character"
	}
	return ""
}

// phones reads phone numbers of a region and remembers the last few thousand: reading one is the most expensive thing about
// a row, and a file of payments repeats the same payees.
type phones struct {
	region string
	known  map[string]string
}

const mostPhones = 4096

func (p *phones) parse(s string) (e164, wrong string) {
	if e164, ok := p.known[s]; ok {
		return e164, ""
	}
	if e164, wrong = parsePhone(s, p.region); wrong != "" {
		return "", wrong
	}
	if p.known == nil || len(p.known) >= mostPhones {
		p.known = make(map[string]string, mostPhones)
	}
	p.known[strings.Clone(s)] = e164
	return e164, ""
}

// parsePhone reads a phone number as people of the region write it and returns it as E.164, or says what is wrong without
// showing it. Whether the number could exist is judged by its length and not by the ranges assigned so far: operators open
// new ranges faster than the tables learn of them. The national leading zero stays where the country has one.
func parsePhone(s, region string) (string, string) {
	if s == "" {
		return "", ""
	}
	if len(s) > 40 {
		return "", fmt.Sprintf("%d characters long", len(s))
	}
	if strings.ContainsFunc(s, unicode.IsLetter) {
		return "", "contains letters"
	}
	n, err := phonenumbers.Parse(s, region)
	if err != nil {
		return "", "no phone number: " + err.Error() + "; write it as +<country><number>"
	}
	switch phonenumbers.IsPossibleNumberWithReason(n) {
	case phonenumbers.IS_POSSIBLE:
		return phonenumbers.Format(n, phonenumbers.E164), ""
	case phonenumbers.TOO_SHORT:
		return "", "too short for country code +" + fmt.Sprint(n.GetCountryCode())
	case phonenumbers.TOO_LONG:
		return "", "too long for country code +" + fmt.Sprint(n.GetCountryCode())
	default:
		return "", "no possible number of country code +" + fmt.Sprint(n.GetCountryCode()) + "; write it as +<country><number>"
	}
}

// region is the country of a locale such as fr-CI, for numbers written without a country code; "" when it has none.
func region(locale string) string {
	_, r, _ := strings.Cut(locale, "-")
	if len(r) != 2 {
		return ""
	}
	return strings.ToUpper(r)
}

// parseInstant reads an RFC 3339 time to the microsecond, which is what Postgres keeps.
func parseInstant(s string) (time.Time, string) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, shape(s) + " is no RFC 3339 time such as 2025-01-24T17:15:46Z"
	}
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, fmt.Sprintf("year %d", at.Year())
	}
	return at.UTC().Truncate(time.Microsecond), ""
}
