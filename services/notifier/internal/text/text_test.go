package text

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"text/template/parse"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example holds one fact of each kind; count decides the plural.
func example(key string, count int64, currency money.Currency) notice.Notice {
	return notice.Notice{Kind: event.Type(key), Text: key, Params: notice.Params{
		Amount: money.Amount{Minor: 2_400_000, Currency: currency},
		Needed: money.Amount{Minor: 45_000_000, Currency: currency},
		Period: "2025-01-24",
		// 23:10 UTC on the 24th: 23:10 in Abidjan, 20:10 in São Paulo.
		RetryAt: time.Date(2025, 1, 24, 23, 10, 0, 0, time.UTC),
		RetryOn: "2025-11-03",
		Count:   count,
		Where:   "orange",
	}}
}

// TestGolden shows every text in every language as people will read it.
func TestGolden(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for _, c := range []struct {
		locale, zone string
		currency     money.Currency
	}{
		{"fr-CI", "Africa/Abidjan", "XOF"},
		{"pt-BR", "America/Sao_Paulo", "BRL"},
		{"en", "Africa/Abidjan", "XOF"},
	} {
		t.Run(c.locale, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, text := range notice.Texts() {
				for _, n := range countsOf(text) {
					got, err := texts.Render(example(text.Key, n, c.currency), zone, c.locale)
					if err != nil {
						t.Fatalf("%s: %v", text.Key, err)
					}
					fmt.Fprintf(&b, "%s\n  %s\n  %s\n", text.Key, got.Title, got.Body)
				}
			}
			golden(t, c.locale+".golden", b.String())
		})
	}
}

func countsOf(text notice.Text) []int64 {
	if slices.Contains(text.Params, notice.ParamCount) {
		return []int64{1, 12_345}
	}
	return []int64{1}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update and read what it wrote)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("texts changed (-want +got); run with -update if meant:\n%s", diff)
	}
}

// TestParameters: every text exists in all three languages and uses exactly the facts it declares, so that no language
// says less than another.
func TestParameters(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	if diff := cmp.Diff([]string{"en", "fr", "pt"}, slices.Sorted(maps.Keys(texts.catalogues))); diff != "" {
		t.Fatalf("languages (-want +got):\n%s", diff)
	}
	for locale, entries := range texts.catalogues {
		for key, params := range texts.params {
			e, ok := entries[key]
			if !ok {
				t.Errorf("%s: no text %q", locale, key)
				continue
			}
			used := map[string]bool{}
			fields(e.title.Root, used)
			fields(e.body.Root, used)
			if key == resolved {
				params = []string{"Title"}
			}
			if diff := cmp.Diff(params, slices.Sorted(maps.Keys(used))); diff != "" {
				t.Errorf("%s %s: parameters (-declared +used):\n%s", locale, key, diff)
			}
		}
	}
}

// fields collects the names of {{.Field}} below a node.
func fields(n parse.Node, used map[string]bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			fields(child, used)
		}
	case *parse.ActionNode:
		for _, cmd := range n.Pipe.Cmds {
			for _, arg := range cmd.Args {
				fields(arg, used)
			}
		}
	case *parse.FieldNode:
		used[n.Ident[0]] = true
	}
}

func TestLocaleChain(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for _, c := range []struct {
		locales      []string
		locale, body string
	}{
		{[]string{"fr-CI"}, "fr-CI", "Votre versement de 24\u00a0000\u00a0FCFA pour la journée du 1er janvier 2025"},
		{[]string{"fr"}, "fr", "1er janvier 2025"},
		{[]string{"pt-BR", "fr-CI"}, "pt-BR", "referente a 1º de janeiro de 2025"},
		{[]string{"sw-KE", "fr-CI"}, "fr-CI", "1er janvier 2025"},
		{[]string{"en-US"}, "en-US", "January 1, 2025"},
		{[]string{"en"}, "en", "1 January 2025"},
		{[]string{"", "not a locale", "sw"}, "en", "Your payout of XOF"},
		{nil, "en", "1 January 2025"},
	} {
		n := example("payout.processing", 1, "XOF")
		n.Params.Amount.Minor, n.Params.Period = 24_000, "2025-01-01"
		got, err := texts.Render(n, time.UTC, c.locales...)
		if err != nil {
			t.Fatal(err)
		}
		if got.Locale != c.locale || !strings.Contains(got.Body, c.body) {
			t.Errorf("%q: got %s: %q, want %s and %q in it", c.locales, got.Locale, got.Body, c.locale, c.body)
		}
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 8, 1, 1, 5, 0, 0, time.UTC)
	for locale, want := range map[string]string{
		"fr-CI": "le 1er août à 01\u00a0h\u00a005",
		"pt-BR": "em 1º de agosto à 01:05",
		"en":    "on 1 August at 01:05",
		"en-US": "on August 1 at 1:05 AM",
	} {
		if got := styleOf(locale).moment(at); got != want {
			t.Errorf("%s: %q, want %q", locale, got, want)
		}
	}
	if got := french.localDate("soon"); got != "soon" {
		t.Errorf("what is no date became %q", got)
	}
}

// TestRetryInTenantZone: the hour of the next try is the one on the recipient's wall, not UTC.
func TestRetryInTenantZone(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", -3*60*60)
	got, err := newTexts(t).Render(example("payout.failed.retry", 1, "BRL"), zone, "pt-BR")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.Body, "às 20:10") {
		t.Errorf("body %q", got.Body)
	}
}

func TestResolved(t *testing.T) {
	t.Parallel()
	n := example("payout.outcome_unknown", 0, "XOF")
	n.Resolved = true
	got, err := newTexts(t).Render(n, time.UTC, "fr-CI")
	if err != nil {
		t.Fatal(err)
	}
	want := Text{Locale: "fr-CI", Title: "Résolu\u00a0: Versements au résultat inconnu", Body: "Plus rien ne demande votre attention."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFitsInAPush: FCM refuses payloads above 4096 bytes; words take at most a quarter of that.
func TestFitsInAPush(t *testing.T) {
	t.Parallel()
	texts := newTexts(t)
	for _, text := range notice.Texts() {
		for _, locale := range []string{"fr-CI", "pt-BR", "en"} {
			n := example(text.Key, 1<<60, "XOF")
			n.Params.Amount.Minor, n.Params.Needed.Minor, n.Params.Where = 1<<60, 1<<60, strings.Repeat("w", 64)
			got, err := texts.Render(n, time.UTC, locale)
			if err != nil {
				t.Fatal(err)
			}
			if size := len(got.Title) + len(got.Body); size > 1024 {
				t.Errorf("%s %s is %d bytes", locale, text.Key, size)
			}
		}
	}
}

func TestUnknownText(t *testing.T) {
	t.Parallel()
	if _, err := newTexts(t).Render(notice.Notice{Text: "payout.vanished"}, time.UTC, "fr"); err == nil {
		t.Error("a text that does not exist was rendered")
	}
}

// TestLoadRefuses: a catalogue that could fail at night fails at start instead.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	whole := map[string]map[string]string{"alert.resolved": {"title": "{{.Title}}", "body": "b"}}
	for _, text := range notice.Texts() {
		whole[text.Key] = map[string]string{"title": "t", "body": "b"}
	}
	with := func(change func(m map[string]map[string]string)) string {
		m := maps.Clone(whole)
		change(m)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for name, c := range map[string]struct{ file, content, want string }{
		"whole":           {"en", with(func(map[string]map[string]string) {}), ""},
		"missing text":    {"en", with(func(m map[string]map[string]string) { delete(m, "tick.missed") }), `no text "tick.missed"`},
		"unknown text":    {"en", with(func(m map[string]map[string]string) { m["tick.mised"] = nil }), `"tick.mised" is not a text`},
		"broken template": {"en", with(func(m map[string]map[string]string) { m["tick.missed"] = map[string]string{"body": "{{.Count"} }), "tick.missed body"},
		"broken json":     {"en", "{", "unexpected end"},
		"no English":      {"fr", with(func(map[string]map[string]string) {}), `no catalogue for "en"`},
		"no locale":       {"en_all_of_it", with(func(map[string]map[string]string) {}), "not a locale"},
	} {
		_, err := load(fstest.MapFS{"catalogue/" + c.file + ".json": {Data: []byte(c.content)}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	texts, err := New()
	if err != nil {
		b.Fatal(err)
	}
	n := example("payout.succeeded", 1, "XOF")
	for b.Loop() {
		if _, err := texts.Render(n, time.UTC, "fr-CI"); err != nil {
			b.Fatal(err)
		}
	}
}

func newTexts(t *testing.T) *Texts {
	t.Helper()
	texts, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
