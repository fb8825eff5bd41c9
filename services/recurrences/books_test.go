package recurrences

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// differing lists the accounts that differ from the facts: "fees 297/0" holds 0 where 297 are expected. Whatever the facts
// expect has a source.
func differing(t *testing.T, e *recurrencestest.Env) (accounts []string) {
	t.Helper()
	all, postings, err := ledger.Verify(t.Context(), e.Pool, recurrencestest.Tenant, 1000)
	if err != nil || postings == 0 {
		t.Fatalf("%d postings, %v", postings, err)
	}
	for _, d := range all {
		accounts = append(accounts, fmt.Sprintf("%s %d/%d", d.Account, d.Expected, d.Found))
		if kind, _, _ := strings.Cut(d.Account, ":"); d.Expected != 0 && sources()[kind] == "" {
			t.Errorf("nobody says what %s is computed from", d.Account)
		}
	}
	return accounts
}

// TestTheBooksNameWhatDiffers charges a morning and then changes one fact after the other behind the books' back.
func TestTheBooksNameWhatDiffers(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	for i, token := range []string{"tok_ok_1", "tok_ok_2", "tok_soft_1", "tok_hard_1", "tok_timeout_paid_1"} {
		e.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", token)
	}
	e.Morning("2025-10-30")
	e.LookUp(10 * time.Second)
	if got := differing(t, e); len(got) > 0 {
		t.Fatalf("nothing was changed, yet: %v", got)
	}
	const one = "charge_id = (SELECT min(charge_id::text)::uuid FROM charges WHERE state = 'succeeded')"
	for name, tt := range map[string]struct {
		change, undo string
		want         []string
	}{
		"a charge that did not succeed": {
			"UPDATE charges SET state = 'cancelled', provider_code = 'was' WHERE " + one, "UPDATE charges SET state = 'succeeded', provider_code = '' WHERE provider_code = 'was'",
			[]string{"seller_payable:seller-1 -9980/-14970"},
		},
		"another seller's": {
			"UPDATE charges SET seller_id = 'seller-9' WHERE " + one, "UPDATE charges SET seller_id = 'seller-1'",
			[]string{"seller_payable:seller-1 -9980/-14970", "seller_payable:seller-9 -4990/0"},
		},
		"a fee that is not booked": {
			"UPDATE attempts SET fee = 99 WHERE state = 'succeeded'", "UPDATE attempts SET fee = NULL",
			[]string{"fees 297/0", "gateway_receivable:cielo 14673/14970"},
		},
		"a contradiction that is not booked": {
			`INSERT INTO recon_findings SELECT gen_random_uuid(), 'wallclub', 'cielo', charge_id, 1, 'ref', 'succeeded_after_failed', 'failed', 'SUCCEEDED', 4990, 'BRL', now()
				FROM charges WHERE recurrence_id = 'rec-2'`, "DELETE FROM recon_findings",
			[]string{"gateway_receivable:cielo 19960/14970", "suspense -4990/0"},
		},
	} {
		e.SQL(tt.change)
		if got := differing(t, e); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		e.SQL(tt.undo)
		if got := differing(t, e); len(got) > 0 {
			t.Fatalf("%s, undone: %v", name, got)
		}
	}
}

// TestTheBooksLookAtWhatWasTakenBack: what the books do not say of a refund or a dispute is named, on each account.
func TestTheBooksLookAtWhatWasTakenBack(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	e.Morning("2025-10-30")
	for set, want := range map[string][]string{
		"refunded = 1000":                        {"gateway_receivable:cielo 3990/4990", "seller_payable:seller-1 -3990/-4990"},
		"refunded = 6000":                        {"gateway_receivable:cielo -1010/4990", "seller_payable:seller-1 0/-4990", "suspense 1010/0"},
		"disputed = 4990":                        {"chargebacks 4990/0", "gateway_receivable:cielo 0/4990"},
		"disputed = 90, charged_back = 90":       {"gateway_receivable:cielo 4900/4990", "seller_payable:seller-1 -4900/-4990"},
		"refunded = 1000, disputed = 4990":       {"chargebacks 3990/0", "gateway_receivable:cielo 0/4990", "seller_payable:seller-1 -3990/-4990"},
		"refunded = 0, disputed = 0, fee = NULL": nil,
	} {
		e.SQL("UPDATE charges SET refunded = 0, disputed = 0, charged_back = 0")
		e.SQL("UPDATE charges SET " + set)
		if diff := cmp.Diff(want, differing(t, e)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", set, diff)
		}
	}
}
