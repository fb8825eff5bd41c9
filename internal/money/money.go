// Package money holds amounts as integers in the minor unit of their currency, with the exponents of ISO 4217.
// There is no floating point here and there are no silent overflows.
package money

import "golang.org/x/text/currency"

// Amount is a sum in minor units.
type Amount struct {
	Minor    int64
	Currency Currency
}

// Currency is an ISO 4217 code in capitals.
type Currency string

var _ = currency.XXX

// ParseCurrency accepts a known ISO 4217 code.
func ParseCurrency(s string) (Currency, error) { panic("contract") }

// Exponent is the number of decimals: 0 for XOF, 2 for BRL.
func (c Currency) Exponent() int { panic("contract") }

// Parse reads a decimal text ("24000", "49.90") exactly; more decimals than the currency has, signs, exponents,
// separators and amounts beyond int64 are errors that say what is wrong.
func Parse(s string, c Currency) (Amount, error) { panic("contract") }

// Commission splits gross by basis points, half-up to the minor unit: commission + net = gross, always.
func (a Amount) Commission(bps int64) (commission, net Amount) { panic("contract") }

// Add sums two amounts of one currency; overflow and mixed currencies are errors.
func (a Amount) Add(b Amount) (Amount, error) { panic("contract") }

// Decimal is the plain text: "24000", "49.90".
func (a Amount) Decimal() string { panic("contract") }

// Format is how people of a locale write it: fr-CI "24 000 FCFA" (no-break spaces), pt-BR "R$ 49,90".
func (a Amount) Format(locale string) string { panic("contract") }
