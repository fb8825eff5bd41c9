package pan_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/pan"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

func TestIn(t *testing.T) {
	t.Parallel()
	// Published test numbers of the networks.
	cards := map[string]string{
		"visa": "4111111111111111", "visa of 13": "4222222222222", "mastercard": "5555555555554444", "mastercard 2": "2223003122003222",
		"amex": "378282246310005", "diners": "30569309025904", "elo": "6362970000457013", "hipercard": "6062825624254001",
		"of 19": "6304000000000000000", "uatp": "135412345678911",
		"in groups": "4111 1111 1111 1111", "with dashes": "4111-1111-1111-1111", "odd groups": "41 11 - 11 111111 1 1 11 11",
		"in a text": "cartão 4111111111111111 do cliente", "after a date": "2025-10-30 4111111111111111", "before its date": "4111 1111 1111 1111 12/28",
		"after a number": "plano 12 4111 1111 1111 1111", "in words": "x4111111111111111y", "with hard spaces": "4111\u00a01111\u00a01111\u00a01111",
		"with en dashes": "4111–1111–1111–1111", "on two lines": "4111 1111\n1111 1111", "with nothing to see": "4111\u200b1111\u200b1111\u200b1111",
		"fullwidth": "４１１１１１１１１１１１１１１１", "arabic": "٤١١١١١١١١١١١١١١١", "second of two": "1234567890123 4111111111111111",
	}
	for name, s := range cards {
		if !pan.In(s) {
			t.Errorf("%s: %q passes", name, s)
		}
	}
	for name, s := range map[string]string{
		"nothing": "", "wrong check digit": "4111111111111112", "12 digits": "411111111116", "20 digits": "41111111111111111111",
		"uuid": "41111111-1111-4111-8111-111111111111", "uuid in a text": "cielo has 41111111-1111-4111-8111-111111111111.", "token": "tok_ok_001", "a dot in it": "4111.1111.1111.1111",
		"a letter in it": "41111111a11111111", "cnpj": "11.222.333/0001-81", "time": "2025-10-30T11:00:00.000Z", "cpf": "529.982.247-25",
		"tick": "wallclub/recurrences/charge-due@2025-10-30T11:00:00Z", "names": "José da Silva Éèêç ñandú çãé êíî",
	} {
		if pan.In(s) {
			t.Errorf("%s: %q is refused", name, s)
		}
	}
}

// number draws digits whose last one is their check digit, computed from the left.
func number(t *rapid.T) string {
	s := rapid.StringMatching(`[0-9]{12,18}`).Draw(t, "digits")
	sum, double := 0, len(s)%2 == 1
	for _, r := range s {
		d := int(r - '0')
		if double {
			d = d*2/10 + d*2%10
		}
		sum, double = sum+d, !double
	}
	return s + string(rune('0'+(10-sum%10)%10))
}

// grouped writes spaces and dashes between some digits.
func grouped(t *rapid.T, digits string) string {
	var b strings.Builder
	for i, r := range digits {
		if i > 0 {
			b.WriteString(rapid.SampledFrom([]string{"", "", "", " ", "-", " - ", "  "}).Draw(t, "between"))
		}
		b.WriteRune(r)
	}
	return b.String()
}

// TestEveryNumberIsFound however it is grouped and whatever stands around it, unless a digit touches it.
func TestEveryNumberIsFound(t *testing.T) {
	t.Parallel()
	around := rapid.String().Filter(func(s string) bool { return !strings.ContainsFunc(s, unicode.IsDigit) })
	rapid.Check(t, func(t *rapid.T) {
		n := grouped(t, number(t))
		before, after := around.Draw(t, "before"), around.Draw(t, "after")
		numbers := rapid.StringMatching(`([0-9]{1,25}[ -]){0,3}`)
		s := before + numbers.Draw(t, "numbers") + n + " " + after
		if !pan.In(s) {
			t.Fatalf("%q passes with %q in it", s, n)
		}
	})
}

// TestNothingElseIsFound: without 13 digits that a card could have there is nothing to find.
func TestNothingElseIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.StringMatching(`([ -/:-~]{0,10}[0-9]{0,3}){0,4}`).Draw(t, "few")
		if pan.In(few) {
			t.Fatalf("%q has 12 digits at most", few)
		}
		n := number(t)
		i := len(n) - 1
		wrong := n[:i] + string('0'+(n[i]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "off")))%10)
		if pan.In(wrong) {
			t.Fatalf("%q has a wrong check digit", wrong)
		}
		if long := rapid.StringMatching(`[0-9]{20,60}`).Draw(t, "long"); pan.In(long) {
			t.Fatalf("%q has no card's length", long)
		}
	})
}

func TestField(t *testing.T) {
	t.Parallel()
	const card = "4111 1111 1111 1111"
	list := func(v ...any) *structpb.ListValue {
		l, err := structpb.NewList(v)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	object := func(m map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, tt := range []struct {
		message proto.Message
		field   string
	}{
		{&payoutsv1.CancelPayoutRequest{Tenant: "t", Reason: "none"}, ""},
		{&payoutsv1.CancelPayoutRequest{Tenant: "t", Reason: "card " + card}, "reason"},
		{&payoutsv1.CancelPayoutRequest{Tenant: card}, "tenant"},
		{&payoutsv1.ListPayoutsRequest{States: []string{"held", card}}, "states[1]"},
		{&importsv1.ImportRequest{Options: &importsv1.ImportOptions{Tenant: card}}, "options.tenant"},
		{&importsv1.ImportRequest{Data: []byte(card)}, ""}, // the import reads its rows itself
		{&payoutsv1.ListPayoutsResponse{Items: []*payoutsv1.Payout{{}, {Attempts: []*payoutsv1.Attempt{{Code: card}}}}}, "items[1].attempts[0].code"},
		{list(map[string]any{"a": []any{"x", card}}), "values[0].struct_value.fields[…].list_value.values[1].string_value"},
		{object(map[string]any{card: "x"}), "fields"},
		{object(map[string]any{"x": 4111111111111111.0}), ""},
	} {
		if got := pan.Field(tt.message); got != tt.field {
			t.Errorf("%v: %q, want %q", tt.message, got, tt.field)
		}
	}
}

// reference does by brute force what In does: every stretch of the text whose digits, spaces and dashes are a card's.
func reference(s string) bool {
	rs := []rune(s)
	isDigit := func(i int) bool { return i >= 0 && i < len(rs) && rs[i] >= '0' && rs[i] <= '9' }
	for i := range rs {
		if !isDigit(i) || isDigit(i-1) {
			continue
		}
		var digits []int
		for j := i; j < len(rs) && (isDigit(j) || rs[j] == ' ' || rs[j] == '-'); j++ {
			if isDigit(j) {
				digits = append(digits, int(rs[j]-'0'))
			}
			if !isDigit(j) || isDigit(j+1) || len(digits) < 13 || len(digits) > 19 {
				continue
			}
			sum := 0
			for k, d := range digits {
				if (len(digits)-k)%2 == 0 {
					d = d*2/10 + d*2%10
				}
				sum += d
			}
			if sum%10 == 0 {
				return true
			}
		}
	}
	return false
}

var uuid = regexp.MustCompile(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`)

func FuzzIn(f *testing.F) {
	for _, s := range []string{"4111111111111111", "4111-1111 1111--1111", "0000000000000", "1234567890123 4111111111111111", "4 1111111111111112"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ascii := !strings.ContainsFunc(s, func(r rune) bool { return r > '~' || r < ' ' })
		if got := pan.In(s); ascii && !uuid.MatchString(s) && got != reference(s) {
			t.Errorf("In(%q) = %v", s, got)
		}
	})
}

// TestInIsLinear feeds what a hostile request could hold. It takes a fraction of a second; trying every stretch of groups
// would take minutes.
func TestInIsLinear(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Second
	for _, unit := range []string{"1 ", "0-", "123 ", "1", "\u200b1", "é"} {
		begin := time.Now()
		pan.In(strings.Repeat(unit, 500_000) + "x")
		if took := time.Since(begin); took > limit {
			t.Errorf("%q took %s", unit, took)
		}
	}
}

func BenchmarkInOfOrdinaryText(b *testing.B) {
	for b.Loop() {
		pan.In("Mensalidade 042 da academia")
	}
}
