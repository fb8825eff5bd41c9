package closing_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// TestHistoryIsNotReadAgain: once two closes lie behind, what was posted before them is not looked at any more. It is not even there.
func TestHistoryIsNotReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	const old = 20_000
	r.SQL(`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
		SELECT 'lebenis', 'float.topped_up', 'wave/old-' || n, 0, 'float:wave', 'treasury', 'XOF', 1, '2025-01-20T12:00:00Z' FROM generate_series(1, $1::integer) n`, old)
	first := r.close(today).Head
	if first.Opening != old || first.Late != 0 || first.Closing != old+topped-2*(net+fee) {
		t.Fatalf("%+v", first)
	}
	for n := 1; n <= 2; n++ {
		r.topUp("of-"+dayAfter(today, n), 5)
		r.Clock().Advance(24 * time.Hour)
		if h := r.close(dayAfter(today, n)).Head; h.Opening != first.Closing+int64(n-1)*5 || h.TopUps != 5 || h.Late != 0 {
			t.Fatalf("day %d: %+v", n, h)
		}
	}
	r.SQL("ALTER TABLE ledger_postings DISABLE TRIGGER ALL")
	r.SQL("DELETE FROM ledger_postings WHERE occurred_at < '2025-01-25'")
	r.topUp("of-the-third", 5)
	r.Clock().Advance(24 * time.Hour)
	if h := r.close(dayAfter(today, 3)).Head; h.Opening != first.Closing+10 || h.Late != 0 || h.Closing != first.Closing+15 {
		t.Errorf("history was read again: %+v", h)
	}
}

// TestWhatIsCommittedLateIsLate also when its number is smaller than others' that a close has seen, and two closes pass meanwhile.
func TestWhatIsCommittedLateIsLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	tx, err := r.Env.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	r.post(tx, "asleep", 300, r.Clock().Now().Add(-time.Hour))
	before := r.close(today).Head.Closing
	for n := 1; n <= 3; n++ {
		r.topUp("of-"+dayAfter(today, n), 5)
		r.Clock().Advance(24 * time.Hour)
		if h := r.close(dayAfter(today, n)).Head; h.Opening != before || h.Late != 0 {
			t.Fatalf("day %d: %+v", n, h)
		}
		before += 5
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := 4; n <= 7; n++ { // told once, and kept
		r.Clock().Advance(24 * time.Hour)
		want := int64(0)
		if n == 4 {
			want = 300
		}
		h := r.close(dayAfter(today, n)).Head
		if h.Late != want || h.Opening != before || h.Closing != before+want {
			t.Errorf("day %d: %+v", n, h)
		}
		before = h.Closing
	}
}

func (r *rig) post(tx pgx.Tx, reference string, amount int64, at time.Time) {
	r.t.Helper()
	err := ledger.Post(r.Ctx(), tx, ledger.Posting{
		Tenant: payoutstest.Tenant, Kind: "float.topped_up", Ref: "wave/" + reference, Debit: ledger.Float("wave"), Credit: ledger.Treasury,
		Amount: money.Amount{Minor: amount, Currency: "XOF"}, OccurredAt: at,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}
