package telemetry

import (
	"regexp"
	"strings"

	"github.com/agogopay/agogo/internal/pan"
)

var (
	// phone is E.164, also with the separators people put in.
	phone = regexp.MustCompile(`\+[1-9](?:[ .()-]{0,2}[0-9]){7,14}`)
	// run is digits without and cluster digits with single separators.
	run     = regexp.MustCompile(`[0-9]+`)
	cluster = regexp.MustCompile(`[0-9]+(?:[ -][0-9]+)*`)
	// userinfo is the password of an address: postgres://agogo:secret@host.
	userinfo = regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+@`)
	// bearer is a credential as HTTP writes it.
	bearer = regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+[a-z0-9._~+/=-]{6,}`)
	// keyed finds a key inside a text and value what follows it: JSON, also escaped or cut off ("key": …), forms and DSNs
	// (key=…) and Go's %+v (key:…). A colon and a space after a bare word is an error's prefix ("fetch token: 401") and
	// stays readable.
	keyed = regexp.MustCompile(`\\?"([A-Za-z0-9_.-]+)\\?"\s*:\s*|\b([A-Za-z0-9_.-]+)[=:]`)
	value = regexp.MustCompile(`^(?:\\"(?:[^"\\]|\\[^"])*(?:\\"|$)|"(?:[^"\\]|\\.)*(?:"|$)|\[[^\]]*\]|[^\s",;&})\]]+)`)
)

// Mask takes out of a text what must not be written: phone and card numbers, credentials, and values of keys that name a
// secret or a person. It errs towards hiding.
func Mask(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}"+redacted+"@")
	}
	if strings.ContainsAny(s, "=:") {
		s = maskPairs(s)
	}
	if strings.ContainsAny(s, "Bb") {
		s = bearer.ReplaceAllStringFunc(s, maskBearer)
	}
	if strings.Contains(s, "+") {
		s = phone.ReplaceAllStringFunc(s, func(p string) string { return "+***" + p[len(p)-2:] })
	}
	return cluster.ReplaceAllStringFunc(s, maskCards)
}

// maskBearer leaves plain words alone: "basic authentication failed" names no credential.
func maskBearer(s string) string {
	scheme, credential, _ := strings.Cut(s, s[strings.IndexAny(s, " \t\n\r\f\v"):][:1])
	if len(credential) < 20 && strings.ToLower(credential) == credential && !strings.ContainsAny(credential, "0123456789=+/._~") {
		return s
	}
	return scheme + " " + redacted
}

// maskPairs looks for pairs inside the values of harmless keys too, such as the query of an address. It goes over the
// text once: texts may be answers from outside, of any size.
func maskPairs(s string) string {
	var b strings.Builder
	end := 0
	for _, m := range keyed.FindAllStringSubmatchIndex(s, -1) {
		if m[0] < end || !isSensitive(s[max(m[2], m[4]):max(m[3], m[5])]) {
			continue
		}
		if v := value.FindString(s[m[1]:]); v != "" {
			b.WriteString(s[end:m[1]])
			b.WriteString(redacted)
			end = m[1] + len(v)
		}
	}
	return b.String() + s[end:]
}

// groupings are the lengths in which cards are printed and typed.
var groupings = [][]int{{4, 4, 4, 4}, {4, 4, 4, 4, 3}, {4, 4, 4, 1}, {4, 6, 5}, {4, 6, 4}}

// maskCards looks for cards in digits that stand in groups, each group or run of groups on its own: a date before a card
// must not hide it.
func maskCards(s string) string {
	if len(s) < 13 {
		return s
	}
	groups := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '-' })
	for _, lengths := range groupings {
		for i := 0; i+len(lengths) <= len(groups); i++ {
			if sameLengths(groups[i:i+len(lengths)], lengths) && isCard(strings.Join(groups[i:i+len(lengths)], "")) {
				return redacted
			}
		}
	}
	return run.ReplaceAllStringFunc(s, func(digits string) string {
		if isCard(digits) {
			return redacted
		}
		return digits
	})
}

func sameLengths(groups []string, lengths []int) bool {
	for i := range groups {
		if len(groups[i]) != lengths[i] {
			return false
		}
	}
	return true
}

// isCard reports 13 to 19 digits with a right check digit. No payment card begins with 0 or 1, which keeps Unix times out;
// at the door (package pan) those are refused too, for there nobody needs a time.
func isCard(digits string) bool {
	return len(digits) >= 13 && len(digits) <= 19 && digits[0] >= '2' && pan.Luhn(digits)
}
