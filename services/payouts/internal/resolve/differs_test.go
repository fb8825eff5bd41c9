package resolve_test

import (
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// differing is what a provider has under our reference, of another amount or for somebody else.
func differing(result provider.Result) map[string]provider.Found {
	other := money.Amount{Minor: 42_000, Currency: "XOF"}
	return map[string]provider.Found{
		"amount_differs":      {Exists: true, Result: result, Amount: &other},
		"destination_differs": {Exists: true, Result: result, Destination: sending.Phone(77)},
	}
}

// inDispute has one payout whose send was answered by nothing, and of which the provider tells that since.
func inDispute(t *testing.T, code string, f provider.Found) (*desk, *script) {
	t.Helper()
	d, s := scripted(t, provider.Result{Class: provider.Ambiguous, Code: "timeout"})
	s.lookup = f
	d.later(2)
	if got := d.One(); got != "manual_review/"+code {
		t.Fatalf("the payout is %s", got)
	}
	return d, s
}

// What failed there moved nothing, whatever sum and payee the provider has noted: two people may say so, and it is paid once, whatever is heard of
// the first attempt later. What differed stays on record.
func TestWhatDiffersAndFailedWasNotPaid(t *testing.T) {
	t.Parallel()
	for code, f := range differing(provider.Result{Class: provider.RejectedFinal, Code: "failed"}) {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			d, s := inDispute(t, code, f)
			d.mustDecide("ada", notPaid, false)
			_, err := d.decide("bob", notPaid)
			d.mustRefuse(err, "lookup_outstanding")
			d.Pass(d.sender)
			d.mustDecide("bob", notPaid, true)
			if got := d.One(); got != "failed/resolved_not_paid" {
				t.Errorf("it is %s", got)
			}
			if n := d.Count("SELECT count(*) FROM recon_findings WHERE code = $1 AND found LIKE 'failed%'", code); n != 1 {
				t.Errorf("%d findings say what the provider has", n)
			}
			d.hint() // a webhook that comes late says nothing new: the failure stands, and its payments stay free
			d.Pass(d.sender)
			if n := d.Count("SELECT count(*) FROM payouts WHERE contradicted"); n != 0 {
				t.Error("what has failed on both sides is contradicted")
			}
			s.submit = provider.Result{Class: provider.Succeeded}
			if err := d.single(d.Retry); err != nil {
				t.Fatal(err)
			}
			d.Commands(d.sender)
			d.later(5)
			if got := d.One(); got != "succeeded" || len(s.sent) != 2 || s.sent[0] == s.sent[1] {
				t.Errorf("tried again it is %s, sent as %v", got, s.sent)
			}
			if b := d.Balances(); b["suspense"] != 0 || b["float:orange"] != -24_000 {
				t.Errorf("the books have %v", b)
			}
		})
	}
}

// Once it turns out that it was paid after all, nothing sends it again, whatever failed before.
func TestWhatDiffersAndFailedAndWasPaidAfterAll(t *testing.T) {
	t.Parallel()
	for code, f := range differing(provider.Result{Class: provider.RejectedFinal, Code: "failed"}) {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			d, s := inDispute(t, code, f)
			d.mustDecide("ada", notPaid, false)
			d.Pass(d.sender)
			d.mustDecide("bob", notPaid, true)
			f.Result = provider.Result{Class: provider.Succeeded}
			s.lookup = f
			d.hint()
			d.Pass(d.sender)
			d.mustRefuse(d.single(d.Retry), "contradicted")
			d.never(s)
		})
	}
}

// What was paid over another sum cannot be called unpaid. Called paid, the books have what left the float: the payee's debt is settled by what it
// was, and the rest is in suspense until two people say whose it is.
func TestAnotherAmountThatWasPaidIsBookedAsWhatMoved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		there    money.Amount
		suspense int64
	}{
		"more":        {money.Amount{Minor: 42_000, Currency: "XOF"}, 18_000},
		"less":        {money.Amount{Minor: 20_000, Currency: "XOF"}, -4_000},
		"other money": {money.Amount{Minor: 42_000, Currency: "GNF"}, 0}, // nobody can tell what of ours that was: its statement does
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _ := inDispute(t, "amount_differs", provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}, Amount: &c.there})
			d.mustDecide("ada", notPaid, false)
			d.Pass(d.sender)
			_, err := d.decide("bob", notPaid)
			d.mustRefuse(err, "lookup_contradicts")
			d.mustDecide("ada", isPaid, false)
			d.Pass(d.sender)
			d.mustDecide("bob", isPaid, true)
			if got := d.One(); got != "succeeded/resolved_paid" {
				t.Errorf("it is %s", got)
			}
			b := d.Balances()
			if b["suspense"] != c.suspense || b["float:orange"] != -24_000-c.suspense || b["in_transit:orange"] != 0 || b["payable:"+sending.Payee(1)] != 0 {
				t.Errorf("the books have %v", b)
			}
			want := int64(1)
			if c.suspense == 0 {
				want = 0
			}
			if n := d.Count("SELECT count(*) FROM recon_findings WHERE code = 'another_amount' AND difference = $1", c.suspense); n != want {
				t.Errorf("%d findings of %d", n, c.suspense)
			}
			if n := d.Count("SELECT count(*) FROM suspense_groups WHERE amount = $1", c.suspense); n != want {
				t.Errorf("%d are listed in suspense", n)
			}
			if n := d.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM ledger_facts WHERE account = 'float:orange'"); n != b["float:orange"] {
				t.Errorf("by the tables the float is %d, by the books %d", n, b["float:orange"])
			}
			d.CheckEvents()
		})
	}
}

// Called paid though it went to somebody else, it is not tied to that for ever: when the provider says that it came back, its payments are free.
func TestWhatWentToSomebodyElseComesBack(t *testing.T) {
	t.Parallel()
	for code, f := range differing(provider.Result{Class: provider.Succeeded}) {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			d, s := inDispute(t, code, f)
			d.mustDecide("ada", isPaid, false)
			d.Pass(d.sender)
			d.mustDecide("bob", isPaid, true)
			f.Result = provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}
			s.lookup = f
			d.hint()
			d.Pass(d.sender)
			if got := d.One(); got != "reversed/late_return" {
				t.Fatalf("it is %s", got)
			}
			s.submit, s.lookup = provider.Result{Class: provider.Succeeded}, provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}
			d.Finish()
			d.Dispatch(d.sender, d.Run(payoutstest.Daily(nextEvening)))
			if got := d.One(); got != "succeeded" || len(s.sent) != 2 {
				t.Errorf("the next evening it is %s, sent as %v", got, s.sent)
			}
		})
	}
}

// A provider that was asked to take back what went to somebody else is asked whether it has, as of any other.
func TestTakingBackWhatDiffersIsFollowed(t *testing.T) {
	t.Parallel()
	d, s := inDispute(t, "destination_differs", differing(provider.Result{Class: provider.Succeeded})["destination_differs"])
	d.mustDecide("ada", isPaid, false)
	d.Pass(d.sender)
	d.mustDecide("bob", isPaid, true)
	d.SQL("UPDATE attempts SET take_back_at = $1, next_lookup_at = $1", d.Env.Clock.Now())
	d.later(2)
	if n := d.Count("SELECT count(*) FROM attempts WHERE next_lookup_at IS NOT NULL"); n != 1 {
		t.Fatal("after one answer nobody asks any more")
	}
	s.lookup.Result = provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}
	d.Env.Clock.Advance(24 * time.Hour)
	d.Pass(d.sender)
	if got := d.One(); got != "reversed/late_return" {
		t.Errorf("it is %s", got)
	}
}
