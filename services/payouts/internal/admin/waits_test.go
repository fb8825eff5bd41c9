package admin_test

import (
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// TestWhatIsApprovedSaysWhatItWaitsFor: its own row tells nothing of what stands before its batch, its tenant or its provider.
func TestWhatIsApprovedSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	const state = "INSERT INTO provider_states (tenant, provider, kind, changed_at, state, rest_until, rest_code) VALUES ('lebenis', 'orange', 'orange_omr', now(), "
	const attempt = `INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, submitted_at, next_lookup_at)
		SELECT payout_id, 1, tenant, provider, 'r', net, currency, destination, 'not_sent', now(), now() FROM payouts`
	const question = `INSERT INTO prechecks (subject_id, epoch, tenant, provider, number, amount, currency, destination, run_id, page, sent_until, state, next_at)
		SELECT payout_id, 1, tenant, provider, 1, net, currency, destination, run_id, page, now(), 'asking', now() FROM payouts`
	for want, set := range map[string][]string{
		"":                              nil,
		"batch_paused":                  {"UPDATE batches SET control = 'paused'", "UPDATE outflows SET stopped = true"},
		"run_cancelled":                 {"UPDATE batches SET control = 'cancelled'"},
		"batch_approval":                {"UPDATE batches SET approvals_needed = 1"},
		"tenant_stop":                   {"UPDATE outflows SET stopped = true"},
		"provider_stopped":              {state + "'stopped', '2000-01-01', '')"},
		"insufficient_float":            {state + "'open', '2025-01-25T00:59:05Z', 'balance_short')"},
		"provider_resting until 1h0m0s": {state + "'degraded', '2025-01-25T00:59:05Z', 'timeout')"},
		"retry_later until 1h0m0s":      {"UPDATE payouts SET retry_at = '2025-01-25T00:59:05Z'"},
		"retry_later until 2h0m0s":      {"UPDATE payouts SET state = 'failed', retry_at = '2025-01-25T01:59:05Z'"},
		"contradicted":                  {"UPDATE payouts SET contradicted = true", "UPDATE batches SET control = 'paused'"},
		"asked_since_restore":           {question},
		"asked_about":                   {attempt, question},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
			e.Run(payoutstest.Daily("2025-01-24T23:59:00Z"))
			for _, q := range set {
				e.SQL(q)
			}
			list, err := server(e).ListPayouts(e.Ctx(), &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant})
			if err != nil || len(list.GetItems()) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			p := list.GetItems()[0]
			got := p.GetWaitsFor()
			if p.GetWaitsUntil() != nil {
				got += " until " + p.GetWaitsUntil().AsTime().Sub(e.Clock.Now()).String()
			}
			if got != want {
				t.Errorf("%s, it waits for %q, want %q", p.GetState(), got, want)
			}
		})
	}
}
