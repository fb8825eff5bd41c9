package telemetry_test

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/telemetry"
	payouts "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrences "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// A published test number; every other number and name here is made up.
const testCard = "4111111111111111"

// timestamps have digits of their own, which are sometimes those of a secret.
var timestamps = regexp.MustCompile(`\d{4}-\d{2}-\d{2}T[0-9:.]+(Z|[+-]\d{2}:\d{2})`)

type lazy struct{ v slog.Value }

func (l lazy) LogValue() slog.Value { return l.v }

type connector struct {
	Kind         string
	ClientSecret string
	Nested       map[string]any
	Secret       string `json:"-"`
}

// TestNothingSecretIsLogged logs every shape a careless line can have and looks for the secret in what was written.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	const secret, phone, name = "s3cr3t-V4lue", "+2250700000101", "Awa"
	for what, args := range map[string][]any{
		"password":         {"password", secret},
		"capitals":         {"PASSWORD", secret},
		"camel case":       {"clientSecret", secret},
		"acronym":          {"encryptedPINCode", secret},
		"header":           {"X-Api-Key", secret},
		"dsn":              {"postgres_dsn", secret},
		"pin number":       {"pin", 4321},
		"peer id":          {"peer_id", "0700000101"},
		"msisdn":           {"msisdn", "2250700000101"},
		"phone":            {"phone", "0700000101"},
		"name":             {"payee_name", name},
		"group":            {slog.Group("credentials", "value", secret)},
		"in a group":       {slog.Group("call", "token", secret)},
		"lazy":             {"call", lazy{slog.GroupValue(slog.String("secret", secret))}},
		"lazy text":        {"to", lazy{slog.StringValue("wallet " + phone)}},
		"phone in text":    {"reason", "no wallet for " + phone},
		"phone with gaps":  {"reason", "no wallet for +225 07 00 00 01 01"},
		"phone with dash":  {"reason", "no wallet for +225-07-00-00-01-01."},
		"card":             {"text", "paid with " + testCard},
		"card in groups":   {"text", "paid with 4111 1111 1111 1111"},
		"card after date":  {"text", "2025-01-24 " + testCard},
		"groups after":     {"text", "0124 4111 1111 1111 1111"},
		"amex":             {"text", "3782-822463-10005"},
		"in an error":      {"error", fmt.Errorf("submit: %w", errors.New("peer "+phone+" unknown"))},
		"json in error":    {"error", errors.New(`body {"code":1,"peerId":"0700000101"}`)},
		"escaped json":     {"error", fmt.Errorf("body %q", `{"access_token":"`+secret+`"}`)},
		"cut json":         {"error", errors.New(`body {"access_token": "` + secret)},
		"json list":        {"body", `{"tokens":["` + secret + `"]}`},
		"form":             {"body", "grant_type=x&client_secret=" + secret},
		"query":            {"url", "url=https://example.net/cb?token=" + secret},
		"userinfo":         {"error", errors.New("dial postgres://agogo:" + secret + "@db:5432/agogo")},
		"bearer":           {"header", "Bearer " + secret},
		"basic":            {"header", "basic czNjcjN0LVY0bHVl"},
		"struct":           {"connector", connector{Kind: "orange_omr", ClientSecret: secret}},
		"pointer":          {"connector", &connector{Nested: map[string]any{"pin": "4321", "to": []string{phone}}}},
		"formatted struct": {"connector", fmt.Sprintf("%+v", connector{ClientSecret: secret})},
		"nested format":    {"file", fmt.Sprintf("%+v", struct{ Provider connector }{connector{ClientSecret: secret}})},
		"map":              {"headers", map[string]string{"Authorization": "Basic " + secret}},
		"proto":            {"payee", &payouts.Payee{Id: "drv-01", Name: name, Phone: phone}},
		"bytes":            {"body", []byte(secret)},
		"unprintable":      {"value", map[string]any{"secret": secret, "f": func() {}}},
	} {
		for _, format := range []string{"text", "json"} {
			for _, with := range []bool{false, true} {
				tel, out := newTelemetry(t, "info,"+format)
				if with {
					tel.Logger.With(args...).InfoContext(t.Context(), "line")
				} else {
					tel.Logger.InfoContext(t.Context(), "line", args...)
				}
				leaks := []string{
					secret, phone, "0700000101", "00 00 01", "00-00-01", "4321", testCard, "1111 1111", "822463", "czNjcjN0",
				}
				if what == "name" {
					leaks = append(leaks, name)
				}
				line := timestamps.ReplaceAllString(out.String(), "")
				for _, leak := range leaks {
					if strings.Contains(line, leak) {
						t.Errorf("%s: %q was written: %s", what, leak, out)
					}
				}
			}
		}
	}
}

// TestNoCardOfAnyNetworkIsLogged writes test numbers of the networks as people print and type them, wherever a line can
// hold them: in its message, in values under any key, in errors, groups, structs, maps and requests.
func TestNoCardOfAnyNetworkIsLogged(t *testing.T) {
	t.Parallel()
	cards := map[string]string{ // network: groups
		"visa": "4111 1111 1111 1111", "mastercard": "5555 5555 5555 4444", "mastercard 2": "2223 0031 2200 3222", "amex": "3782 822463 10005",
		"diners": "3056 930902 5904", "elo": "6362 9700 0045 7013", "hipercard": "6062 8256 2425 4001", "discover": "6011 0009 9013 9424",
		"jcb": "3566 0020 2036 0505", "maestro of 19": "6304 0000 0000 0000 000", "visa of 13": "4222 2222 2222 2",
	}
	for network, groups := range cards {
		for _, card := range []string{groups, strings.ReplaceAll(groups, " ", "-"), strings.ReplaceAll(groups, " ", "")} {
			tel, out := newTelemetry(t, "debug,json")
			message := "charge of " + card + " at 2025-10-30 refused"
			tel.Logger.InfoContext(t.Context(), message, "reason", card, "after_date", "2025-10-30 "+card, "error", fmt.Errorf("submit: %w", errors.New(message)),
				slog.Group("call", "body", `{"number":"`+card+`"}`, "form", "number="+card), "map", map[string]string{"x": card},
				"struct", connector{Kind: card}, "request", &recurrences.CancelChargeRequest{Id: card, Reason: message},
				"list", []string{card}, "lazy", lazy{slog.StringValue(card)}, "bytes", []byte(card))
			tel.Logger.With("reason", card).WarnContext(t.Context(), "line")
			for _, leak := range []string{card, groups[len(groups)-9:]} {
				if strings.Contains(out.String(), leak) {
					t.Errorf("%s: %q was written: %s", network, leak, out)
				}
			}
			if !strings.Contains(out.String(), "at 2025-10-30 refused") {
				t.Errorf("%s: more than the number is gone: %s", network, out)
			}
		}
	}
}

func TestMessagesAreMasked(t *testing.T) {
	t.Parallel()
	tel, out := newTelemetry(t, "info,text")
	tel.Logger.InfoContext(t.Context(), "paid +2250700000101 with password=abc123")
	if got := out.String(); !strings.Contains(got, `msg="paid +***01 with password=[redacted]"`) {
		t.Errorf("log: %s", got)
	}
}

// TestUsefulTextSurvives keeps redaction from eating what people need to find a fault.
func TestUsefulTextSurvives(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"fetch token: status 401: invalid_client",
		"tick lebenis/payouts/daily@2025-01-24T23:59:00Z",
		"payout 0f0b2c8e-7d3a-5b1e-9a46-0242ac120002 reference 12345678-1234-5123-8123-123456789012",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"at 1737763140007 ms", "at 1737763140000000000 ns", "pay-20250124-0033 refused", "txn CI250124.2359.C12345",
		"basic authentication failed", "listening on 127.0.0.1:7101", "ping: connection refused",
		"https://api.example.net/oauth/v3/token", "2025-01-24 23:59:00.123456", "SQLSTATE 40001 (retry)",
		"sum 4111111111111112", // fails Luhn
	} {
		if got := telemetry.Mask(s); got != s {
			t.Errorf("Mask(%q) = %q", s, got)
		}
	}
	tel, out := newTelemetry(t, "info,text")
	tel.Logger.InfoContext(t.Context(), "line", "payee_id", "drv-01", "token_url", "https://x/token", "card_brand", "visa",
		"ping", "ok", "pinned", true, "japan", "yes", "name", "daily", "none", nil, "counts", map[string]int{"succeeded": 15})
	for _, want := range []string{
		"payee_id=drv-01", "token_url=https://x/token", "card_brand=visa", "ping=ok", "pinned=true", "japan=yes", "name=daily",
		"none=<nil>", "counts=map[succeeded:15]",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %s", want, out)
		}
	}
}

func TestMaskFindsEveryPhoneAndCard(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[ -~]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[2-9][0-9]{9,13}`).Draw(t, "digits")
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		if got := telemetry.Mask(before + "+" + digits + " " + after); strings.Contains(got, digits) {
			t.Fatalf("the phone survived: %q", got)
		}
		card := withCheckDigit(rapid.StringMatching(`[2-9][0-9]{11,17}`).Draw(t, "card"))
		if got := telemetry.Mask(before + "; " + card + "; " + after); strings.Contains(got, card) {
			t.Fatalf("the card survived: %q", got)
		}
	})
}

// withCheckDigit appends the digit that Luhn's sum asks for, computed from the left.
func withCheckDigit(s string) string {
	sum, double := 0, len(s)%2 == 1
	for _, r := range s {
		d := int(r - '0')
		if double {
			d = d*2/10 + d*2%10
		}
		sum += d
		double = !double
	}
	return s + string(rune('0'+(10-sum%10)%10))
}

// TestMaskIsLinear feeds what a hostile answer could hold. It takes a tenth of a second; a search that began anew at every
// pair takes minutes, so the limit tells them apart on any machine.
func TestMaskIsLinear(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Second
	for _, unit := range []string{"a=", `"a":`, "a:", "1 ", "4111-", "+1", "basic ", "://a:", `\"`} {
		begin := time.Now()
		telemetry.Mask(strings.Repeat(unit, 20_000))
		if took := time.Since(begin); took > limit {
			t.Errorf("%d times %q took %s", 20_000, unit, took)
		}
	}
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{
		`{"password":"x"`, "a=b=c", "Bearer ", "+1", "4111 1111 1111 1111", "://a:b@c", `\"pin\":\"`, "\xff+\x00", "basic\u00a0x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := telemetry.Mask(s)
		if strings.Contains(once, "password=") {
			_, after, _ := strings.Cut(once, "password=")
			if after != "" && !strings.HasPrefix(after, "[redacted]") && !strings.ContainsAny(after[:1], " \t\n\r\f,;&\")}]") {
				t.Fatalf("Mask(%q) = %q", s, once)
			}
		}
	})
}
