package resolve_test

import (
	"errors"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// of is what a provider has under our reference over so much, where 24 000 were asked for.
func of(minor int64, r provider.Result) provider.Found {
	return provider.Found{Exists: true, Result: r, Amount: &money.Amount{Minor: minor, Currency: "XOF"}}
}

var (
	paidThere     = provider.Result{Class: provider.Succeeded}
	failedThere   = provider.Result{Class: provider.RejectedFinal, Code: "failed"}
	returnedThere = provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}
)

// calledPaid has one payout that two people have called paid over so much.
func calledPaid(t *testing.T, minor int64) (*desk, *script) {
	t.Helper()
	d, s := inDispute(t, "amount_differs", of(minor, paidThere))
	d.mustDecide("ada", isPaid, false)
	d.Pass(d.sender)
	d.mustDecide("bob", isPaid, true)
	return d, s
}

// calledNotPaid has one that failed over so much, and that two people have called not paid.
func calledNotPaid(t *testing.T, minor int64) (*desk, *script) {
	t.Helper()
	d, s := inDispute(t, "amount_differs", of(minor, failedThere))
	d.mustDecide("ada", notPaid, false)
	d.Pass(d.sender)
	d.mustDecide("bob", notPaid, true)
	return d, s
}

// says has the provider say something else, after a webhook, twice.
func (d *desk) says(s *script, f provider.Found) {
	d.t.Helper()
	s.lookup, s.err = f, nil
	for range 2 {
		d.hint()
		d.Pass(d.sender)
	}
}

// dayLater has the provider asked by the schedule.
func (d *desk) dayLater() {
	d.t.Helper()
	d.Env.Clock.Advance(25 * time.Hour)
	d.Pass(d.sender)
}

// books wants what is on the float and in suspense, by the postings and by the tables, and what is listed to be settled.
func (d *desk) books(float, suspense int64) {
	d.t.Helper()
	b := d.Balances()
	if b["float:orange"] != float || b["suspense"] != suspense {
		d.t.Errorf("%s: the books have %v, want %d on the float and %d in suspense", d.One(), b, float, suspense)
	}
	if n := d.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM ledger_facts WHERE account = 'float:orange'"); n != float {
		d.t.Errorf("by the tables the float is %d, want %d", n, float)
	}
	if n := d.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM suspense_groups"); n != suspense {
		d.t.Errorf("%d are listed in suspense, want %d", n, suspense)
	}
	d.CheckEvents()
}

// finding wants one that people were told.
func (d *desk) finding(code string, difference int64) {
	d.t.Helper()
	if n := d.Count("SELECT count(*) FROM recon_findings WHERE code = $1 AND difference = $2 AND told", code, difference); n != 1 {
		d.t.Errorf("%d findings of %s over %d", n, code, difference)
	}
	if n := d.Count("SELECT count(*) FROM outbox WHERE convert_from(payload, 'UTF8') LIKE '%' || $1 || '%' AND convert_from(payload, 'UTF8') LIKE '%recon_id%'", `"`+code+`"`); n != 1 {
		d.t.Errorf("%d events of %s", n, code)
	}
}

// What differs, was called not paid and turns out to be paid is booked as what the provider says has moved, and told.
func TestWhatDiffersAndWasPaidAfterAllIsBooked(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]int64{"more": 42_000, "less": 20_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := calledNotPaid(t, there)
			d.says(s, of(there, paidThere))
			d.books(-there, there)
			d.finding("paid_after_closed", 24_000)
			d.finding("another_amount", there-24_000)
			d.mustRefuse(d.single(d.Retry), "contradicted")
			d.says(s, of(there, returnedThere))
			d.books(0, 0)
			d.finding("returned_after_closed", -24_000)
			d.finding("another_amount_undone", 24_000-there)
		})
	}
	t.Run("to somebody else", func(t *testing.T) {
		t.Parallel()
		f := differing(failedThere)["destination_differs"]
		d, s := inDispute(t, "destination_differs", f)
		d.mustDecide("ada", notPaid, false)
		d.Pass(d.sender)
		d.mustDecide("bob", notPaid, true)
		f.Result = paidThere
		d.says(s, f)
		d.books(-24_000, 24_000)
		d.finding("paid_after_closed", 24_000)
	})
	t.Run("other money", func(t *testing.T) { // nobody can tell what of ours that was: its statement does
		t.Parallel()
		d, s := calledNotPaid(t, 42_000)
		d.says(s, provider.Found{Exists: true, Result: paidThere, Amount: &money.Amount{Minor: 42_000, Currency: "GNF"}})
		d.books(0, 0)
		d.finding("paid_after_closed", 0)
		d.mustRefuse(d.single(d.Retry), "contradicted")
	})
	t.Run("under way first", func(t *testing.T) {
		t.Parallel()
		d, s := calledNotPaid(t, 42_000)
		d.says(s, of(42_000, provider.Result{Class: provider.Accepted}))
		d.books(0, 0)
		d.finding("pending_after_closed", 0)
		s.lookup = of(42_000, paidThere) // and no webhook tells
		d.dayLater()
		d.books(-42_000, 42_000)
	})
}

// Who says paid says it of what the provider told last, also when it does not answer when it is asked once more.
func TestWhatIsCalledPaidIsWhatWasToldLast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		told  []provider.Found
		after provider.Found
		float int64 // between the people's word and what the provider says after it
		ends  int64
	}{
		"paid":                         {[]provider.Found{of(42_000, paidThere)}, of(42_000, paidThere), -42_000, -42_000},
		"under way":                    {[]provider.Found{of(42_000, provider.Result{Class: provider.Accepted})}, of(42_000, paidThere), -42_000, -42_000},
		"failed, and paid":             {[]provider.Found{of(42_000, paidThere), of(42_000, failedThere)}, of(42_000, paidThere), -24_000, -42_000},
		"another amount than before":   {[]provider.Found{of(42_000, paidThere), of(43_000, paidThere)}, of(43_000, paidThere), -43_000, -43_000},
		"another amount later":         {[]provider.Found{of(42_000, paidThere)}, of(43_000, paidThere), -42_000, -42_000}, // what is booked stays: it is for people and the close
		"nothing known of it any more": {[]provider.Found{of(42_000, paidThere), {}}, of(42_000, paidThere), -42_000, -42_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := inDispute(t, "amount_differs", c.told[0])
			for _, f := range c.told[1:] {
				s.lookup = f
				d.dayLater()
			}
			s.err = errors.New("503")
			d.mustDecide("ada", isPaid, false)
			d.Pass(d.sender)
			d.mustDecide("bob", isPaid, true)
			d.books(c.float, -24_000-c.float)
			d.says(s, c.after)
			d.books(c.ends, -24_000-c.ends)
		})
	}
}

// What was put aside because another amount had moved is taken out again when all of it comes back, or never moved.
func TestAnotherAmountIsUndone(t *testing.T) {
	t.Parallel()
	silent := provider.Found{Exists: true, Result: failedThere}
	for name, c := range map[string]struct {
		there    int64
		then     provider.Found
		state    string
		suspense int64
	}{
		"more comes back":                  {42_000, of(42_000, returnedThere), "reversed/late_return", 0},
		"less comes back":                  {20_000, of(20_000, returnedThere), "reversed/late_return", 0},
		"more is denied":                   {42_000, of(42_000, failedThere), "succeeded/resolved_paid", -24_000},
		"less is denied":                   {20_000, of(20_000, failedThere), "succeeded/resolved_paid", -24_000},
		"more is denied without an amount": {42_000, silent, "succeeded/resolved_paid", -24_000},
		"less is denied without an amount": {20_000, silent, "succeeded/resolved_paid", -24_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := calledPaid(t, c.there)
			d.books(-c.there, c.there-24_000)
			d.says(s, c.then)
			if got := d.One(); got != c.state {
				t.Errorf("it is %s, want %s", got, c.state)
			}
			d.books(0, c.suspense)
			d.finding("another_amount_undone", 24_000-c.there)
			if c.suspense != 0 {
				d.finding("failed_after_success", c.suspense)
			}
		})
	}
}
