package money_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/text/currency"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/money"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in, currency string
		minor        int64
		err          string
	}{
		{in: "24000", currency: "XOF", minor: 24000},
		{in: "0", currency: "XOF"},
		{in: "007", currency: "XOF", minor: 7},
		{in: "49.90", currency: "BRL", minor: 4990},
		{in: "49.9", currency: "BRL", minor: 4990},
		{in: "49", currency: "BRL", minor: 4900},
		{in: "1.234", currency: "TND", minor: 1234},
		{in: "9223372036854775807", currency: "XOF", minor: math.MaxInt64},
		{in: "92233720368547758.07", currency: "BRL", minor: math.MaxInt64},

		{in: "24000.5", currency: "XOF", err: `amount "24000.5": XOF has no decimals: give whole units`},
		{in: "24000.00", currency: "XOF", err: `amount "24000.00": XOF has no decimals: give whole units`},
		{in: "49.905", currency: "BRL", err: `amount "49.905": BRL has 2 decimals, not 3`},
		{in: "-5", currency: "XOF", err: `amount "-5" is negative: give the amount without a sign`},
		{in: "+5", currency: "XOF", err: `amount "+5" has a sign: give the amount without it`},
		{in: "", currency: "XOF", err: `amount is empty: give digits, such as 24000 or 49.90`},
		{in: "24,000", currency: "XOF", err: `amount "24,000" has a separator ',': decimals follow a point, thousands are not separated`},
		{in: "24_000", currency: "XOF", err: `amount "24_000" has a separator '_': decimals follow a point, thousands are not separated`},
		{in: "1.234.50", currency: "BRL", err: `amount "1.234.50" has more than one point: thousands are not separated`},
		{in: " 24000", currency: "XOF", err: `amount " 24000" has a space: remove it`},
		{in: "24\u202f000", currency: "XOF", err: `amount "24\u202f000" has a space: remove it`},
		{in: "24e3", currency: "XOF", err: `amount "24e3" has an exponent: write all digits`},
		{in: "٢٤", currency: "XOF", err: `amount "٢٤" has a character '٢': only the digits 0 to 9 and one point are allowed`},
		{in: "NaN", currency: "XOF", err: `amount "NaN" has a character 'N': only the digits 0 to 9 and one point are allowed`},
		{in: "12\xff", currency: "XOF", err: `amount "12\xff" has a character '�': only the digits 0 to 9 and one point are allowed`},
		{in: "5.", currency: "BRL", err: `amount "5.": digits are missing beside the point`},
		{in: ".5", currency: "BRL", err: `amount ".5": digits are missing beside the point`},
		{in: ".", currency: "BRL", err: `amount ".": digits are missing beside the point`},
		{in: "9223372036854775808", currency: "XOF", err: `amount "9223372036854775808" is too large: at most 9223372036854775807`},
		{in: "92233720368547758.08", currency: "BRL", err: `amount "92233720368547758.08" is too large: at most 92233720368547758.07`},
		{in: "92233720368547759", currency: "BRL", err: `amount "92233720368547759" is too large: at most 92233720368547758.07`},
		{in: strings.Repeat("9", 50), currency: "XOF", err: `amount "` + strings.Repeat("9", 40) + `"… is too large: at most 9223372036854775807`},
		{in: "5", currency: "XXX", err: `currency "XXX" is not known: use an ISO 4217 code in use, such as XOF or BRL`},
	} {
		got, err := money.Parse(tc.in, money.Currency(tc.currency))
		if tc.err != "" {
			if err == nil || err.Error() != tc.err {
				t.Errorf("Parse(%q, %s): error %v, want %s", tc.in, tc.currency, err, tc.err)
			}
			continue
		}
		if want := (money.Amount{Minor: tc.minor, Currency: money.Currency(tc.currency)}); err != nil || got != want {
			t.Errorf("Parse(%q, %s) = %v, %v, want %v", tc.in, tc.currency, got, err, want)
		}
	}
}

func TestParseCurrency(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"XOF", "XAF", "GNF", "BRL", "EUR", "USD", "MRU", "SLE"} {
		if c, err := money.ParseCurrency(code); err != nil || c != money.Currency(code) {
			t.Errorf("ParseCurrency(%s) = %s, %v", code, c, err)
		}
	}
	for code, want := range map[string]string{
		"xof":  `currency "xof": write it in capitals, XOF`,
		"":     `currency "" is not known: use an ISO 4217 code in use, such as XOF or BRL`,
		"ABC":  `currency "ABC" is not known: use an ISO 4217 code in use, such as XOF or BRL`,
		"XXX":  `currency "XXX" is not known: use an ISO 4217 code in use, such as XOF or BRL`,
		"FRF":  `currency "FRF" is not known: use an ISO 4217 code in use, such as XOF or BRL`,
		"XOF ": `currency "XOF " is not known: use an ISO 4217 code in use, such as XOF or BRL`,
	} {
		if c, err := money.ParseCurrency(code); err == nil || err.Error() != want || c != "" {
			t.Errorf("ParseCurrency(%q) = %q, %v, want %s", code, c, err, want)
		}
	}
}

func TestExponentsAreThoseOfISO4217(t *testing.T) {
	t.Parallel()
	for code, want := range map[money.Currency]int{
		"XOF": 0, "XAF": 0, "GNF": 0, "JPY": 0, "BRL": 2, "EUR": 2, "USD": 2, "TND": 3,
		// CLDR writes these without decimals, yet they have them.
		"COP": 2, "TZS": 2, "MGA": 2, "IQD": 3, "PKR": 2,
	} {
		if got := code.Exponent(); got != want {
			t.Errorf("%s has %d decimals, want %d", code, got, want)
		}
	}
	// Where CLDR and ISO could differ, only ever towards more decimals: whoever writes cents settles in them.
	for it := currency.Query(); it.Next(); {
		written, _ := currency.Standard.Rounding(it.Unit())
		if c := money.Currency(it.Unit().String()); c.Exponent() < written {
			t.Errorf("%s has %d decimals but is written with %d", c, c.Exponent(), written)
		}
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a    money.Amount
		want string
	}{
		{money.Amount{Minor: 24000, Currency: "XOF"}, "24000"},
		{money.Amount{Minor: 4990, Currency: "BRL"}, "49.90"},
		{money.Amount{Minor: 5, Currency: "BRL"}, "0.05"},
		{money.Amount{Minor: 0, Currency: "BRL"}, "0.00"},
		{money.Amount{Minor: -5, Currency: "BRL"}, "-0.05"},
		{money.Amount{Minor: math.MinInt64, Currency: "XOF"}, "-9223372036854775808"},
		{money.Amount{Minor: 12345, Currency: "TND"}, "12.345"},
		{money.Amount{Minor: 7}, "7"},
	} {
		if got := tc.a.Decimal(); got != tc.want {
			t.Errorf("%+v.Decimal() = %s, want %s", tc.a, got, tc.want)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	xof := func(n int64) money.Amount { return money.Amount{Minor: n, Currency: "XOF"} }
	brl := func(n int64) money.Amount { return money.Amount{Minor: n, Currency: "BRL"} }
	for _, tc := range []struct {
		a            money.Amount
		locale, want string
	}{
		{xof(24000), "fr-CI", "24\u00a0000\u00a0FCFA"},
		{xof(24000), "fr", "24\u00a0000\u00a0FCFA"},
		{xof(450000), "fr_SN", "450\u00a0000\u00a0FCFA"},
		{xof(999), "fr-CI", "999\u00a0FCFA"},
		{xof(1234567), "fr-CI", "1\u00a0234\u00a0567\u00a0FCFA"},
		{xof(-24000), "fr-CI", "-24\u00a0000\u00a0FCFA"},
		{money.Amount{Minor: 24000, Currency: "XAF"}, "fr-CM", "24\u00a0000\u00a0FCFA"},
		{money.Amount{Minor: 24000, Currency: "GNF"}, "fr-GN", "24\u00a0000\u00a0GNF"},
		{brl(4990), "fr-CI", "49,90\u00a0R$"},
		{brl(4990), "pt-BR", "R$\u00a049,90"},
		{brl(123450), "pt-BR", "R$\u00a01.234,50"},
		{brl(-123450), "pt-BR", "-R$\u00a01.234,50"},
		{brl(5), "pt", "R$\u00a00,05"},
		{xof(24000), "pt-BR", "XOF\u00a024.000"},
		{xof(24000), "en", "XOF\u00a024,000"},
		{brl(4990), "en", "R$49.90"},
		{brl(-4990), "en-GB", "-R$49.90"},
		{xof(24000), "sw-KE", "XOF\u00a024,000"},
		{xof(24000), "not a locale", "XOF\u00a024,000"},
		{xof(math.MinInt64), "en", "-XOF\u00a09,223,372,036,854,775,808"},
	} {
		if got := tc.a.Format(tc.locale); got != tc.want {
			t.Errorf("%s %s in %s = %q, want %q", tc.a.Decimal(), tc.a.Currency, tc.locale, got, tc.want)
		}
	}
}

func TestCommission(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ gross, bps, commission int64 }{
		{30000, 2000, 6000},
		{1366, 2000, 273}, // 273.2
		{4694, 2000, 939}, // 938.8
		{2, 2500, 1},      // 0.5 goes up
		{4999, 1, 0},      // just below half
		{5000, 1, 1},
		{1, 2500, 0},   // 0.25
		{-2, 2500, -1}, // the mirror of 0.5
		{-1366, 2000, -273},
		{0, 2000, 0},
		{12345, 0, 0},
		{12345, 10000, 12345},
		{math.MaxInt64, 10000, math.MaxInt64},
		{math.MinInt64, 10000, math.MinInt64},
		{math.MaxInt64, 1, 922337203685478}, // 922337203685477.5807
	} {
		commission, net := money.Amount{Minor: tc.gross, Currency: "XOF"}.Commission(tc.bps)
		want := money.Amount{Minor: tc.commission, Currency: "XOF"}
		if commission != want || net.Minor != tc.gross-tc.commission || net.Currency != "XOF" {
			t.Errorf("commission of %d at %d = %v, net %v, want %v", tc.gross, tc.bps, commission, net, want)
		}
	}
}

func TestCommissionRefusesImpossibleRates(t *testing.T) {
	t.Parallel()
	for _, bps := range []int64{-1, 10001, math.MinInt64} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a commission of %d basis points was computed", bps)
				}
			}()
			money.Amount{Minor: 100, Currency: "XOF"}.Commission(bps)
		}()
	}
}

func TestCommissionIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gross := rapid.Int64().Draw(t, "gross")
		bps := rapid.Int64Range(0, 10000).Draw(t, "bps")
		commission, net := money.Amount{Minor: gross, Currency: "BRL"}.Commission(bps)
		sum, err := commission.Add(net)
		if err != nil || sum.Minor != gross {
			t.Fatalf("%d + %d = %d, %v, want %d", commission.Minor, net.Minor, sum.Minor, err, gross)
		}
		// |2·10000·commission − 2·gross·bps| ≤ 10000: no other unit is nearer.
		diff := new(big.Int).Mul(big.NewInt(commission.Minor), big.NewInt(20000))
		diff.Sub(diff, new(big.Int).Mul(big.NewInt(gross), big.NewInt(2*bps)))
		if diff.CmpAbs(big.NewInt(10000)) > 0 {
			t.Fatalf("commission of %d at %d is %d: not the nearest unit", gross, bps, commission.Minor)
		}
		if gross > 0 && diff.Cmp(big.NewInt(-10000)) == 0 {
			t.Fatalf("commission of %d at %d is %d: half went down", gross, bps, commission.Minor)
		}
	})
}

func TestAdd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64().Draw(t, "a")
		b := rapid.Int64().Draw(t, "b")
		sum, err := money.Amount{Minor: a, Currency: "XOF"}.Add(money.Amount{Minor: b, Currency: "XOF"})
		exact := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		if exact.IsInt64() != (err == nil) {
			t.Fatalf("%d + %d: error %v", a, b, err)
		}
		if err == nil && (sum.Minor != exact.Int64() || sum.Currency != "XOF") {
			t.Fatalf("%d + %d = %v", a, b, sum)
		}
	})
	if _, err := (money.Amount{Minor: 1, Currency: "XOF"}).Add(money.Amount{Minor: 1, Currency: "BRL"}); err == nil {
		t.Error("XOF and BRL were added")
	}
}

func TestParseUndoesDecimal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := money.Amount{
			Minor:    rapid.Int64Min(0).Draw(t, "minor"),
			Currency: rapid.SampledFrom([]money.Currency{"XOF", "BRL", "TND"}).Draw(t, "currency"),
		}
		if got, err := money.Parse(want.Decimal(), want.Currency); err != nil || got != want {
			t.Fatalf("Parse(%s) = %v, %v, want %v", want.Decimal(), got, err, want)
		}
	})
}

// FuzzParse compares with exact rational arithmetic: whatever is accepted has exactly the value it shows.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"24000", "49.90", "24000.5", "-1", "", "1,5", "9223372036854775808", "٢", ".", "0x10", "1e5"} {
		f.Add(s, "XOF")
		f.Add(s, "BRL")
	}
	f.Fuzz(func(t *testing.T, s, code string) {
		c := money.Currency(code)
		a, err := money.Parse(s, c)
		if err != nil {
			if a != (money.Amount{}) {
				t.Fatalf("Parse(%q) gave %v beside its error", s, a)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("Parse(%q) accepted what is no number", s)
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Exponent())), nil)
		if exact.Mul(exact, new(big.Rat).SetInt(scale)).Cmp(new(big.Rat).SetInt64(a.Minor)) != 0 || a.Minor < 0 {
			t.Fatalf("Parse(%q, %s) = %d", s, c, a.Minor)
		}
		if again, err := money.Parse(a.Decimal(), c); err != nil || again != a {
			t.Fatalf("Parse(%q) after Parse(%q) = %v, %v", a.Decimal(), s, again, err)
		}
	})
}
