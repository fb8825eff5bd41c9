package closing_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
	"github.com/agogopay/agogo/simulator"
)

var blocked = simulator.Rule{Fault: simulator.Failed, Message: "recipient-account-blocked"}

// lookup applies what a lookup says of payee 2's first attempt, which is closed as failed.
func (r *rig) lookup(d attempt.Decision) {
	r.t.Helper()
	d.State, d.Answered = attempt.Failed, true
	r.InTx(func(tx pgx.Tx) error {
		_, err := r.Outcomes.Decided(r.Ctx(), tx, []attempt.Update{{Attempt: r.attempt(2), Lookup: true, Decision: d}})
		return err
	})
}

var (
	saysPaid = attempt.Decision{Mismatch: attempt.MismatchPaid, Moved: 1, Result: provider.Result{Class: provider.Succeeded}}
	saysBack = attempt.Decision{TakenBack: true, Result: provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}}
)

// refused fails the test unless a decision is refused.
func (r *rig) refused(why string, want codes.Code, w suspense.Words) {
	r.t.Helper()
	if d, err := r.decide("user:ada", w); status.Code(err) != want {
		r.t.Errorf("%s: %+v, %v", why, d, err)
	}
}

// TestWhatPeopleSaidCameBackIsNotBookedAgain by a lookup that says so later; what they called a loss is.
func TestWhatPeopleSaidCameBackIsNotBookedAgain(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]struct{ float, suspense int64 }{"float": {0, 0}, "losses": {0, -net}} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			r := faulty(t, blocked)
			r.Connector.Statement = nil
			before := r.balances("float:wave")
			r.lookup(saysPaid)
			f := r.left().Finding
			r.refused("a part of it", map[string]codes.Code{"float": codes.FailedPrecondition}[to], suspense.Words{Finding: f, To: to, Amount: 1, Currency: "XOF"})
			r.settle(suspense.Words{Finding: f, To: to})
			r.lookup(saysBack)
			if float, left := r.balances("float:wave")-before, r.balances("suspense"); float != want.float || left != want.suspense {
				t.Errorf("the float has %d more, suspense holds %d, want %+v", float, left, want)
			}
			if to == "losses" { // the float has it by the lookup: it is no loss any more
				again := r.left().Finding
				r.Connector.Statement = nil
				r.refused("out of the float", codes.FailedPrecondition, suspense.Words{Finding: again, To: "float"})
				r.settle(suspense.Words{Finding: again, To: "losses"})
			}
			if s, l := r.balances("suspense"), r.balances("losses"); s != 0 || l != 0 {
				t.Errorf("in the end suspense holds %d, losses %d", s, l)
			}
			r.verifyBooks()
			r.CheckEvents()
		})
	}
}

// TestNobodyIsOwedMoreBySuspense: what never counted as paid is not undone, also as "all that is left".
func TestNobodyIsOwedMoreBySuspense(t *testing.T) {
	t.Parallel()
	r := faulty(t, blocked)
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, 0, today+"T13:00:00Z"))
	r.close(today)
	r.settle(suspense.Words{Finding: r.left().Finding, To: "losses"})
	r.add(tomorrow, line("T_back", r.reference(2), provider.LineReversal, net, 0, tomorrow+"T13:00:00Z"))
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	f := r.left().Finding
	owed := r.balances("payable:drv-00002")
	r.refused("said as a sum", codes.InvalidArgument, suspense.Words{Finding: f, To: "payable", Amount: -net, Currency: "XOF"})
	r.refused("said as all", codes.InvalidArgument, suspense.Words{Finding: f, To: "payable"})
	if got := r.balances("payable:drv-00002"); got != owed || owed != -net {
		t.Errorf("the payee is owed %d, before %d", -got, -owed)
	}
	r.CheckEvents()
}

// TestWhatCountedAsPaidIsUndone when it comes back, and no more than it.
func TestWhatCountedAsPaidIsUndone(t *testing.T) {
	t.Parallel()
	r := faulty(t, blocked)
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, 0, today+"T13:00:00Z"))
	r.close(today)
	f := r.left().Finding
	const part = 9_000
	r.settle(suspense.Words{Finding: f, To: "payable", Amount: part, Currency: "XOF"})
	r.settle(suspense.Words{Finding: f, To: "losses"})
	r.add(tomorrow, line("T_back", r.reference(2), provider.LineReversal, net, 0, tomorrow+"T13:00:00Z"))
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	f = r.left().Finding
	r.refused("more than was counted", codes.InvalidArgument, suspense.Words{Finding: f, To: "payable", Amount: -part - 1, Currency: "XOF"})
	r.settle(suspense.Words{Finding: f, To: "payable", Amount: -part, Currency: "XOF"})
	r.settle(suspense.Words{Finding: f, To: "losses"})
	if p, s, l := r.balances("payable:drv-00002"), r.balances("suspense"), r.balances("losses"); p != -net || s != 0 || l != 0 {
		t.Errorf("owed %d, suspense %d, losses %d", -p, s, l)
	}
	r.verifyBooks()
	r.CheckEvents()
}

// TestTwoAttemptsPayOneDebt: both were paid, and the payee is owed once.
func TestTwoAttemptsPayOneDebt(t *testing.T) {
	t.Parallel()
	r := faulty(t, blocked)
	res := &resolve.Resolver{Store: r.Store, Outcomes: r.Outcomes, Clock: r.Clock()}
	ctx := auth.WithActor(event.WithCause(r.Ctx(), event.Cause{Actor: "user:ada"}), auth.Actor{Name: "user:ada", Role: auth.Operator, Tenants: []string{"*"}})
	r.InTx(func(tx pgx.Tx) error { return res.Retry(ctx, tx, payoutstest.Tenant, r.id(2), "") })
	var run uuid.UUID
	if err := r.Env.Pool.QueryRow(t.Context(), "SELECT run_id FROM payouts LIMIT 1").Scan(&run); err != nil {
		t.Fatal(err)
	}
	r.sendOut(run)
	if n := r.Count("SELECT count(*) FROM attempts WHERE subject_id = $1 AND state = 'failed'", r.id(2)); n != 2 {
		t.Fatalf("%d attempts failed", n)
	}
	for n, id := range []string{"T_paid1", "T_paid2"} {
		r.add(today, line(id, payout.Reference(r.id(2), n+1), provider.LinePayout, -net, 0, today+"T13:00:00Z"))
	}
	r.close(today)
	both, err := suspense.List(t.Context(), r.Env.Pool, payoutstest.Tenant, "", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.UUID{}, 10)
	if err != nil || len(both) != 2 {
		t.Fatalf("in suspense: %+v, %v", both, err)
	}
	r.settle(suspense.Words{Finding: both[0].Finding, To: "payable"})
	r.refused("the debt a second time", codes.InvalidArgument, suspense.Words{Finding: both[1].Finding, To: "payable"})
	r.settle(suspense.Words{Finding: both[1].Finding, To: "payee_receivable"})
	if p, o, s := r.balances("payable:drv-00002"), r.balances("payee_receivable:drv-00002"), r.balances("suspense"); p != 0 || o != net || s != 0 {
		t.Errorf("payable %d, receivable %d, suspense %d", p, o, s)
	}
	r.verifyBooks()
	r.CheckEvents()
}

// sendOut sends what of a run is due, and looks up.
func (r *rig) sendOut(run uuid.UUID) {
	r.Dispatch(r.Sender, run)
	for range 3 {
		r.Clock().Advance(time.Minute)
		r.Pass(r.Sender)
	}
}

// TestADebtThatAnotherPayoutPaid is not settled a second time: the payee has the money and owes it.
func TestADebtThatAnotherPayoutPaid(t *testing.T) {
	t.Parallel()
	r := faulty(t, blocked)
	if err := r.Sim.Plan(simulator.Plan{}); err != nil {
		t.Fatal(err)
	}
	r.sendOut(r.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
	if n := r.Count("SELECT count(*) FROM payouts WHERE payee_id = 'drv-00002' AND state = 'succeeded'"); n != 1 || r.balances("payable:drv-00002") != 0 {
		t.Fatalf("%d payouts paid the payee, who is owed %d", n, -r.balances("payable:drv-00002"))
	}
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, 0, today+"T13:00:00Z"))
	r.close(today)
	f := r.left().Finding
	r.refused("items that another payout paid", codes.FailedPrecondition, suspense.Words{Finding: f, To: "payable"})
	r.settle(suspense.Words{Finding: f, To: "payee_receivable"})
	if p, o := r.balances("payable:drv-00002"), r.balances("payee_receivable:drv-00002"); p != 0 || o != net {
		t.Errorf("payable %d, receivable %d", p, o)
	}
	r.verifyBooks()
	r.CheckEvents()
}

// TestAPaidPayoutIsNotPaidBySuspense: its first attempt failed, another one paid, then the first turns out to have been paid, too.
func TestAPaidPayoutIsNotPaidBySuspense(t *testing.T) {
	t.Parallel()
	r := faulty(t, blocked)
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, 0, today+"T13:00:00Z"))
	r.close(today)
	f := r.left().Finding
	for _, state := range []string{"succeeded", "unknown"} {
		r.SQL("UPDATE payouts SET state = '" + state + "' WHERE payee_id = 'drv-00002'")
		r.refused(state, codes.FailedPrecondition, suspense.Words{Finding: f, To: "payable"})
	}
}

// TestTheSameWordsForNewMoney are a proposal, not the echo of what was posted.
func TestTheSameWordsForNewMoney(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.add(today, line("T_other", r.reference(1), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
	r.close(today)
	old := r.left().Finding
	r.settle(suspense.Words{Finding: old, To: "losses"})
	r.add(tomorrow, line("T_other2", r.reference(1), provider.LinePayout, -net, fee, tomorrow+"T13:00:00Z"))
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	r.settle(suspense.Words{Finding: r.left().Finding, To: "losses"})
	if s, l := r.balances("suspense"), r.balances("losses"); s != 0 || l != 2*(net+fee) {
		t.Errorf("suspense %d, losses %d", s, l)
	}
	r.verifyBooks()
	r.CheckEvents()
}

// TestWhatIsListedWasTold also where something silent was found later about the same money; and a decision about what was silent is the
// first event of it.
func TestWhatIsListedWasTold(t *testing.T) {
	t.Parallel()
	r := faulty(t, blocked)
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
	r.close(today)
	r.SQL("UPDATE recon_findings SET found_at = found_at - interval '1 second' WHERE code = 'paid_after_closed'") // as by a lookup before the close
	if f := r.left(); f.Code != "paid_after_closed" {
		t.Errorf("listed is %s", f.Code)
	}
	var silent uuid.UUID
	if err := r.Env.Pool.QueryRow(t.Context(), "SELECT recon_id FROM recon_findings WHERE code = 'paid_there_beyond'").Scan(&silent); err != nil {
		t.Fatal(err)
	}
	r.settle(suspense.Words{Finding: silent, To: "fees", Amount: fee, Currency: "XOF"})
	r.settle(suspense.Words{Finding: silent, To: "losses", Amount: 1, Currency: "XOF"})
	r.settle(suspense.Words{Finding: r.left().Finding, To: "losses"})
	if diff := cmp.Diff([]string{" resolved 240 fees 1", "resolved resolved 1 losses 2", "mismatch resolved 23999 losses 2"}, r.resolved()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	r.CheckEvents()
}

// TestADecisionWhileADayIsJudged is not overlooked: what the close takes out of suspense is told, for people have taken it out, too.
func TestADecisionWhileADayIsJudged(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.add(today, line("T_other", r.reference(1), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
	r.close(today)
	w := suspense.Words{Finding: r.left().Finding, To: "losses"}
	if _, err := r.decide("user:ada", w); err != nil {
		t.Fatal(err)
	}
	r.add(tomorrow, line("T_back", r.reference(1), provider.LineReversal, net, -fee, tomorrow+"T13:00:00Z"))
	r.Clock().Advance(24 * time.Hour)
	if err := r.ask(tomorrow, false); err != nil {
		t.Fatal(err)
	}
	halt, err := r.Env.Pool.Begin(t.Context()) // the judgement has its moment of the books, and waits for its first item
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = halt.Rollback(t.Context()) }()
	if _, err := halt.Exec(t.Context(), "LOCK TABLE close_items IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	judged := make(chan error, 1)
	go func() { _, err := r.closer.Pass(t.Context()); judged <- err }()
	for r.Count("SELECT count(*) FROM pg_locks WHERE relation = 'close_items'::regclass AND NOT granted") == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing is judged")
		}
	}
	if d, err := r.decide("user:ben", w); err != nil || !d.Agreed {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := halt.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-judged; err != nil {
		t.Fatal(err)
	}
	r.report(tomorrow)
	r.expect(-net-fee, "paid_twice 24240", "explained_after_decision -24240")
	r.settle(suspense.Words{Finding: r.left().Finding, To: "losses", Reason: "it came back", Evidence: "the statement"})
	r.expect(0, "paid_twice 24240", "explained_after_decision -24240")
	r.CheckEvents()
}
