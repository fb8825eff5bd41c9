package report_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/cmd/agogo/internal/report"
	"github.com/agogopay/agogo/internal/money"
)

var update = flag.Bool("update", false, "write the golden files")

var evening = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

func xof(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "XOF"} }
func brl(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "BRL"} }

func TestGolden(t *testing.T) {
	for name, r := range map[string]report.Run{
		// The first document's own example, of two drivers.
		"fr-document": {Locale: "fr-CI", At: evening, Service: "Orange Money", Currency: "XOF", Payouts: []report.Payout{
			{Payee: "Jean Kouassi", Amount: xof(24000), Payments: 8, State: "succeeded"},
			{Payee: "Livreur 02", Amount: xof(426000), Payments: 17, State: "succeeded"},
		}},
		"fr-every-state": {Locale: "fr-CI", At: evening, Service: "Orange Money", Currency: "XOF", Payouts: everyState(xof)},
		"pt-every-state": {Locale: "pt-BR", At: evening, Service: "Pix", Currency: "BRL", Payouts: everyState(brl)},
		"en-every-state": {Locale: "en", At: evening, Service: "Orange Money", Currency: "XOF", Payouts: everyState(xof)},
		"fr-nobody":      {Locale: "fr-CI", At: evening, Service: "Orange Money", Currency: "XOF"},
		"fr-names": {Locale: "fr-CI", At: evening, Service: "Orange Money", Currency: "XOF", Payouts: []report.Payout{
			{Payee: "Aya", Amount: xof(100), Payments: 1, State: "succeeded"},
			{Payee: "Se\u0301verin N'Guessan", Amount: xof(1_234_567), Payments: 12, State: "succeeded"}, // e and a combining accent
			{Payee: "Séverin N'Guessan", Amount: xof(5), Payments: 0, State: "failed", Reason: "Transaction identique."},
			{Payee: "李小龙", Amount: xof(99_999), Payments: 3, State: "succeeded"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := report.Write(&got, r); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
			for _, line := range strings.Split(got.String(), "\n") {
				if strings.TrimRight(line, " ") != line || strings.Contains(line, "{") {
					t.Errorf("untidy line %q", line)
				}
			}
		})
	}
}

func everyState(of func(int64) money.Amount) []report.Payout {
	var all []report.Payout
	for i, state := range []string{
		"succeeded", "processing", "unknown", "manual_review", "failed", "held", "awaiting_approval", "approved", "submitting", "created",
		"skipped", "rejected", "cancelled", "reversed", "something_new",
	} {
		all = append(all, report.Payout{Payee: "Awa Traoré", Amount: of(int64(1000 * (i + 1))), Payments: i, State: state})
	}
	all[4].Reason = "wallet_closed"
	return all
}

// Every number of the first document's summary, computed from its own payouts.
func TestSummaryAddsUp(t *testing.T) {
	payouts := make([]report.Payout, 15)
	for i := range payouts {
		payouts[i] = report.Payout{Payee: "Livreur", Amount: xof(30_000), Payments: 8, State: "succeeded"}
	}
	var got bytes.Buffer
	if err := report.Write(&got, report.Run{Locale: "fr-CI", At: evening, Currency: "XOF", Payouts: payouts}); err != nil {
		t.Fatal(err)
	}
	//nolint:misspell // French
	for _, want := range []string{"🚀 Démarrage du traitement des paiements quotidiens (23h59)", "📊 RÉSUMÉ DES PAIEMENTS QUOTIDIENS (23h59)", xof(450_000).Format("fr-CI")} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is missing in\n%s", want, got.String())
		}
	}
	words := strings.Join(strings.Fields(got.String()), " ")
	for _, want := range []string{"✅ Payouts créés: 15", "❌ Payouts échoués: 0"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is missing in\n%s", want, got.String())
		}
	}
}

func TestOneCurrency(t *testing.T) {
	for _, states := range [][2]string{{"succeeded", "succeeded"}, {"succeeded", "failed"}} {
		r := report.Run{Locale: "en", Currency: "XOF", Payouts: []report.Payout{{Amount: xof(1), State: states[0]}, {Amount: brl(1), State: states[1]}}}
		if err := report.Write(&bytes.Buffer{}, r); err == nil {
			t.Errorf("%v: two currencies were added up", states)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestAWriterThatFailsIsReported(t *testing.T) {
	if err := report.Write(full{}, report.Run{}); err == nil {
		t.Error("nothing was written, and nobody heard")
	}
}
