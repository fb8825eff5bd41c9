package resolve_test

import (
	"errors"
	"testing"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// A payout that came back by a lookup, and that the provider then calls paid, or under way, is a contradiction: people are told, what it moved is in
// suspense, and nothing pays its payments again. When it comes back after all, the float has it once.
func TestWhatCameBackAndIsPaidAfterAllIsAContradiction(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then  provider.Result
		code  string
		float int64
	}{
		"paid":      {paidThere, "paid_after_return", -24_000},
		"under way": {provider.Result{Class: provider.Accepted}, "pending_after_closed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := scripted(t, provider.Result{Class: provider.Succeeded})
			d.says(s, of(24_000, returnedThere))
			if got := d.One(); got != "reversed/late_return" {
				t.Fatal(got)
			}
			d.books(0, 0)
			d.says(s, of(24_000, c.then))
			d.books(c.float, -c.float)
			d.dayLater()
			if n := d.Count("SELECT count(*) FROM recon_findings WHERE code = $1 AND told", c.code); n != 1 {
				t.Errorf("%d findings %s", n, c.code)
			}
			if n := d.Count("SELECT count(*) FROM payouts WHERE contradicted"); n != 1 {
				t.Errorf("%d payouts are marked", n)
			}
			d.Finish()
			d.Dispatch(d.sender, d.Run(payoutstest.Daily(nextEvening)))
			if len(s.sent) != 1 {
				t.Errorf("its payments were sent again: %v, %s", s.sent, d.One())
			}
			for _, r := range []provider.Result{returnedThere, failedThere} { // and nothing more, in whatever words
				d.says(s, of(24_000, r))
				d.books(0, 0)
			}
			d.verified()
		})
	}
}

// verified holds the books to what the tables say.
func (d *desk) verified() {
	d.t.Helper()
	all, _, err := ledger.Verify(d.t.Context(), d.Pool, payoutstest.Tenant, 10)
	if err != nil || len(all) > 0 {
		d.t.Errorf("ledger verify: %v %v", all, err)
	}
}

// Whatever the order in which a provider calls the same thing refused and taken back: the money is on the float once.
func TestWhatIsDeniedAndCameBackIsOnTheFloatOnce(t *testing.T) {
	t.Parallel()
	for name, then := range map[string][]provider.Result{
		"denied, then taken back": {failedThere, returnedThere},
		"taken back, then denied": {returnedThere, failedThere},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := scripted(t, provider.Result{Class: provider.Succeeded})
			for _, r := range then {
				d.says(s, of(24_000, r))
			}
			if got := d.One(); got != "reversed/late_return" {
				t.Error(got)
			}
			d.books(0, 0)
			d.verified()
		})
	}
}

// A transfer that came back and cost another fee in the end than was told when it was paid: the books say so.
func TestWhatCameBackAndCostAnotherFee(t *testing.T) {
	t.Parallel()
	fee := func(minor int64) *money.Amount { return &money.Amount{Minor: minor, Currency: "XOF"} }
	for name, c := range map[string]struct {
		before *money.Amount
		after  int64
	}{"more": {fee(10), 25}, "more than nothing": {nil, 25}, "less": {fee(10), 4}, "nothing": {fee(10), 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := scripted(t, provider.Result{Class: provider.Succeeded, Fee: c.before})
			back := returnedThere
			back.Fee = fee(c.after)
			d.says(s, of(24_000, back))
			if b := d.Balances(); b["fees"] != c.after || b["float:orange"] != -c.after {
				t.Errorf("the books have %v, want %d of fees", b, c.after)
			}
			d.verified()
		})
	}
}

// The provider told another amount once, and what was asked for since: what people call paid is what it told last.
func TestWhatIsCalledPaidIsWhatWasToldLastAlsoWhenThatIsOurs(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]bool{"answers between the two": true, "does not answer": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Two transfers under one reference, of which one is refused then (wave: found() adds up what is live); or the provider has put its record right.
			pending := provider.Result{Class: provider.Accepted}
			d, s := inDispute(t, "amount_differs", of(48_000, pending))
			s.lookup = of(24_000, pending)
			d.dayLater()
			d.mustDecide("ada", isPaid, false)
			if !answers {
				s.err = errors.New("503")
			}
			d.Pass(d.sender)
			d.mustDecide("bob", isPaid, true)
			d.books(-24_000, 0)
			d.says(s, of(24_000, paidThere)) // and nothing that follows puts it right
			d.books(-24_000, 0)
			d.dayLater()
			d.books(-24_000, 0)
		})
	}
}
