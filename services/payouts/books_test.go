package payouts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// differing lists the kinds of the accounts that differ from the facts, and by how much the facts say more. Whatever the facts
// expect has a source.
func differing(t *testing.T, e *sending.Env) (accounts []string) {
	t.Helper()
	all, postings, err := ledger.Verify(t.Context(), e.Pool, payoutstest.Tenant, 1000)
	if err != nil || postings == 0 {
		t.Fatalf("%d postings, %v", postings, err)
	}
	for _, d := range all {
		kind, _, _ := strings.Cut(d.Account, ":")
		accounts = append(accounts, fmt.Sprintf("%s %+d", kind, d.Expected-d.Found))
		if d.Expected != 0 && sources()[kind] == "" {
			t.Errorf("nobody says what %s is computed from", d.Account)
		}
	}
	slices.Sort(accounts)
	return accounts
}

// TestTheBooksNameWhatDiffers pays an evening and then changes one fact after the other behind the books' back.
func TestTheBooksNameWhatDiffers(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Send(e.Sender(), 3)
	if got := differing(t, e); len(got) > 0 {
		t.Fatalf("nothing was changed, yet: %v", got)
	}
	for name, tt := range map[string]struct {
		change, undo string
		accounts     []string
	}{
		"a payment that is not completed": {
			"UPDATE payments SET status = 'failed' WHERE payment_id = (SELECT min(payment_id) FROM payments)",
			"UPDATE payments SET status = 'completed'",
			[]string{"collections -30000", "commission +6000", "payable +24000"},
		},
		"a commission": {
			"UPDATE payments SET commission = commission + 1, net = net - 1", "UPDATE payments SET commission = commission - 1, net = net + 1",
			[]string{"commission -3", "payable +1", "payable +1", "payable +1"},
		},
		"a payment that was paid elsewhere": {
			"UPDATE payments SET paid_reference = 'bank-1' WHERE payment_id = (SELECT min(payment_id) FROM payments)",
			"UPDATE payments SET paid_reference = ''",
			[]string{"payable +24000", "treasury -24000"},
		},
		"a payout that did not succeed": {
			"UPDATE payouts SET state = 'cancelled' WHERE payout_id = (SELECT payout_id FROM payouts ORDER BY payout_id LIMIT 1)",
			"UPDATE payouts SET state = 'succeeded'",
			[]string{"payable -24000"},
		},
		"a payout that came back": {
			"UPDATE payouts SET state = 'reversed' WHERE payout_id = (SELECT payout_id FROM payouts ORDER BY payout_id LIMIT 1)",
			"UPDATE payouts SET state = 'succeeded'",
			[]string{"float +24000", "payable -24000"},
		},
		"an attempt that is still under way": {
			"UPDATE attempts SET state = 'processing', closed_at = NULL, next_lookup_at = now(), opened_at = now() WHERE subject_id = (SELECT subject_id FROM attempts ORDER BY subject_id LIMIT 1)",
			"UPDATE attempts SET state = 'succeeded', closed_at = now(), next_lookup_at = NULL",
			[]string{"float +24000", "in_transit -24000"},
		},
		"an attempt of another amount": {
			"UPDATE attempts SET amount = amount + 5 WHERE subject_id = (SELECT subject_id FROM attempts ORDER BY subject_id LIMIT 1)",
			"UPDATE attempts a SET amount = p.net FROM payouts p WHERE p.payout_id = a.subject_id",
			[]string{"float -5"},
		},
		"a fee that was not booked": {"UPDATE attempts SET fee = 7", "UPDATE attempts SET fee = NULL", []string{"fees +21", "float -21"}},
		"a contradiction that is not booked": {
			`INSERT INTO recon_findings SELECT gen_random_uuid(), tenant, provider, subject_id, 1, 'ref', 'succeeded_after_failed', 'failed', 'SUCCEEDED', 4990, currency, now()
				FROM attempts ORDER BY subject_id LIMIT 1`, "DELETE FROM recon_findings",
			[]string{"float -4990", "suspense +4990"},
		},
		"a posting out of nowhere": {
			`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
				VALUES ('lebenis', 'theft', 'x', 0, 'petty_cash', 'treasury', 'XOF', 9, now())`,
			`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
				VALUES ('lebenis', 'theft', 'x', 1, 'treasury', 'petty_cash', 'XOF', 9, now())`,
			[]string{"petty_cash -9", "treasury +9"},
		},
	} {
		e.SQL(tt.change)
		if diff := cmp.Diff(tt.accounts, differing(t, e)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		e.SQL(tt.undo)
		if got := differing(t, e); len(got) > 0 {
			t.Fatalf("%s was undone, yet: %v", name, got)
		}
	}
}
