package abecs

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
)

// Short forms of what a decline means, for the table of the test.
const (
	forbid = "forbidden"
	newOne = "new card"
	shop   = "merchant"
)

// expected says for every row of the table what a decline means, written from the networks' documents and not from the
// table. "visa 57 hard not_permitted forbidden" is a line of it.
const expected = `
visa 05 soft declined
visa 5 soft declined
elo 05 soft declined
mastercard 05 soft declined
amex FA soft declined
visa 51 soft insufficient_funds
elo 51 soft insufficient_funds
mastercard 51 soft insufficient_funds
hipercard 51 soft insufficient_funds
diners 51 soft insufficient_funds
elo 55 soft wrong_pin
visa 86 soft wrong_pin
mastercard 86 soft unknown_decline
amex A6 soft wrong_pin
elo 59 soft suspected_fraud
visa 59 soft suspected_fraud
mastercard 59 soft unknown_decline
mastercard 63 soft suspected_fraud
visa 61 soft amount_limit
visa N4 soft amount_limit
elo N4 soft unknown_decline
visa Z5 soft amount_limit
elo 62 soft temporary_block
visa 62 soft temporary_block
mastercard 62 hard closed_account new card
hipercard 62 hard closed_account new card
mastercard 57 soft temporary_block
elo 65 soft count_limit
visa 75 soft pin_tries
mastercard 75 soft pin_tries
elo 38 soft pin_tries
elo 75 soft pin_tries
visa 38 soft unknown_decline
amex A4 soft pin_tries
elo 78 soft card_not_unblocked
visa 78 hard card_not_unblocked
visa 57 hard not_permitted forbidden
elo 57 hard not_permitted
visa 91 soft issuer_unavailable
amex A1 soft issuer_unavailable
mastercard 96 soft system_failure
amex AE soft system_failure
elo 04 soft try_again
elo 06 soft consult_acquirer
elo P6 soft new_pin_refused
visa B1 soft surcharge_refused
visa B2 soft surcharge_refused
visa N0 soft issuer_unavailable
visa 14 hard invalid_card_number new card forbidden
elo 14 hard invalid_card_number new card
elo 56 hard invalid_card_number new card
mastercard 14 hard invalid_card_number new card
mastercard 01 hard invalid_card_number new card
elo 01 soft unknown_decline
visa 54 hard expired_card new card
elo 54 hard expired_card new card
mastercard 54 hard expired_card new card
amex BV hard expired_card new card
visa 41 hard lost_card new card forbidden
mastercard 41 hard lost_card new card
visa 43 hard stolen_card new card forbidden
elo 43 hard stolen_card new card
visa 46 hard closed_account new card forbidden
visa R0 hard stopped_by_holder forbidden
visa R1 hard stopped_by_holder forbidden
mastercard R2 hard stopped_by_holder forbidden
elo R3 hard stopped_by_holder forbidden
visa 58 hard not_permitted
mastercard 58 hard not_permitted
amex FD hard not_permitted
elo 58 hard invalid_merchant
visa 03 hard invalid_merchant
mastercard 03 hard invalid_merchant
amex DA hard invalid_merchant
elo 63 hard security
visa 63 hard security
amex 8 hard security
visa 06 hard card_error
mastercard 12 hard card_error
visa 12 hard card_error forbidden
amex A2 hard card_error
amex A3 hard card_error
visa 13 hard invalid_request
elo 19 hard invalid_request
elo 23 hard invalid_request
mastercard 30 hard invalid_request
amex JB hard invalid_request
mastercard 25 hard invalid_request
mastercard 28 hard invalid_request
elo 74 hard pin_crypto
elo 83 hard pin_crypto
visa 74 hard pin_crypto
visa 81 hard pin_crypto
mastercard 88 hard pin_crypto
amex A7 hard pin_crypto
elo 76 hard invalid_account
visa 76 hard invalid_account
elo 77 hard invalid_account
elo 82 hard cryptogram
visa 82 hard cryptogram
visa N8 hard cryptogram
visa 39 hard wrong_function
visa 52 hard wrong_function
visa 53 hard wrong_function
elo AB hard wrong_function
elo AC hard wrong_function
visa 07 hard pick_up_card forbidden
visa 04 hard pick_up_card forbidden
mastercard 04 hard pick_up_card
visa 15 hard issuer_not_found forbidden
mastercard 15 hard issuer_not_found
visa 64 hard refused_by_law
elo 64 hard amount_too_small
visa 92 hard issuer_not_found
mastercard 92 hard issuer_not_found
visa 93 hard refused_by_law
visa 94 hard duplicate_trace
visa N7 hard security
visa N3 hard wrong_function
visa 6P hard identity_check_failed
elo P5 hard pin_change_failed
elo FM hard use_chip
visa 1A action requires_action
visa 70 action requires_action
elo 1A soft unknown_decline
mastercard 79 hard card_outdated
mastercard 82 hard issuer_policy
mastercard 83 hard suspected_fraud
visa AA soft issuer_unavailable
elo 98 soft issuer_unavailable
visa 99 soft issuer_unavailable
elo 999 soft issuer_unavailable
elo 60 soft declined
elo 89 soft declined
elo AV soft declined
elo BO soft declined
elo DF soft declined
elo 67 soft temporary_block
elo 70 soft insufficient_funds
elo DM soft insufficient_funds
elo BL soft amount_limit
elo DS soft not_permitted
elo EK soft not_permitted
elo RP soft declined 72h
elo NR hard declined forbidden
mastercard SC hard stopped_by_holder forbidden
elo BR hard closed_account new card
elo BP hard invalid_account
elo BM hard card_error
elo BN hard blocked_card
elo 02 hard suspected_fraud
elo FC hard suspected_fraud
elo GA hard suspected_fraud
elo GD hard merchant_refused merchant
elo GF hard merchant_refused merchant
elo GK hard merchant_refused merchant
elo GT hard merchant_refused merchant
elo BP176 hard merchant_refused merchant
visa XX soft unknown_decline
cabal 777 soft unknown_decline
`

func TestEveryRow(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for line := range strings.Lines(expected) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		b, code := Brand(words[0]), words[1]
		if got := describe(b, code, Classify(b, code, "")); got != strings.Join(words, " ") {
			t.Errorf("got  %s\nwant %s", got, strings.TrimSpace(line))
		}
		if r, ok := find(b, Normal(code)); ok {
			tested[r.brands+r.codes+Normal(code)] = true
		}
	}
	for _, r := range rows {
		for code := range strings.FieldsSeq(r.codes) {
			if !tested[r.brands+r.codes+code] {
				t.Errorf("code %s of row %v is decided by no line of the test", code, r)
			}
		}
	}
}

func describe(b Brand, code string, d Decline) string {
	parts := []string{string(b), code, map[Class]string{Soft: "soft", Action: "action", Hard: "hard"}[d.Class], d.Word}
	if d.CardInvalid {
		parts = append(parts, newOne)
	}
	if d.Forbidden {
		parts = append(parts, forbid)
	}
	if d.Merchant {
		parts = append(parts, shop)
	}
	if d.After > 0 {
		parts = append(parts, strings.TrimSuffix(d.After.String(), "0m0s"))
	}
	if d.Known == (d.Word == Unknown) {
		parts = append(parts, "known without a word, or the other way round")
	}
	return strings.Join(parts, " ")
}

// What Visa forbids is never soft, and the rules of charges forbid the same.
func TestWhatANetworkForbidsIsNeverTriedAgain(t *testing.T) {
	t.Parallel()
	for code := range strings.FieldsSeq("04 07 12 14 15 41 43 46 57 R0 R1 R3") {
		if d := Classify(Visa, code, ""); d.Class != Hard || !d.Forbidden {
			t.Errorf("%s: %+v", code, d)
		}
		if got := charge.Forbidden("visa", code, false, make([]int, len(charge.Windows("visa")))); got != charge.CodeNever {
			t.Errorf("%s: the rules of charges say %q", code, got)
		}
	}
}

func TestAdviceOfMastercard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code, advice string
		brand              Brand
		want               Decline
	}{
		{"never again", "51", "03", Mastercard, Decline{Class: Hard, Word: "insufficient_funds", Forbidden: true, Known: true}},
		{"plan cancelled", "05", "21", Mastercard, Decline{Class: Hard, Word: "declined", Forbidden: true, Known: true}},
		{"a newer card exists", "05", "01", Mastercard, Decline{Class: Action, Word: "declined", Known: true}},
		{"a newer card exists, and this one expired", "54", "1", Mastercard, Decline{Class: Hard, Word: "expired_card", CardInvalid: true, Known: true}},
		{"after three days", "05", "02", Mastercard, Decline{Class: Soft, Word: "declined", After: 72 * time.Hour, Known: true}},
		{"after two days", "51", "26", Mastercard, Decline{Class: Soft, Word: "insufficient_funds", After: 48 * time.Hour, Known: true}},
		{"only beside 51", "05", "26", Mastercard, Decline{Class: Soft, Word: "declined", Known: true}},
		{"prepaid", "51", "40", Mastercard, Decline{Class: Hard, Word: "insufficient_funds", Forbidden: true, Known: true}},
		{"replaced, later", "82", "02", Mastercard, Decline{Class: Soft, Word: "issuer_policy", After: 72 * time.Hour, Known: true}},
		{"replaced, new data", "79", "01", Mastercard, Decline{Class: Action, Word: "card_outdated", Known: true}},
		{"replaced, never", "83", "03", Mastercard, Decline{Class: Hard, Word: "suspected_fraud", Forbidden: true, Known: true}},
		{"an irreversible code stays so", "43", "02", Mastercard, Decline{Class: Hard, Word: "stolen_card", CardInvalid: true, After: 72 * time.Hour, Known: true}},
		{"no advice of another network", "51", "03", Visa, Decline{Class: Soft, Word: "insufficient_funds", Known: true}},
		{"an advice that nobody knows", "51", "99", Mastercard, Decline{Class: Soft, Word: "insufficient_funds", Known: true}},
		{"code unknown, advice known", "ZZ", "03", Mastercard, Decline{Class: Hard, Word: Unknown, Forbidden: true, Known: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(c.want, Classify(c.brand, c.code, c.advice)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBrandsAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Brand{
		"Visa": Visa, "master": Mastercard, "Mastercard": Mastercard, " ELO ": Elo, "Hiper": Hipercard, "American Express": Amex, "Diners": "diners", "": "",
	} {
		if got := ParseBrand(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// No code is in two rows that could both decide it: the order of the rows means nothing.
func TestNoTwoRowsDecideTheSame(t *testing.T) {
	t.Parallel()
	seen := map[string]row{}
	for _, r := range rows {
		for brand := range strings.SplitSeq(r.brands, "") {
			for code := range strings.FieldsSeq(r.codes) {
				if other, twice := seen[brand+code]; twice {
					t.Errorf("%s of %s is in %v and %v", code, brand, other, r)
				}
				seen[brand+code] = r
			}
		}
	}
}

// The page that people read has every code of the table.
func TestDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../../docs/providers/cielo.md")
	if err != nil {
		t.Fatal(err)
	}
	_, declines, _ := strings.Cut(string(doc), "## Declines")
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(declines, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		words[w] = true
	}
	for _, r := range rows {
		for code := range strings.FieldsSeq(r.codes) {
			if !words[code] {
				t.Errorf("docs/providers/cielo.md does not have the code %s of %v", code, r)
			}
		}
	}
}
