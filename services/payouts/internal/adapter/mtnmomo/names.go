package mtnmomo

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/agogopay/agogo/internal/provider"
)

// compareNames compares by words, without case, accents and order: one side writes the family name first, the other leaves the
// second given name out. A single word that agrees with one of several is part of a name, not a name.
func compareNames(ours, theirs string) provider.NameMatch {
	short, long := words(ours), words(theirs)
	if len(short) > len(long) {
		short, long = long, short
	}
	if len(short) == 0 {
		return provider.NameUnknown
	}
	common := 0
	for _, w := range short {
		if slices.Contains(long, w) {
			common++
		}
	}
	switch {
	case common == 0:
		return provider.NameDiffers
	case common == len(short) && (len(short) > 1 || len(long) == 1):
		return provider.NameMatches
	default:
		return provider.NamePartly
	}
}

// words are the words of a name, each once.
func words(name string) []string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r): // an accent that was set apart from its letter
			return -1
		case unicode.IsLetter(r):
			return unicode.ToLower(r)
		default:
			return ' '
		}
	}, norm.NFD.String(name))
	all := strings.Fields(plain)
	slices.Sort(all)
	return slices.Compact(all)
}
