package closing_test

import (
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"

	"github.com/agogopay/agogo/internal/provider"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
)

// TestWordsOfStrangers: who pays from the wallet chooses a reference. It neither makes the signed report unreadable nor reaches a terminal
// as what that obeys. The same for what people write.
func TestWordsOfStrangers(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if day != today {
			return lines
		}
		return append(lines, line("T_x", "rent\r\n\x1b[2J\x000 exceptions", provider.LinePayout, -700, 7, today+"T13:00:00Z"),
			line("T_\r\ny", "", provider.LineOther, -100, 0, today+"T13:00:00Z"))
	})
	report := r.close(today) // in both forms, verified
	seen := map[string]bool{}
	for _, i := range report.Items {
		seen[i.Reference], seen[i.ProviderID] = true, true
	}
	if !seen["rent␍␊␛[2J␀0 exceptions"] || !seen["T_␍␊y"] {
		t.Errorf("%+v", report.Items)
	}
	if n := r.Count("SELECT count(*) FROM recon_findings WHERE concat(reference, expected, found) ~ '[\\x01-\\x1f\\x7f]'"); n != 0 {
		t.Errorf("%d findings have control characters", n)
	}
}

// TestReportsWithLineEndsVerify: a reason from before they were refused stands in a signed report, which can be read all the same.
func TestReportsWithLineEndsVerify(t *testing.T) {
	t.Parallel()
	r := expense(t)
	words := suspense.Words{Finding: r.left().Finding, To: "fees", Reason: "the tariff\r\nof 2025", Evidence: "invoice\r\n2025-01"}
	for _, actor := range []string{"user:ada", "user:ben"} {
		if _, err := r.decide(actor, words); err != nil {
			t.Fatal(err)
		}
	}
	r.Clock().Advance(24 * time.Hour)
	report := r.close(tomorrow)
	if n := len(report.Items); n != 1 || !strings.Contains(report.Items[0].Expected+report.Items[0].Found, "the tariff\r\nof 2025") {
		t.Errorf("%+v", report.Items)
	}
}

// TestReasonsAreOneLine: what stands in a signed report has no line ends and nothing that a terminal obeys.
func TestReasonsAreOneLine(t *testing.T) {
	t.Parallel()
	ask := map[string]func(words string) error{
		"resolve, reason": func(w string) error {
			return protovalidate.Validate(&payoutsv1.ResolveFindingRequest{Tenant: payoutstest.Tenant, Id: "0190b2a0-0000-7000-8000-000000000000", To: "fees", Reason: w, Evidence: "invoice 7"})
		},
		"resolve, evidence": func(w string) error {
			return protovalidate.Validate(&payoutsv1.ResolveFindingRequest{Tenant: payoutstest.Tenant, Id: "0190b2a0-0000-7000-8000-000000000000", To: "fees", Reason: "tariff", Evidence: w})
		},
		"close without": func(w string) error {
			return protovalidate.Validate(&payoutsv1.CloseWithoutStatementRequest{Tenant: payoutstest.Tenant, LocalDate: today, Provider: "wave", Reason: w})
		},
	}
	for name, with := range ask {
		if err := with("ticket 4711: Müller's, 日本 – 5 % «rien»"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, bad := range []string{"ticket\r\n4711", "ticket 4711\n", "ticket \x1b[2J", "ticket\x00 4711", "ticket\t4711", "ticket\u20284711", "ticket\u009b4711"} {
			if err := with(bad); err == nil || !strings.Contains(err.Error(), "on one line") {
				t.Errorf("%s: %q: %v", name, bad, err)
			}
		}
	}
}
