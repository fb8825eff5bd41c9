package admin

import (
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// What helps against a limit, or a wallet that sleeps, is not to confirm whose it is.
func TestTheNextStepFitsTheProvidersNo(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"limit_exceeded": "limit raised", "payee_inactive": "activated", "payee_not_found": "agogo payees confirm drv-1", "name_differs": "agogo payees confirm drv-1",
	} {
		state := "refused"
		if code == "name_differs" {
			state = "mismatch"
		}
		got := nextStep(&payoutsv1.Payee{Id: "drv-1", State: "active", RecipientState: state, RecipientCode: code})
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", code, got, want)
		}
	}
	larger := &payoutsv1.Payee{Id: "drv-1", State: "active", RecipientState: "verified", RecipientCode: "limit_exceeded"}
	if got := nextStep(larger); !strings.Contains(got, "limit raised") {
		t.Errorf("verified for less: %q", got)
	}
	larger.RecipientCode = ""
	if got := nextStep(larger); got != "" {
		t.Errorf("verified: %q", got)
	}
}
