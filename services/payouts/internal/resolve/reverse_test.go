package resolve_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// paidWithFee has one payout that was paid and cost 100; what the provider says of it afterwards is the test's.
func paidWithFee(t *testing.T) (*desk, *script) {
	fee := money.Amount{Minor: 100, Currency: "XOF"}
	d, s := scripted(t, provider.Result{Class: provider.Succeeded, ProviderID: "their-1", Fee: &fee})
	if got := d.One(); got != "succeeded" {
		t.Fatalf("the payout is %s", got)
	}
	return d, s
}

// cameBack has the provider say that the money, and its fee, came back.
func (s *script) cameBack() {
	none := money.Amount{Currency: "XOF"}
	s.lookup = provider.Found{Exists: true, Result: provider.Result{
		Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: provider.CodeReversed, ProviderCode: "reversed", Fee: &none,
	}}
}

func (d *desk) isReversed() {
	d.t.Helper()
	if got := d.One(); got != "reversed/late_return" {
		d.t.Fatalf("the payout is %s", got)
	}
	want := map[string]int64{"collections": 30_000, "commission": -6000, "payable:drv-00001": -24_000}
	if diff := cmp.Diff(want, d.Balances()); diff != "" {
		d.t.Errorf("books (-want +got):\n%s", diff)
	}
	if diff, _, err := ledger.Verify(d.t.Context(), d.Pool, payoutstest.Tenant, 10); err != nil || len(diff) != 0 {
		d.t.Errorf("%v, %v", diff, err)
	}
	if n := d.Count("SELECT count(*) FROM recon_findings"); n != 0 {
		d.t.Errorf("%d findings about what is explained", n)
	}
	if n := d.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 1 {
		d.t.Error("its payment is not free")
	}
	d.CheckItems()
	d.CheckEvents()
}

// A late return: the provider takes back what it had paid. Both sides of the books are undone, and the next run pays again.
func TestALateReturnReversesThePayout(t *testing.T) {
	t.Parallel()
	d, s := paidWithFee(t)
	s.cameBack()
	d.hint()
	d.Pass(d.sender)
	d.isReversed()
	d.hint() // told again, it is no news
	d.Pass(d.sender)
	d.isReversed()
	s.paysNow()
	d.Finish()
	d.Dispatch(d.sender, d.Run(payoutstest.Daily(nextEvening)))
	if diff := cmp.Diff(map[string]int64{"reversed": 1, "succeeded": 1}, d.PayoutStates()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(s.sent) != 2 || s.sent[0] == s.sent[1] {
		t.Errorf("sent %v", s.sent)
	}
}

// back is a provider that gives money back.
type back struct {
	says provider.Result
	asks []string
	then func()
}

func (b *back) Reverse(_ context.Context, _ provider.Transfer, providerID string) provider.Result {
	b.asks = append(b.asks, providerID)
	if b.then != nil {
		b.then()
	}
	return b.says
}

func (d *desk) askBack() (ask attempt.BackAsk, err error) {
	err = d.do(func(tx pgx.Tx) (err error) {
		ask, err = d.AskBack(d.as("ada"), tx, payoutstest.Tenant, d.id)
		return err
	})
	return ask, err
}

func (d *desk) reverse() error {
	ask, err := d.askBack()
	if err != nil {
		return err
	}
	return d.TakeBack(d.as("ada"), payoutstest.Tenant, d.id, ask)
}

// A person has a payout taken back: what the provider answers is not believed before its lookup shows it.
func TestAPersonHasAPayoutTakenBack(t *testing.T) {
	t.Parallel()
	d, s := paidWithFee(t)
	d.mustRefuse(d.reverse(), "not_reversible")
	b := &back{says: provider.Result{Class: provider.Succeeded}, then: s.cameBack}
	d.sender.Connector.Reverser = b
	if err := d.reverse(); err != nil {
		t.Fatal(err)
	}
	if got := d.One(); got != "succeeded" {
		t.Errorf("before the lookup it is %s", got)
	}
	d.Pass(d.sender)
	d.isReversed()
	d.mustRefuse(d.reverse(), "state")
	if diff := cmp.Diff([]string{"their-1"}, b.asks); diff != "" {
		t.Error(diff)
	}
}

// Whose answer is lost may take effect after a lookup that comes at once; and who was never asked is no success.
func TestAReversalWithoutAnAnswerIsLookedUpLater(t *testing.T) {
	t.Parallel()
	for class, code := range map[provider.Class]string{provider.Ambiguous: "reversal_not_known", provider.NotSent: "reversal_not_sent"} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			d, s := paidWithFee(t)
			s.paysNow()
			d.sender.Connector.Reverser = &back{says: provider.Result{Class: class}}
			err := d.reverse()
			if status.Code(err) != codes.Unavailable || !strings.Contains(status.Convert(err).Proto().String(), code) {
				t.Fatalf("got %v, want %s", err, code)
			}
			d.Pass(d.sender)
			if got := d.One(); got != "succeeded" {
				t.Fatalf("it is %s", got)
			}
			s.cameBack()
			d.later(5)
			d.isReversed()
		})
	}
}

// The answer is lost, and the money comes back hours later: the provider is asked by the schedule until it says so, also when somebody asks
// again meanwhile and is refused.
func TestAReversalIsLookedUpUntilItIsKnown(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]time.Duration{"asked once": 0, "asked again and refused": 5 * time.Minute, "asked again at once and refused": 31 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := paidWithFee(t)
			s.paysNow()
			b := &back{says: provider.Result{Class: provider.Ambiguous}}
			d.sender.Connector.Reverser = b
			if err := d.reverse(); status.Code(err) != codes.Unavailable {
				t.Fatal(err)
			}
			if again > 0 && again < time.Minute { // less than a lease
				d.Env.Clock.Advance(again)
			} else {
				d.later(5)
			}
			if again > 0 {
				b.says = provider.Result{Class: provider.RejectedFinal, Code: "already_asked"}
				d.mustRefuse(d.reverse(), "already_asked")
			}
			for range 20 {
				d.Env.Clock.Advance(time.Hour)
				d.Pass(d.sender)
			}
			if got := d.One(); got != "succeeded" {
				t.Fatalf("it is %s", got)
			}
			s.cameBack()
			d.Env.Clock.Advance(7 * time.Hour)
			d.Pass(d.sender)
			d.isReversed()
			if n := d.Count("SELECT count(*) FROM attempts WHERE take_back_at IS NOT NULL OR next_lookup_at IS NOT NULL"); n != 0 {
				t.Error("it is waited for still")
			}
		})
	}
}

// Of two that ask at once the first is refused, and the other one's answer is lost: that one is waited for.
func TestARefusalEndsOnlyItsOwnAsk(t *testing.T) {
	t.Parallel()
	d, s := paidWithFee(t)
	s.paysNow()
	b := &back{says: provider.Result{Class: provider.Ambiguous}}
	d.sender.Connector.Reverser = b
	first, err := d.askBack()
	if err != nil {
		t.Fatal(err)
	}
	d.Env.Clock.Advance(time.Second)
	if err := d.reverse(); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	b.says = provider.Result{Class: provider.RejectedFinal, Code: "busy"}
	d.mustRefuse(d.TakeBack(d.as("ada"), payoutstest.Tenant, d.id, first), "busy")
	d.Env.Clock.Advance(7 * time.Hour)
	d.Pass(d.sender)
	if got := d.One(); got != "succeeded" {
		t.Fatalf("it is %s", got)
	}
	s.cameBack()
	d.Env.Clock.Advance(18 * time.Hour)
	d.Pass(d.sender)
	d.isReversed()
}

// What never comes back is for people after review_after, and is not asked about for ever; what was refused is not waited for at all.
func TestAReversalThatNeverComesIsForPeople(t *testing.T) {
	t.Parallel()
	for class, days := range map[provider.Class]int64{provider.Ambiguous: 1, provider.RejectedFinal: 0, provider.NotSent: 0} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			d, s := paidWithFee(t)
			s.paysNow()
			d.sender.Connector.Reverser = &back{says: provider.Result{Class: class, Code: "x"}}
			if err := d.reverse(); err == nil {
				t.Fatal("taken back")
			}
			waited := func() int64 {
				return d.Count("SELECT count(*) FROM attempts WHERE take_back_at IS NOT NULL AND next_lookup_at IS NOT NULL")
			}
			d.later(5)
			if n := waited(); n != days {
				t.Errorf("%d are waited for after minutes, want %d", n, days)
			}
			for range 3 {
				d.Env.Clock.Advance(24 * time.Hour)
				d.Pass(d.sender)
			}
			if n := d.Count("SELECT count(*) FROM attempts WHERE take_back_at IS NOT NULL OR next_lookup_at IS NOT NULL"); n != 0 {
				t.Errorf("%d are waited for after days", n)
			}
			if got := d.One(); got != "succeeded" {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// What the provider refuses to take back stays paid; a process that dies after the call leaves a lookup behind.
func TestWhatIsNotTakenBackStaysPaid(t *testing.T) {
	t.Parallel()
	d, s := paidWithFee(t)
	s.paysNow()
	d.sender.Connector.Reverser = &back{says: provider.Result{Class: provider.RejectedFinal, Code: "reversal_too_late"}}
	d.mustRefuse(d.reverse(), "reversal_too_late")
	d.later(2)
	if got := d.One(); got != "succeeded" {
		t.Errorf("it is %s", got)
	}
	if _, err := d.askBack(); err != nil { // and no TakeBack: the process died in it
		t.Fatal(err)
	}
	s.cameBack()
	d.later(5)
	d.isReversed()
}
