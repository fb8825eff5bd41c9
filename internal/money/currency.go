package money

import (
	"fmt"
	"maps"
	"strings"
	"sync"

	"golang.org/x/text/currency"
)

// Currency is an ISO 4217 code in capitals.
type Currency string

// ParseCurrency accepts the ISO 4217 code of a currency in use.
func ParseCurrency(s string) (Currency, error) {
	if _, ok := exponents()[Currency(s)]; ok {
		return Currency(s), nil
	}
	if up := Currency(strings.ToUpper(s)); len(s) == 3 {
		if _, ok := exponents()[up]; ok {
			return "", fmt.Errorf("currency %s: write it in capitals, %s", quote(s), up)
		}
	}
	return "", fmt.Errorf("currency %s is not known: use an ISO 4217 code in use, such as XOF or BRL", quote(s))
}

// Exponent is the number of decimals: 0 for XOF, 2 for BRL. What is no currency has none.
func (c Currency) Exponent() int { return exponents()[c] }

// notTwo lists the currencies to which ISO 4217 gives other than two decimals. The exponents of x/text are no substitute:
// they come from CLDR, which tells how people write, and people write Colombian pesos and Tanzanian shillings without
// the cents in which banks and providers settle them.
var notTwo = map[Currency]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

// newer are currencies that x/text does not know yet.
var newer = []Currency{"MRU", "SLE", "VED", "VES", "XCG", "ZWG"}

// exponents holds every currency that is legal tender somewhere. Test, metal and historic codes are not among them:
// nobody can be paid in those.
var exponents = sync.OnceValue(func() map[Currency]int {
	all := make(map[Currency]int)
	for it := currency.Query(); it.Next(); {
		all[Currency(it.Unit().String())] = 2
	}
	for _, c := range newer {
		all[c] = 2
	}
	maps.Copy(all, notTwo)
	return all
})
