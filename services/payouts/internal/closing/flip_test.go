package closing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// lookedUp has a lookup say this of the second payee's payout, over what was asked for.
func (r *rig) lookedUp(res provider.Result) {
	r.t.Helper()
	a := r.attempt(2)
	f := provider.Found{Exists: true, Result: res, Amount: &money.Amount{Minor: net, Currency: "XOF"}}
	u := attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decide(a, attempt.Answer{Found: f}, r.Connector.Policy, r.Clock().Now())}
	r.InTx(func(tx pgx.Tx) error {
		_, err := r.Outcomes.Decided(r.Ctx(), tx, []attempt.Update{u})
		return err
	})
}

// backAgain is the answer that all of it came back, and the fee.
func backAgain() provider.Result {
	return provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed, Fee: &money.Amount{Currency: "XOF"}}
}

// What came back by a lookup and is paid by the next one is paid by the statement, too: the float is the provider's, and the difference in suspense, until
// it shows that it came back.
func TestWhatCameBackAndIsPaidAfterAllOverItsStatement(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.lookedUp(backAgain())
	r.lookedUp(provider.Result{Class: provider.Succeeded})
	for n := range 3 {
		r.close(dayAfter(today, n))
		r.verifyBooks()
		r.Clock().Advance(24 * time.Hour)
	}
	if f, s := r.balances("float:wave"), r.balances("suspense"); f != topped-2*(net+fee) || s != net+fee {
		t.Errorf("the float by the books is %d (%d in suspense), the provider's is %d", f, s, topped-2*(net+fee))
	}
	if n := r.Count("SELECT count(*) FROM payouts WHERE contradicted"); n != 1 {
		t.Error("not marked: its payments are paid again")
	}
	day := dayAfter(today, 3)
	r.add(day, line("T_back", r.reference(2), provider.LineReversal, net, -fee, day+"T10:00:00Z"))
	r.lookedUp(backAgain())
	r.close(day)
	r.verifyBooks()
	if f, s := r.balances("float:wave"), r.balances("suspense"); f != topped-net-fee || s != 0 {
		t.Errorf("it came back: the float by the books is %d, %d in suspense", f, s)
	}
}

// Paid on one day, and taken back after midnight, before that day is closed: nothing was paid twice, and the signed report does not say so.
func TestTakenBackAfterMidnightIsNotPaidTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.add(tomorrow, line("T_back", r.reference(2), provider.LineReversal, net, -fee, tomorrow+"T00:01:00Z"))
	r.lookedUp(backAgain())
	for n := range 2 {
		rep := r.close(dayAfter(today, n))
		for _, i := range items(rep) {
			if strings.HasPrefix(i, "duplicate/") {
				t.Errorf("the report of %s has %s", dayAfter(today, n), i)
			}
		}
		r.Clock().Advance(24 * time.Hour)
	}
}
