package closing_test

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
	"github.com/agogopay/agogo/simulator"
)

// decide says whose the money is.
func (r *rig) decide(actor string, w suspense.Words) (d suspense.Decision, err error) {
	if w.Reason == "" {
		w.Reason, w.Evidence = "the provider's tariff", "invoice 2025-01"
	}
	desk := &suspense.Desk{Service: store.Service, Outbox: r.Outbox, Clock: r.Clock(), Epoch: r.Store.Epoch, Connectors: r.Connectors}
	err = pg.InTx(r.Ctx(), r.Env.Pool, func(tx pgx.Tx) (err error) {
		d, err = desk.Decide(r.Ctx(), tx, payoutstest.Tenant, w, actor)
		return err
	})
	return d, err
}

// settle has two people decide.
func (r *rig) settle(w suspense.Words) suspense.Decision {
	r.t.Helper()
	var d suspense.Decision
	for n, actor := range []string{"user:ada", "user:ben"} {
		var err error
		if d, err = r.decide(actor, w); err != nil || d.Agreed != (n == 1) {
			r.t.Fatalf("%s: %+v, %v", actor, d, err)
		}
	}
	return d
}

// left is the only thing in suspense.
func (r *rig) left() suspense.Left {
	r.t.Helper()
	all, err := suspense.List(r.t.Context(), r.Env.Pool, payoutstest.Tenant, "", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.UUID{}, 10)
	if err != nil || len(all) != 1 {
		r.t.Fatalf("in suspense: %+v, %v", all, err)
	}
	return all[0]
}

// expense is a rig whose statement has a line of 707 that is nobody's.
func expense(t *testing.T) *rig {
	r := newRig(t, 1)
	r.add(today, line("T_x", "", provider.LineOther, -700, 7, today+"T13:00:00Z"))
	r.close(today)
	return r
}

// TestTwoPeopleTakeMoneyOutOfSuspense: one posting, balanced, told once in an event and in the next report, whoever repeats it.
func TestTwoPeopleTakeMoneyOutOfSuspense(t *testing.T) {
	t.Parallel()
	r := expense(t)
	f := r.left()
	if f.Amount.Minor != 707 || f.Reference != "#T_x" || f.Code != "no_reference" {
		t.Fatalf("%+v", f)
	}
	w := suspense.Words{Finding: f.Finding, To: "fees"}
	other := suspense.Words{Finding: f.Finding, To: "fees", Reason: "a penalty", Evidence: "a letter"}
	for _, say := range []struct {
		actor string
		words suspense.Words
	}{{"user:ada", w}, {"user:ada", w}, {"user:ben", other}, {"user:ada", w}} {
		if d, err := r.decide(say.actor, say.words); err != nil || d.Agreed {
			t.Fatalf("%+v: %+v, %v", say, d, err)
		}
	}
	if p := r.left(); p.ProposedBy != "user:ada" || p.ProposedAccount != "fees" || p.Proposed.Minor != 707 || r.balances("suspense") != 707 {
		t.Errorf("proposed: %+v", p)
	}
	var both sync.WaitGroup
	for range 2 { // the second person's request twice at once, and once more later
		both.Go(func() {
			if d, err := r.decide("user:ben", w); err != nil || !d.Agreed || d.Left.Minor != 0 {
				t.Errorf("agreed: %+v, %v", d, err)
			}
		})
	}
	both.Wait()
	for _, actor := range []string{"user:ben", "user:ada"} {
		if d, err := r.decide(actor, w); err != nil || !d.Agreed {
			t.Errorf("repeated by %s: %+v, %v", actor, d, err)
		}
	}
	if _, err := r.decide("user:eve", w); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("there is nothing left: %v", err)
	}
	if s, n := r.balances("suspense"), r.Count("SELECT count(*) FROM ledger_postings WHERE kind = 'recon.resolved' AND debit = 'fees' AND amount = 707"); s != 0 || n != 1 {
		t.Errorf("suspense holds %d, %d postings", s, n)
	}
	r.verifyBooks()
	if diff := cmp.Diff([]string{"mismatch resolved 707 fees 2"}, r.resolved()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	r.Clock().Advance(24 * time.Hour)
	report := r.close(tomorrow)
	want := []string{"resolved/fees 707 out of suspense | to fees by user:ada, user:ben: the provider's tariff | 0 | 0"}
	if diff := cmp.Diff(want, items(report)); diff != "" || report.Head.Suspense != 0 || report.Head.Difference.Minor != 0 {
		t.Errorf("the next report (-want +got):\n%s%+v", diff, report.Head)
	}
	if n := r.Count("SELECT exceptions FROM closes WHERE local_date = $1", tomorrow); n != 0 {
		t.Errorf("%d exceptions", n)
	}
	if again := items(r.again(tomorrow)); len(again) > 0 {
		t.Errorf("told once more: %v", again)
	}
	r.CheckEvents()
}

// resolved lists what events say of decisions: the state before, the state, the amount, the account, and the version.
func (r *rig) resolved() (all []string) {
	r.t.Helper()
	for _, ev := range r.Events() {
		var m eventsv1.Recon
		if ev.Type != "recon.resolved" {
			continue
		}
		if err := event.Decode(ev.Body, &m); err != nil {
			r.t.Fatal(err)
		}
		if strings.Contains(string(ev.Body), "tariff") || strings.Contains(string(ev.Body), "invoice") {
			r.t.Error("the event tells what people wrote")
		}
		all = append(all, strings.Join([]string{m.GetPreviousState(), m.GetState(), strconv.FormatInt(m.GetDifference().GetMinor(), 10), m.GetAccount(), strconv.FormatInt(ev.Version, 10)}, " "))
	}
	return all
}

// TestWhatIsTakenOutIsThere: never more than is in suspense, not with another sign or in another currency, of nobody else's finding.
func TestWhatIsTakenOutIsThere(t *testing.T) {
	t.Parallel()
	r := expense(t)
	f := r.left().Finding
	for name, c := range map[string]struct {
		words suspense.Words
		want  codes.Code
	}{
		"too much":            {suspense.Words{Finding: f, To: "fees", Amount: 708, Currency: "XOF"}, codes.InvalidArgument},
		"the other way":       {suspense.Words{Finding: f, To: "fees", Amount: -1, Currency: "XOF"}, codes.InvalidArgument},
		"in another currency": {suspense.Words{Finding: f, To: "fees", Amount: 7, Currency: "GNF"}, codes.InvalidArgument},
		"nobody's to a payee": {suspense.Words{Finding: f, To: "payee_receivable"}, codes.FailedPrecondition},
		"nobody's as paid":    {suspense.Words{Finding: f, To: "payable"}, codes.FailedPrecondition},
		"against statements":  {suspense.Words{Finding: f, To: "float"}, codes.FailedPrecondition},
		"no finding":          {suspense.Words{Finding: uuid.New(), To: "fees"}, codes.NotFound},
	} {
		if _, err := r.decide("user:ada", c.words); status.Code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.SQL("UPDATE recon_findings SET tenant = 'somebody'")
	if _, err := r.decide("user:ada", suspense.Words{Finding: f, To: "fees"}); status.Code(err) != codes.NotFound {
		t.Errorf("another tenant's: %v", err)
	}
	r.SQL("UPDATE recon_findings SET tenant = 'lebenis'")
	r.settle(suspense.Words{Finding: f, To: "fees", Amount: 7, Currency: "XOF", Reason: "the fee", Evidence: "the tariff"})
	if d := r.settle(suspense.Words{Finding: f, To: "treasury"}); d.Amount.Minor != 700 || d.Left.Minor != 0 {
		t.Errorf("the rest: %+v", d)
	}
	if diff := cmp.Diff([]string{"mismatch resolved 7 fees 2", "resolved resolved 700 treasury 3"}, r.resolved()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if r.balances("suspense") != 0 {
		t.Errorf("suspense holds %d", r.balances("suspense"))
	}
	r.verifyBooks()
	r.CheckEvents()
}

// TestAContradictedPayoutCountsAsPaid by two people's word, up to its sum; the payee is owed nothing then, and nothing is sent.
func TestAContradictedPayoutCountsAsPaid(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.Failed, Message: "recipient-account-blocked"})
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
	r.close(today)
	f := r.left()
	if f.Amount.Minor != net+fee || f.Subject != r.id(2) {
		t.Fatalf("%+v", f)
	}
	if _, err := r.decide("user:ada", suspense.Words{Finding: f.Finding, To: "payable"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more than the payout is for: %v", err)
	}
	r.settle(suspense.Words{Finding: f.Finding, To: "payable", Amount: net, Currency: "XOF", Reason: "it was paid", Evidence: "the statement"})
	if _, err := r.decide("user:ada", suspense.Words{Finding: f.Finding, To: "payable"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more than the payout is for, in parts: %v", err)
	}
	r.settle(suspense.Words{Finding: f.Finding, To: "fees"})
	if s, p := r.balances("suspense"), r.balances("payable:drv-00002"); s != 0 || p != 0 {
		t.Errorf("suspense %d, owed to the payee %d", s, -p)
	}
	r.verifyBooks()
	r.SQL("UPDATE payouts SET contradicted = false")
	if _, err := r.decide("user:ada", suspense.Words{Finding: f.Finding, To: "payable"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a payout that may be sent again: %v", err)
	}
	r.CheckEvents()
}

// TestWhatCameBackWithoutAStatement is said by two people: the float has it again, and the next report calls it a correction.
func TestWhatCameBackWithoutAStatement(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.Failed, Message: "recipient-account-blocked"})
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, 0, today+"T13:00:00Z"))
	r.close(today)
	f, before := r.left(), r.balances("float:wave")
	r.Connector.Statement = nil
	r.settle(suspense.Words{Finding: f.Finding, To: "float"})
	if got := r.balances("float:wave") - before; got != net || r.balances("suspense") != 0 {
		t.Errorf("the float has %d more, suspense %d", got, r.balances("suspense"))
	}
	r.Clock().Advance(24 * time.Hour)
	h := r.close(tomorrow).Head
	if h.Corrections != 0 { // suspense and back, on one day
		t.Errorf("%+v", h)
	}
	r.verifyBooks()
	r.CheckEvents()
}

// TestWhatIsExplainedAfterADecision is heard of: suspense is not zero any more, and a second decision makes it so.
func TestWhatIsExplainedAfterADecision(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	again := line("T_other", r.reference(1), provider.LinePayout, -net, fee, today+"T13:00:00Z")
	r.add(today, again)
	r.close(today)
	f := r.left()
	r.settle(suspense.Words{Finding: f.Finding, To: "losses"})
	r.add(tomorrow, line("T_back", r.reference(1), provider.LineReversal, net, -fee, tomorrow+"T13:00:00Z"))
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	if told := r.told(); !slices.Equal(told, []string{"paid_twice 24240", "explained_after_decision -24240"}) {
		t.Errorf("told %v", told)
	}
	if got := r.balances("suspense"); got != -net-fee {
		t.Errorf("suspense holds %d", got)
	}
	if d := r.settle(suspense.Words{Finding: r.left().Finding, To: "losses", Reason: "it came back", Evidence: "the statement"}); d.Amount.Minor != -net-fee {
		t.Errorf("%+v", d)
	}
	if s, l := r.balances("suspense"), r.balances("losses"); s != 0 || l != 0 {
		t.Errorf("suspense %d, losses %d", s, l)
	}
	r.verifyBooks()
	r.CheckEvents()
}

// TestMoneyThatWasDecidedAboutIsNoTopUp of the same amount that is booked later.
func TestMoneyThatWasDecidedAboutIsNoTopUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.add(today, line("T_in", "", provider.LineTopUp, 900, 0, today+"T13:00:00Z"))
	r.close(today)
	r.settle(suspense.Words{Finding: r.left().Finding, To: "treasury"})
	r.topUp("later", 900)
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	if got := r.balances("suspense"); got != 0 {
		t.Errorf("suspense holds %d", got)
	}
	r.verifyBooks()
	r.CheckEvents()
}
