package closing_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
	"github.com/agogopay/agogo/simulator"
)

// TestAnotherAmountIsInSuspenseOnce whether a lookup or a statement tells of it first, and none of it when it comes back; the same where it was
// called not paid before.
func TestAnotherAmountIsInSuspenseOnce(t *testing.T) {
	t.Parallel()
	const there = 25_000
	paid, failed := provider.Result{Class: provider.Succeeded}, provider.Result{Class: provider.RejectedFinal, Code: "failed"}
	returned := provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}
	for name, c := range map[string]struct {
		first    provider.Result // what lookups say before two people decide
		decided  bool            // as paid
		lookups  bool            // tell of it before the statement does
		suspense int64
	}{
		"called paid, looked up first":     {paid, true, true, there - net},
		"called paid, closed first":        {paid, true, false, there - net},
		"called not paid, looked up first": {failed, false, true, there + fee},
		"called not paid, closed first":    {failed, false, false, there + fee},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := faulty(t, simulator.Rule{Fault: simulator.PendingForever})
			r.foreign(there, c.first)
			r.agreed(c.decided)
			r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -there, fee, today+"T13:00:00Z"))
			for _, looks := range []bool{c.lookups, !c.lookups} {
				if looks {
					r.foreign(there, paid)
				} else {
					r.close(today)
				}
				r.verifyBooks()
			}
			tomorrowIs := func(want int64) {
				t.Helper()
				r.Clock().Advance(24 * time.Hour)
				if s := r.balances("suspense"); s != want {
					t.Errorf("%d are in suspense, want %d", s, want)
				}
				r.verifyBooks()
			}
			if c.decided {
				tomorrowIs(c.suspense + fee) // the statement tells of a fee that no lookup did
			} else {
				tomorrowIs(c.suspense)
			}
			r.foreign(there, returned)
			r.add(tomorrow, line("T_back", r.reference(2), provider.LineReversal, there, -fee, tomorrow+"T13:00:00Z"))
			r.close(tomorrow)
			tomorrowIs(0)
			if d := r.close(dayAfter(today, 2)).Head.Difference; d.Minor != 0 {
				t.Errorf("in the end: a difference of %d", d.Minor)
			}
			r.CheckEvents()
		})
	}
}

// foreign is a lookup that tells of another amount under the payout's reference.
func (r *rig) foreign(minor int64, result provider.Result) {
	r.t.Helper()
	a := r.attempt(2)
	f := provider.Found{Exists: true, Result: result, Amount: &money.Amount{Minor: minor, Currency: "XOF"}}
	u := attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decide(a, attempt.Answer{Found: f}, r.Connector.Policy, r.Clock().Now())}
	r.InTx(func(tx pgx.Tx) error {
		_, err := r.Outcomes.Decided(r.Ctx(), tx, []attempt.Update{u})
		return err
	})
}

// agreed is what two people agreed on about it.
func (r *rig) agreed(paid bool) {
	r.t.Helper()
	a := r.attempt(2)
	r.InTx(func(tx pgx.Tx) error {
		return r.Outcomes.Resolved(r.Ctx(), tx, a, review.Words{Subject: r.id(2), Attempt: 1, Paid: paid, Evidence: "x"})
	})
}

// TestAnotherAmountThatIsOnTheFloatIsNotUndone: people have said that the provider gave the rest back, or moved it too, before all comes back.
func TestAnotherAmountThatIsOnTheFloatIsNotUndone(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]int64{"more": 25_000, "less": 20_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := faulty(t, simulator.Rule{Fault: simulator.PendingForever})
			r.Connector.Statement = nil
			before := r.balances("float:wave")
			r.foreign(there, provider.Result{Class: provider.Succeeded})
			r.agreed(true)
			r.settle(suspense.Words{Finding: r.left().Finding, To: "float"})
			r.foreign(there, provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed})
			if f, s := r.balances("float:wave"), r.balances("suspense"); f != before || s != 0 {
				t.Errorf("the float is %d, before %d, and %d are in suspense", f, before, s)
			}
			r.verifyBooks()
			r.CheckEvents()
		})
	}
}
