package imports

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

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
