package disburse_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/services/payouts/internal/disburse"
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// What moves a claimed payout reads it no second time, so a claim reads what the store reads: a field that it forgot would be
// missing from the next event. Each field has a value here, so that none is forgotten by both.
func TestAClaimReadsPayoutsWhole(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(2)
	e.SQL(`UPDATE payouts SET page = 3, reason_class = 'NOT_SENT', reason_scope = 'provider', reason_code = 'busy', provider_code = '17', fee = 25,
		attempt = 4, counted = 2, reference = 'ref-4', retry_at = '2025-01-01', approvals_needed = 2, approvals = 1, approval_expires_at = '2025-01-02'`)
	tx, err := e.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	rows, err := db.New(tx).Claim(t.Context(), db.ClaimParams{RunID: run, Page: 3, Provider: "orange", Now: e.Clock.Now(), Resting: []uuid.UUID{}, ToSend: true, PageLimit: 10})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d payouts claimed, %v", len(rows), err)
	}
	for _, r := range rows {
		stored, err := e.Store.Get(t.Context(), tx, r.PayoutID)
		if err != nil || len(stored) != 1 {
			t.Fatal(stored, err)
		}
		got := disburse.FromRow(r)
		if diff := cmp.Diff(stored[0], got); diff != "" {
			t.Errorf("(-stored +claimed)\n%s", diff)
		}
		v := reflect.ValueOf(got)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name // a row has no previous state, and one that is contradicted is not claimed
			if v.Field(i).IsZero() && !slices.Contains([]string{"Previous", "Contradicted"}, name) {
				t.Errorf("%s has no value here", name)
			}
		}
	}
}
