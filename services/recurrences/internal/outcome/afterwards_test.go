package outcome_test

import (
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// What becomes of a charge after its success is for people (ADR 7): a refund is a contradiction with its amount in suspense,
// a dispute moves nothing, and neither has the charge sent again or makes it anything but succeeded.
func TestWhatComesAfterASuccessIsForPeople(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said     provider.Result
		findings int64
	}{
		"refunded": {provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: charge.CodeRefunded}, 1},
		"disputed": {provider.Result{Class: provider.Succeeded, Code: "chargeback", Alarm: "the card holder disputes the charge"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			e.Morning("2025-10-30")
			before := e.Balances()
			paid := e.Charge("rec-1", "2025-10-30")
			e.Gateway.Finish(paid.Reference, c.said)
			for range 2 { // once, however often it is told
				e.Webhook(paid.Reference)
				e.LookUp(time.Second)
			}
			if got := e.Charge("rec-1", "2025-10-30"); got.State != charge.Succeeded || got.Version != paid.Version {
				t.Errorf("charge %s, version %d after %d", got.State, got.Version, paid.Version)
			}
			if n := e.Count("SELECT count(*) FROM recon_findings"); n != c.findings {
				t.Errorf("%d findings, want %d", n, c.findings)
			}
			after := e.Balances()
			if moved := before["gateway_receivable:cielo"] - after["gateway_receivable:cielo"]; moved != c.findings*4990 || after["suspense"] != moved {
				t.Errorf("the books: %v, before %v", after, before)
			}
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends", n)
			}
			e.CheckEvents()
		})
	}
}
