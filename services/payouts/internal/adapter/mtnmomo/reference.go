package mtnmomo

import (
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// referenceID is the X-Reference-Id of a reference. MTN takes UUIDs of version 4 only and our references are of version 5, so
// one digit changes: people find one by the other, and two of ours never become one of theirs. What is no such UUID is made
// one first.
func referenceID(reference string) string {
	id, err := uuid.Parse(reference)
	if err != nil || id.Version() != 5 || id.Variant() != uuid.RFC4122 || id.String() != reference {
		id = uuid.NewSHA1(uuid.NameSpaceOID, []byte(reference))
	}
	id[6] = id[6]&0x0f | 0x40
	return id.String()
}

var digits = regexp.MustCompile(`^[1-9][0-9]{7,14}$`)

// msisdn is an E.164 number without its +.
func msisdn(e164 string) (string, bool) {
	n, ok := strings.CutPrefix(e164, "+")
	return n, ok && digits.MatchString(n)
}

const longestNote = 160

// note makes a text fit for payerMessage and payeeNote: MTN refuses apostrophes and other signs, with an answer that does not say so.
func note(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" .,-", r):
			return r
		default:
			return ' '
		}
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), longestNote)]
}
