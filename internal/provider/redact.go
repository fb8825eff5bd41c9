package provider

import (
	"regexp"
	"strings"
	"unicode"
)

const longestMessage = 120

// Redact makes a provider's free text fit for logs, events and screens: no run of five or more digits (a telephone number,
// an account, a PIN), no e-mail address, none of the given secrets, one line, a bounded length.
func Redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if len(s) > 2 {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	words := strings.Fields(text)
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "…"
		}
	}
	text = maskDigits(strings.Join(words, " "))
	if r := []rune(text); len(r) > longestMessage {
		text = string(r[:longestMessage]) + "…"
	}
	return text
}

// word is what providers' codes and status words look like; a sentence, which may name somebody, does not.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}$`)

// Word makes a provider's code or status word fit for logs, events and screens: one word of a closed alphabet and a bounded length, as
// [Redact] leaves it, or else "…". Nothing that is free text passes.
func Word(text string, secrets ...string) string {
	text = strings.TrimSpace(text)
	if text == "" || word.MatchString(text) && Redact(text, secrets...) == text {
		return text
	}
	return "…"
}

// maskDigits replaces digit groups that together have five digits or more; spaces, dots, dashes and brackets do not end a
// group, for that is how people write telephone numbers.
func maskDigits(s string) string {
	var out strings.Builder
	rs := []rune(s)
	for i := 0; i < len(rs); {
		if !unicode.IsDigit(rs[i]) {
			out.WriteRune(rs[i])
			i++
			continue
		}
		end, digits := i, 0
		for j := i; j < len(rs) && (unicode.IsDigit(rs[j]) || strings.ContainsRune(" .-()", rs[j])); j++ {
			if unicode.IsDigit(rs[j]) {
				digits++
				end = j + 1
			}
		}
		if digits >= 5 {
			out.WriteString("…")
		} else {
			out.WriteString(string(rs[i:end]))
		}
		i = end
	}
	return out.String()
}
