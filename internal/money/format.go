package money

import (
	"strings"

	"golang.org/x/text/language"
)

// nbsp keeps an amount on one line. French typography prefers the narrow U+202F, but text messages and older phones show
// that one as a box, so the normal no-break space stands everywhere.
const nbsp = "\u00a0"

// style is how a language writes amounts.
type style struct {
	group, decimal string
	symbolAfter    bool
	// tight puts a symbol against the number; ISO codes always keep a space.
	tight   bool
	symbols map[Currency]string
}

// styles by language; Portuguese is that of Brazil. English serves every other language.
var styles = map[string]style{
	"fr": {group: nbsp, decimal: ",", symbolAfter: true, symbols: map[Currency]string{
		"XOF": "FCFA", "XAF": "FCFA", "EUR": "€", "BRL": "R$", "USD": "$US",
	}},
	"pt": {group: ".", decimal: ",", symbols: map[Currency]string{"BRL": "R$", "EUR": "€", "USD": "US$"}},
	"en": {group: ",", decimal: ".", tight: true, symbols: map[Currency]string{
		"BRL": "R$", "EUR": "€", "USD": "$", "GBP": "£",
	}},
}

// Format is how people of a locale write it: fr-CI "24 000 FCFA", pt-BR "R$ 1.234,50", en "XOF 24,000", "R$49.90". Spaces
// are no-break spaces (U+00A0); a negative amount begins with "-".
func (a Amount) Format(locale string) string {
	st := styleOf(locale)
	whole, frac := a.digits()
	number := group(whole, st.group)
	if frac != "" {
		number += st.decimal + frac
	}
	symbol, ok := st.symbols[a.Currency]
	space := nbsp
	switch {
	case !ok:
		symbol = string(a.Currency)
	case st.tight:
		space = ""
	}
	text := symbol + space + number
	if st.symbolAfter {
		text = number + space + symbol
	}
	if a.Minor < 0 {
		return "-" + text
	}
	return text
}

func styleOf(locale string) style {
	tag, err := language.Parse(locale)
	if err == nil {
		base, _ := tag.Base()
		if st, ok := styles[base.String()]; ok {
			return st
		}
	}
	return styles["en"]
}

// group separates thousands.
func group(digits, sep string) string {
	var b strings.Builder
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(sep)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}
