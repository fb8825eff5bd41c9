package suspense_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	tenant = recurrencestest.Tenant
	day    = "2025-10-30"
	amount = 4990
)

// books is a charge of which its gateway has moved money that is in suspense.
type books struct {
	*recurrencestest.Env
	t    *testing.T
	desk *suspense.Desk
}

// asked has the gateway asked about the charge once more.
func (b *books) asked() {
	b.t.Helper()
	b.Webhook(b.Charge("rec-1", day).Reference)
	b.LookUp(time.Second)
}

func open(t *testing.T, token string) *books {
	t.Helper()
	b := &books{Env: recurrencestest.New(t), t: t}
	b.desk = &suspense.Desk{Store: b.Store}
	b.Agree("rec-1", day, token)
	b.Morning(day)
	return b
}

// late is a charge that was booked as declined, and charged.
func late(t *testing.T) *books {
	b := open(t, recurrencestest.Hard)
	b.Gateway.Finish(b.Charge("rec-1", day).Reference, provider.Result{Class: provider.Succeeded})
	b.asked()
	return b
}

// beyond is one of which more was refunded than it was over.
func beyond(t *testing.T) *books {
	b := open(t, recurrencestest.OK)
	b.Gateway.TakeBack(b.Charge("rec-1", day).Reference, amount+1010)
	b.asked()
	return b
}

// denied is one that was booked as paid, and that its gateway calls declined.
func denied(t *testing.T) *books {
	b := open(t, recurrencestest.OK)
	b.Gateway.Finish(b.Charge("rec-1", day).Reference, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "not_permitted"})
	b.asked()
	return b
}

func (b *books) left() []suspense.Left {
	b.t.Helper()
	all, err := suspense.List(b.Ctx(), b.Pool, tenant, b.Clock.Now().Add(time.Hour), uuid.Max, 10)
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *books) words(to string) suspense.Words {
	b.t.Helper()
	all := b.left()
	if len(all) != 1 {
		b.t.Fatalf("in suspense: %+v", all)
	}
	return suspense.Words{Finding: all[0].Finding, To: to, Reason: "told by the gateway", Evidence: "ticket 4711"}
}

func (b *books) say(who string, w suspense.Words) (d suspense.Decision, err error) {
	ctx := b.As(who)
	err = pg.InTx(ctx, b.Pool, func(tx pgx.Tx) error {
		d, err = b.desk.Decide(ctx, tx, tenant, w, who)
		return err
	})
	return d, err
}

// both has two people say the same.
func (b *books) both(w suspense.Words) {
	b.t.Helper()
	for n, who := range []string{"ada", "bob"} {
		if d, err := b.say(who, w); err != nil || d.Agreed != (n == 1) {
			b.t.Fatalf("%s: %+v, %v", who, d, err)
		}
	}
}

// check fails the test unless the books are what the rows say, and the list is what is in suspense.
func (b *books) check(want map[string]int64) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.Balances()); diff != "" {
		b.t.Errorf("books (-want +got):\n%s", diff)
	}
	differences, _, err := ledger.Verify(b.Ctx(), b.Pool, tenant, 10)
	if err != nil || len(differences) > 0 {
		b.t.Errorf("recomputed: %+v, %v", differences, err)
	}
	var sum int64
	for _, l := range b.left() {
		sum += l.Amount.Minor
	}
	if sum != b.Balances()[ledger.Suspense] {
		b.t.Errorf("listed %d, in the books %d", sum, b.Balances()[ledger.Suspense])
	}
	b.CheckEvents()
}

func refused(t *testing.T, what string, err error, code codes.Code, words string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(fmt.Sprint(err, status.Convert(err).Details()), words) {
		t.Errorf("%s: %v %v", what, err, status.Convert(err).Details())
	}
}

// Whatever is in suspense, each account that it may be of ends it.
func TestEveryEntryHasAWayOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		open func(*testing.T) *books
		was  map[string]int64
		to   map[string]map[string]int64
	}{
		"charged after it was booked as declined": {late, map[string]int64{gateway: amount, "suspense": -amount}, map[string]map[string]int64{
			"seller_payable": {gateway: amount, seller: -amount}, "gateway_receivable": {}, "treasury": {gateway: amount, "treasury": -amount},
			"fees": {gateway: amount, "fees": -amount}, "losses": {gateway: amount, "losses": -amount},
		}},
		"refunded beyond the charge": {beyond, map[string]int64{gateway: -1010, "suspense": 1010}, map[string]map[string]int64{
			"seller_payable": {gateway: -1010, seller: 1010}, "gateway_receivable": {}, "treasury": {gateway: -1010, "treasury": 1010},
			"fees": {gateway: -1010, "fees": 1010}, "losses": {gateway: -1010, "losses": 1010},
		}},
		"denied after it was booked as paid": {denied, map[string]int64{seller: -amount, "suspense": amount}, map[string]map[string]int64{
			"seller_payable": {}, "gateway_receivable": {gateway: amount, seller: -amount}, "treasury": {seller: -amount, "treasury": amount},
			"fees": {seller: -amount, "fees": amount}, "losses": {seller: -amount, "losses": amount},
		}},
	} {
		for to, want := range c.to {
			t.Run(name+" to "+to, func(t *testing.T) {
				t.Parallel()
				b := c.open(t)
				b.check(c.was)
				w := b.words(to)
				b.both(w)
				b.check(want)
				if d, err := b.say("bob", w); err != nil || !d.Agreed || d.Left.Minor != 0 { // an answer that was lost
					t.Errorf("repeated: %+v, %v", d, err)
				}
				b.asked() // and the gateway says the same as before
				b.check(want)
				w.Reason = "something else"
				_, err := b.say("cyd", w)
				refused(t, "once more", err, codes.FailedPrecondition, "NOTHING_IN_SUSPENSE")
			})
		}
	}
}

// One person alone does nothing, and other words begin anew.
func TestTwoPeopleSayTheSame(t *testing.T) {
	t.Parallel()
	b := late(t)
	w := b.words("losses")
	for range 2 {
		if d, err := b.say("ada", w); err != nil || d.Agreed {
			t.Fatalf("ada alone: %+v, %v", d, err)
		}
	}
	if l := b.left()[0]; l.ProposedBy != "ada" || l.ProposedAccount != "losses" || l.Proposed.Minor != -amount || l.ProposedReason != w.Reason || l.ProposedEvidence != w.Evidence {
		t.Errorf("listed %+v", l)
	}
	for name, change := range map[string]func(*suspense.Words){
		"account": func(w *suspense.Words) { w.To = "fees" }, "reason": func(w *suspense.Words) { w.Reason = "another reason" },
		"evidence": func(w *suspense.Words) { w.Evidence = "a feeling" },
		"amount":   func(w *suspense.Words) { w.Amount, w.Currency = -10, "BRL" },
	} {
		if _, err := b.say("ada", w); err != nil {
			t.Fatal(err)
		}
		other := w
		change(&other)
		if d, err := b.say("bob", other); err != nil || d.Agreed || d.Replaces != "ada" {
			t.Errorf("another %s: %+v, %v", name, d, err)
		}
	}
	b.check(map[string]int64{"gateway_receivable:cielo": amount, "suspense": -amount})
	for what, c := range map[string]struct {
		words suspense.Words
		code  codes.Code
		says  string
	}{
		"too much":            {suspense.Words{Amount: -amount - 1, Currency: "BRL"}, codes.InvalidArgument, "take no more"},
		"with the other sign": {suspense.Words{Amount: 10, Currency: "BRL"}, codes.InvalidArgument, "with that sign"},
		"other money":         {suspense.Words{Amount: -10, Currency: "XOF"}, codes.InvalidArgument, "currency"},
	} {
		c.words.Finding, c.words.To, c.words.Reason, c.words.Evidence = w.Finding, "fees", "reason", "evidence"
		_, err := b.say("ada", c.words)
		refused(t, what, err, c.code, c.says)
	}
	w.Finding = uuid.New()
	_, err := b.say("ada", w)
	refused(t, "no finding", err, codes.NotFound, "finding")
	ctx := b.Ctx()
	err = pg.InTx(ctx, b.Pool, func(tx pgx.Tx) error {
		_, err := b.desk.Decide(ctx, tx, "lebenis", b.words("fees"), "ada")
		return err
	})
	refused(t, "another tenant's", err, codes.NotFound, "finding")
}

// In parts, and told once each behind the finding.
func TestPartsAreToldOneByOne(t *testing.T) {
	t.Parallel()
	b := late(t)
	w := b.words("fees")
	w.Amount, w.Currency = -100, "BRL"
	b.both(w)
	b.both(b.words("seller_payable"))
	b.check(map[string]int64{"gateway_receivable:cielo": amount, "fees": -100, "seller_payable:seller-1": -amount + 100})
	var told []string
	for _, ev := range b.Events() {
		if ev.Type.Aggregate() != "recon" {
			continue
		}
		var m eventsv1.Recon
		if err := event.Decode(ev.Body, &m); err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint(ev.Version, " ", ev.Type, " ", m.GetPreviousState(), " ", m.GetDifference().GetMinor(), " ", m.GetAccount()))
	}
	want := []string{"1 recon.mismatch_found  4990 ", "2 recon.resolved mismatch 100 fees", "3 recon.resolved resolved 4890 seller_payable:seller-1"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A seller is not given what a charge has paid them already: the customer was charged twice.
func TestASellerIsNotPaidTwice(t *testing.T) {
	t.Parallel()
	b := open(t, recurrencestest.Soft)
	first := b.Charge("rec-1", day).Reference
	b.Gateway.Say(recurrencestest.Soft, recurrencestest.OK)
	b.Retry("2025-10-31")
	b.Gateway.Finish(first, provider.Result{Class: provider.Succeeded})
	b.Webhook(first)
	b.LookUp(time.Second)
	_, err := b.say("ada", b.words("seller_payable"))
	refused(t, "the second payment", err, codes.FailedPrecondition, "SETTLED_ALREADY")
	b.both(b.words("gateway_receivable"))
	b.check(map[string]int64{"gateway_receivable:cielo": amount, "seller_payable:seller-1": -amount})

	b = late(t)
	b.SQL("UPDATE charges SET contradicted = false") // so that somebody could have it charged again
	_, err = b.say("ada", b.words("seller_payable"))
	refused(t, "what may be charged again", err, codes.FailedPrecondition, "SETTLED_ALREADY")
}

// What people have said the gateway gave back is not booked again when a lookup says so too; what they said of another account is, and can be undone.
func TestWhatComesBackAfterADecision(t *testing.T) {
	t.Parallel()
	b := late(t)
	b.both(b.words("gateway_receivable"))
	b.Gateway.TakeBack(b.Charge("rec-1", day).Reference, amount)
	b.asked()
	b.check(map[string]int64{})

	b = late(t)
	b.both(b.words("seller_payable"))
	b.Gateway.TakeBack(b.Charge("rec-1", day).Reference, amount)
	b.asked()
	b.check(map[string]int64{"seller_payable:seller-1": -amount, "suspense": amount})
	b.both(b.words("seller_payable"))
	b.check(map[string]int64{})
	if c := b.Charge("rec-1", day); c.State != charge.FailedHard || len(b.Gateway.Sends()) != 1 {
		t.Errorf("charge %s after %d sends", c.State, len(b.Gateway.Sends()))
	}
}

// Two replicas take the second person's words at once: it is posted once.
func TestADecisionIsPostedOnce(t *testing.T) {
	t.Parallel()
	b := late(t)
	w := b.words("losses")
	if _, err := b.say("ada", w); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			d, err := b.say("bob", w)
			if err == nil && !d.Agreed {
				err = fmt.Errorf("not agreed: %+v", d)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.check(map[string]int64{"gateway_receivable:cielo": amount, "losses": -amount})
}
