package suspense_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
)

const (
	gateway = "gateway_receivable:cielo"
	seller  = "seller_payable:seller-1"
)

var paidThere = provider.Result{Class: provider.Succeeded}

// there has the gateway say that so much was charged under the reference, and so much given back.
func (b *books) there(minor, refunded int64, r provider.Result) {
	b.t.Helper()
	ref := b.Charge("rec-1", day).Reference
	b.Gateway.FinishAs(ref, money.Amount{Minor: minor, Currency: "BRL"}, r)
	if refunded > 0 {
		b.Gateway.TakeBack(ref, refunded)
	}
}

// calledPaid is a charge under whose reference so much was charged, and that two people have called paid.
func calledPaid(t *testing.T, minor int64) *books {
	t.Helper()
	b := open(t, recurrencestest.TimeoutGone)
	b.there(minor, 0, paidThere)
	b.minute()
	if c := b.Charge("rec-1", day); c.State != charge.ManualReview || c.Reason.Code != "amount_differs" {
		t.Fatalf("it is %s/%s", c.State, c.Reason.Code)
	}
	b.callPaid()
	return b
}

// minute goes by, with lookups.
func (b *books) minute() {
	b.t.Helper()
	for range 6 {
		b.LookUp(10 * time.Second)
	}
}

// callPaid has two people say so.
func (b *books) callPaid() {
	b.t.Helper()
	for _, who := range []string{"ada", "bob"} {
		ctx := b.As(who)
		err := pg.InTx(ctx, b.Pool, func(tx pgx.Tx) error {
			_, err := b.Resolver.ResolveCharge(ctx, tx, tenant, b.Charge("rec-1", day).ID, resolve.Resolution{Outcome: resolve.Paid, Evidence: "the portal shows it"})
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
		b.minute()
	}
	if c := b.Charge("rec-1", day); c.State != charge.Succeeded {
		b.t.Fatalf("it is %s/%s", c.State, c.Reason.Code)
	}
}

// found wants one finding over a difference.
func (b *books) found(code string, difference int64) {
	b.t.Helper()
	if n := b.Count("SELECT count(*) FROM recon_findings WHERE code = $1 AND difference = $2 AND told", code, difference); n != 1 {
		b.t.Errorf("%d findings of %s over %d", n, code, difference)
	}
}

// What people call paid is booked as what the gateway says that it has charged: it owes us that, and the seller is owed what was agreed.
func TestWhatIsCalledPaidIsBookedAsWhatWasCharged(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]int64{"twice under one order": 2 * amount, "in part": 2500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := calledPaid(t, there)
			want := map[string]int64{gateway: there, seller: -amount, "suspense": amount - there}
			b.check(want)
			b.found("another_amount", there-amount)
			b.asked() // and the gateway says the same as before
			b.check(want)
		})
	}
	t.Run("and the gateway is silent meanwhile", func(t *testing.T) {
		t.Parallel()
		b := open(t, recurrencestest.TimeoutGone)
		b.there(2*amount, 0, paidThere)
		b.minute()
		b.Gateway.Silent = true
		b.callPaid()
		b.check(map[string]int64{gateway: 2 * amount, seller: -amount, "suspense": -amount})
	})
}

// Refunds of what was charged over another amount are booked like any other, whether the gateway made them before people spoke or after it.
func TestRefundsOfAnotherAmountAreBooked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		there, refunded int64
		want            map[string]int64
	}{
		"a part, all of it":                  {2500, 2500, map[string]int64{seller: -amount + 2500, "suspense": amount - 2500}},
		"a part, some of it":                 {2500, 1000, map[string]int64{gateway: 1500, seller: -amount + 1000, "suspense": amount - 2500}},
		"twice, some of it":                  {2 * amount, 1000, map[string]int64{gateway: 2*amount - 1000, seller: -amount + 1000, "suspense": -amount}},
		"twice, more than the charge is for": {2 * amount, amount + 1010, map[string]int64{gateway: amount - 1010, "suspense": -amount + 1010}},
		"twice, all of it":                   {2 * amount, 2 * amount, map[string]int64{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := calledPaid(t, c.there)
			b.there(c.there, c.refunded, paidThere)
			b.asked()
			b.check(c.want)
			b.asked()
			b.check(c.want)
		})
	}
	t.Run("before people spoke", func(t *testing.T) {
		t.Parallel()
		b := open(t, recurrencestest.TimeoutGone)
		b.there(2*amount, 1000, paidThere)
		b.minute()
		b.callPaid()
		b.check(map[string]int64{gateway: 2*amount - 1000, seller: -amount + 1000, "suspense": -amount})
	})
}

// What was put aside because another amount was charged leaves suspense when the gateway tells the amount that was asked for, as it does when people void
// a second sale in its portal, or that it charged nothing. What two people said went back before is booked once.
func TestAnotherAmountLeavesSuspense(t *testing.T) {
	t.Parallel()
	denied := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "not_permitted"}
	for name, c := range map[string]struct {
		there    int64
		now      int64
		refunded int64
		says     provider.Result
		want     map[string]int64
	}{
		"the second sale is voided":    {2 * amount, amount, 0, paidThere, map[string]int64{gateway: amount, seller: -amount}},
		"both sales are voided":        {2 * amount, amount, amount, paidThere, map[string]int64{}},
		"the rest is charged":          {2500, amount, 0, paidThere, map[string]int64{gateway: amount, seller: -amount}},
		"more than we know is denied":  {2 * amount, 2 * amount, 0, denied, map[string]int64{seller: -amount, "suspense": amount}},
		"less than we know is denied":  {2500, 2500, 0, denied, map[string]int64{seller: -amount, "suspense": amount}},
		"what we asked for was denied": {2500, amount, 0, denied, map[string]int64{seller: -amount, "suspense": amount}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := calledPaid(t, c.there)
			b.there(c.now, c.refunded, c.says)
			for range 2 {
				b.asked()
				b.check(c.want)
			}
			b.found("another_amount_undone", amount-c.there)
		})
	}
	t.Run("two people had said so", func(t *testing.T) {
		t.Parallel()
		for there, said := range map[int64]string{2 * amount: "the second sale went back", 2500: "the rest is owed all the same"} {
			b := calledPaid(t, there)
			w := b.words("gateway_receivable")
			w.Reason = said
			b.both(w)
			want := map[string]int64{gateway: amount, seller: -amount}
			b.check(want)
			b.there(amount, 0, paidThere)
			b.asked()
			b.check(want)
		}
	})
	t.Run("two people had said something else", func(t *testing.T) {
		t.Parallel()
		b := calledPaid(t, 2*amount)
		b.both(b.words("treasury"))
		b.there(amount, 0, paidThere)
		b.asked()
		b.check(map[string]int64{gateway: amount, seller: -amount, "treasury": -amount, "suspense": amount})
		b.both(b.words("treasury"))
		b.check(map[string]int64{gateway: amount, seller: -amount})
	})
}

// A seller bears what was never collected of a charge that people called paid, and is not given what was charged beyond it.
func TestWhoseAnotherAmountIs(t *testing.T) {
	t.Parallel()
	b := calledPaid(t, 2500)
	b.both(b.words("seller_payable"))
	b.check(map[string]int64{gateway: 2500, seller: -2500})

	b = calledPaid(t, 2*amount)
	_, err := b.say("ada", b.words("seller_payable"))
	refused(t, "the second sale", err, codes.FailedPrecondition, "SETTLED_ALREADY")
}

// What was booked as declined and charged over another amount is owed as that, and leaves suspense whole when it is given back whole.
func TestWhatWasChargedAfterItWasDeclinedIsBookedAsWhatItIs(t *testing.T) {
	t.Parallel()
	refundedThere := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: charge.CodeRefunded}
	for name, there := range map[string]int64{"more": 2 * amount, "less": 2500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, recurrencestest.Hard)
			b.there(there, 0, paidThere)
			b.asked()
			b.check(map[string]int64{gateway: there, "suspense": -there})
			b.found("paid_after_closed", amount)
			b.found("another_amount", there-amount)
			b.there(there, there, refundedThere)
			b.asked()
			b.check(map[string]int64{})
		})
		t.Run(name+", and two people have said so", func(t *testing.T) {
			t.Parallel()
			b := open(t, recurrencestest.Hard)
			b.there(there, 0, paidThere)
			b.asked()
			b.both(b.words("gateway_receivable"))
			b.check(map[string]int64{})
			b.there(there, there, refundedThere)
			b.asked()
			b.check(map[string]int64{})
		})
	}
}
