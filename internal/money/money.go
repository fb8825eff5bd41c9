// Package money holds amounts as integers in the minor unit of their currency, with the exponents of ISO 4217.
// There is no floating point here and there are no silent overflows.
package money

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a sum in minor units.
type Amount struct {
	Minor    int64
	Currency Currency
}

// Parse reads a decimal text ("24000", "49.90") exactly; more decimals than the currency has, signs, exponents,
// separators and amounts beyond int64 are errors that say what is wrong.
func Parse(s string, c Currency) (Amount, error) {
	exp, ok := exponents()[c]
	if !ok {
		return Amount{}, fmt.Errorf("currency %s is not known: use an ISO 4217 code in use, such as XOF or BRL", quote(string(c)))
	}
	whole, frac, point := strings.Cut(s, ".")
	if err := checkDecimal(s, whole, frac, point); err != nil {
		return Amount{}, err
	}
	switch {
	case point && exp == 0:
		return Amount{}, fmt.Errorf("amount %s: %s has no decimals: give whole units", quote(s), c)
	case len(frac) > exp:
		return Amount{}, fmt.Errorf("amount %s: %s has %d decimals, not %d", quote(s), c, exp, len(frac))
	}
	minor := int64(0)
	// The scale is part of the digits: "49.9" in BRL is 4990, read as "49" "9" "0".
	for _, part := range []string{whole, frac, strings.Repeat("0", exp-len(frac))} {
		for i := range len(part) {
			d := int64(part[i] - '0')
			if minor > (math.MaxInt64-d)/10 {
				return Amount{}, fmt.Errorf("amount %s is too large: at most %s", quote(s), Amount{math.MaxInt64, c}.Decimal())
			}
			minor = minor*10 + d
		}
	}
	return Amount{Minor: minor, Currency: c}, nil
}

// checkDecimal says what keeps s from being digits with at most one point between digits. It goes by bytes, so that
// digits of other scripts are refused rather than guessed at.
func checkDecimal(s, whole, frac string, point bool) error {
	if s == "" {
		return fmt.Errorf("amount is empty: give digits, such as 24000 or 49.90")
	}
	for i, r := range s {
		switch {
		case r >= '0' && r <= '9' || r == '.' && i == len(whole):
		case r == '-' && i == 0:
			return fmt.Errorf("amount %s is negative: give the amount without a sign", quote(s))
		case r == '+' && i == 0:
			return fmt.Errorf("amount %s has a sign: give the amount without it", quote(s))
		case r == '.':
			return fmt.Errorf("amount %s has more than one point: thousands are not separated", quote(s))
		case r == ',' || r == '\'' || r == '_':
			return fmt.Errorf("amount %s has a separator %q: decimals follow a point, thousands are not separated", quote(s), r)
		case r == ' ' || r == '\t' || r == '\u00a0' || r == '\u202f':
			return fmt.Errorf("amount %s has a space: remove it", quote(s))
		case r == 'e' || r == 'E':
			return fmt.Errorf("amount %s has an exponent: write all digits", quote(s))
		default:
			return fmt.Errorf("amount %s has a character %q: only the digits 0 to 9 and one point are allowed", quote(s), r)
		}
	}
	if point && (whole == "" || frac == "") {
		return fmt.Errorf("amount %s: digits are missing beside the point", quote(s))
	}
	return nil
}

// quote shows outside text in a message, bounded so that a hostile field cannot flood a log.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// wholeBPS is 100 % in basis points.
const wholeBPS = 10_000

// Commission splits gross by basis points, half-up to the minor unit: commission + net = gross, always. A negative gross
// mirrors the positive one, so that taking a payment back takes back exactly its commission. It panics outside 0 to
// 10,000 basis points, which the configuration refuses before any money is near.
func (a Amount) Commission(bps int64) (commission, net Amount) {
	if bps < 0 || bps > wholeBPS {
		panic(fmt.Sprintf("money: commission of %d basis points: must be 0 to %d", bps, wholeBPS))
	}
	// 128 bits hold the product; the quotient fits because bps/10000 is at most one.
	hi, lo := bits.Mul64(magnitude(a.Minor), uint64(bps))
	lo, carry := bits.Add64(lo, wholeBPS/2, 0)
	part, _ := bits.Div64(hi+carry, lo, wholeBPS)
	minor := int64(part) // the smallest int64 is its own negation, every other magnitude fits
	if a.Minor < 0 {
		minor = -minor
	}
	return Amount{minor, a.Currency}, Amount{a.Minor - minor, a.Currency}
}

// Add sums two amounts of one currency; overflow and mixed currencies are errors.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("cannot add %s to %s: convert first", quote(string(b.Currency)), quote(string(a.Currency)))
	}
	sum := a.Minor + b.Minor
	// Overflow is when both have one sign and the sum has the other.
	if (a.Minor^sum)&(b.Minor^sum) < 0 {
		return Amount{}, fmt.Errorf("%s + %s %s is beyond what an amount can hold", a.Decimal(), b.Decimal(), a.Currency)
	}
	return Amount{sum, a.Currency}, nil
}

// Decimal is the plain text: "24000", "49.90".
func (a Amount) Decimal() string {
	whole, frac := a.digits()
	if frac != "" {
		whole += "." + frac
	}
	if a.Minor < 0 {
		return "-" + whole
	}
	return whole
}

// digits are the digits before and after the point, without sign.
func (a Amount) digits() (whole, frac string) {
	exp := a.Currency.Exponent()
	s := strconv.FormatUint(magnitude(a.Minor), 10)
	if pad := exp + 1 - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	return s[:len(s)-exp], s[len(s)-exp:]
}

// magnitude is |n|, also of the smallest int64.
func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n) // two's complement negation is what is meant
	}
	return uint64(n)
}
