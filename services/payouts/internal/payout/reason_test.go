package payout_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Each cause of a hold concerns something: whom people see about it, and what counts toward pausing whom, follows from that.
func TestWhatAHoldConcerns(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		payout.CodeFloat: payout.ScopeFloat, payout.CodeTenantStop: payout.ScopeTenant, payout.CodeDailyCap: payout.ScopeTenant,
		payout.CodeProviderStopped: payout.ScopeProvider, payout.CodePayeePaused: payout.ScopePayee, payout.CodePayeeDailyCap: payout.ScopePayee,
		payout.CodeBatchPaused: payout.ScopeBatch, payout.CodeMaxPerPayout: payout.ScopePayment, payout.CodeAboveTier: payout.ScopePayment,
		payout.CodeApprovalExpired: payout.ScopePayment, payout.CodeRejected: payout.ScopePayment, payout.CodeBatchApproval: payout.ScopeBatch,
		payout.CodeByPerson: payout.ScopePayment, payout.CodeDestination: payout.ScopePayee, payout.CodeRestored: payout.ScopePayee,
		payout.CodeUnverified: payout.ScopePayee, payout.CodeMismatch: payout.ScopePayee, payout.CodeContradicted: payout.ScopePayment,
		payout.CodeRunCancelled: payout.ScopeBatch, "anything else": "",
	}
	got := map[string]string{}
	for code := range want {
		r := payout.HeldBy(code)
		if r.Code != code || r.Class != "" || r.ProviderCode != "" {
			t.Errorf("held by %s: %+v", code, r)
		}
		got[code] = r.Scope
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}
