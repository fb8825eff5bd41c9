package report_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/cmd/agogo/internal/report"
	"github.com/agogopay/agogo/internal/money"
)

var morning = time.Date(2025, 10, 30, 8, 0, 0, 0, time.FixedZone("", -3*3600))

func everyCharge() []report.Charge {
	var all []report.Charge
	for i, state := range []string{
		"succeeded", "processing", "unknown", "manual_review", "failed_soft", "failed_hard", "requires_action", "exhausted", "due", "submitting",
		"cancelled", "something_new",
	} {
		all = append(all, report.Charge{Customer: "Conceição Araújo", Amount: brl(int64(4990 * (10*i + 1))), State: state})
	}
	all[2].Code = "timeout"
	all[4].Code, all[4].RetryOn = "insufficient_funds", morning.AddDate(0, 0, 1)
	all[5].Code = "expired_card"
	all[7].Code = "a_code_without_words"
	return all
}

func TestGoldenOfCharges(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"pt-charges": func(w io.Writer) error {
			return report.WriteCharges(w, report.Charges{Locale: "pt-BR", At: morning, Service: "Cielo", Currency: "BRL", Charges: everyCharge()})
		},
		"pt-again": func(w io.Writer) error {
			return report.WriteCharges(w, report.Charges{Locale: "pt-BR", At: morning, Again: true, Service: "Cielo", Currency: "BRL", Charges: everyCharge()[4:5]})
		},
		"pt-nothing": func(w io.Writer) error {
			return report.WriteCharges(w, report.Charges{Locale: "pt-BR", At: morning, Service: "Cielo", Currency: "BRL"})
		},
		"en-charges": func(w io.Writer) error {
			return report.WriteCharges(w, report.Charges{Locale: "en", At: morning, Service: "Cielo", Currency: "BRL", Charges: everyCharge()})
		},
		"pt-holds": func(w io.Writer) error {
			return report.WriteHolds(w, report.Holds{Locale: "pt-BR", At: morning.Add(10 * time.Hour), Currency: "BRL", Sellers: []report.Held{
				{Whose: "seller-1", Count: 4, Amount: brl(32870)}, {Whose: "Academia São Bento", Count: 1, Amount: brl(4990)},
			}})
		},
		"pt-cleaned": func(w io.Writer) error {
			return report.WriteCleaned(w, report.Cleaned{Locale: "pt-BR", At: morning.AddDate(0, 0, 3).Add(-6 * time.Hour), Expired: []report.Held{
				{Whose: "Cliente 042", Amount: brl(4990), Since: time.Date(2025, 4, 13, 0, 0, 0, 0, time.UTC)},
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
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
				if strings.TrimRight(line, " ") != line || strings.Contains(line, "{") || strings.Contains(line, "%!") {
					t.Errorf("untidy line %q", line)
				}
			}
		})
	}
}

func TestChargesAreOfOneCurrency(t *testing.T) {
	r := report.Charges{Locale: "en", Currency: "BRL", Charges: []report.Charge{{Amount: money.Amount{Minor: 1, Currency: "XOF"}, State: "unknown"}}}
	if err := report.WriteCharges(&bytes.Buffer{}, r); err == nil {
		t.Error("two currencies were added up")
	}
}

func TestAWriterThatFailsIsReportedOfCharges(t *testing.T) {
	for name, err := range map[string]error{
		"charges": report.WriteCharges(full{}, report.Charges{}), "holds": report.WriteHolds(full{}, report.Holds{}), "clean-up": report.WriteCleaned(full{}, report.Cleaned{}),
	} {
		if err == nil {
			t.Errorf("%s: nothing was written, and nobody heard", name)
		}
	}
}
