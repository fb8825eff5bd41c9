package closing_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

// add has lines stand in a day's statement.
func (r *rig) add(date string, more ...provider.StatementLine) {
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if day == date {
			lines = append(lines, more...)
		}
		return lines
	})
}

// days closes n days from today on, an evening passing before each but the first.
func (r *rig) days(n int) (all []daybook.Report) {
	r.t.Helper()
	for i := range n {
		if i > 0 {
			r.Clock().Advance(24 * time.Hour)
		}
		all = append(all, r.close(dayAfter(today, i)))
	}
	return all
}

// expect compares what was told and what is in suspense.
func (r *rig) expect(suspense int64, told ...string) {
	r.t.Helper()
	if told == nil {
		told = []string{}
	}
	if diff := cmp.Diff(told, r.told()); diff != "" {
		r.t.Errorf("told (-want +got):\n%s", diff)
	}
	if got := r.balances("suspense"); got != suspense {
		r.t.Errorf("suspense holds %d, want %d", got, suspense)
	}
	r.verifyBooks()
}

// TestASecondPaymentOnAnotherDay is an exception, and what comes back of it takes it out of suspense.
func TestASecondPaymentOnAnotherDay(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.add(tomorrow, line("T_again", r.reference(2), provider.LinePayout, -net, fee, tomorrow+"T13:00:00Z"))
	r.add(dayAfter(today, 3), line("T_back", r.reference(2), provider.LineReversal, net, -fee, dayAfter(today, 3)+"T13:00:00Z"))
	all := r.days(3)
	if diff := cmp.Diff([]string{"duplicate/paid_twice succeeded 24000 fee 240 | paid 24000 fee 240 again | 24240 | -24240"}, items(all[1])); diff != "" {
		t.Errorf("the second payment (-want +got):\n%s", diff)
	}
	if d := all[2].Head.Difference; d.Minor != 0 {
		t.Errorf("the day after: a difference of %d", d.Minor)
	}
	r.expect(net+fee, "paid_twice 24240")
	r.again(tomorrow)
	r.again(today) // names it, too: the day has a line of a reference that was paid twice
	r.expect(net+fee, "paid_twice 24240")
	r.Clock().Advance(24 * time.Hour)
	back := r.close(dayAfter(today, 3))
	if diff := cmp.Diff([]string{"timing/other_day succeeded 24000 fee 240 | back 24240 | -24240 | 24240"}, items(back)); diff != "" {
		t.Errorf("what came back (-want +got):\n%s", diff)
	}
	r.expect(0, "paid_twice 24240")
	r.Clock().Advance(24 * time.Hour)
	if d := r.close(dayAfter(today, 4)).Head.Difference; d.Minor != 0 {
		t.Errorf("in the end: a difference of %d", d.Minor)
	}
}

// TestLinesOfOneForeignReference are each their own: whoever else pays from the wallet may name all of them alike.
func TestLinesOfOneForeignReference(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	grown := false
	r.add(today, line("T_x", "salaire", provider.LinePayout, -700, 7, today+"T13:00:00Z"))
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if grown && day == today {
			lines = append(lines, line("T_z", "salaire", provider.LinePayout, -5000, 0, today+"T14:00:00Z"))
		}
		return lines
	})
	r.add(tomorrow, line("T_y", "salaire", provider.LinePayout, -9000, 7, tomorrow+"T13:00:00Z"))
	r.days(2)
	r.expect(707+9007, "unknown_reference 707", "unknown_reference 9007")
	grown = true
	r.again(today)
	r.again(tomorrow)
	r.expect(707+9007+5000, "unknown_reference 707", "unknown_reference 9007", "unknown_reference 5000")
	r.Clock().Advance(24 * time.Hour)
	if d := r.close(dayAfter(today, 2)).Head.Difference; d.Minor != 0 {
		t.Errorf("in the end: a difference of %d", d.Minor)
	}
}

// TestWhatAnotherRevisionDoesNotSay leaves suspense again, and comes back when it is said again.
func TestWhatAnotherRevisionDoesNotSay(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	amount := int64(-700)
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if day == today && amount != 0 {
			lines = append(lines, line("T_x", "", provider.LineOther, amount, 7, today+"T13:00:00Z"))
		}
		return lines
	})
	r.close(today)
	r.expect(707, "no_reference 707")
	amount = 0
	if got := items(r.again(today)); len(got) != 0 {
		t.Errorf("items %v", got)
	}
	r.expect(0, "no_reference 707")
	amount = -900
	r.again(today)
	r.again(today)
	r.expect(907, "no_reference 707", "no_reference 907")
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	r.Clock().Advance(24 * time.Hour)
	if d := r.close(dayAfter(today, 2)).Head.Difference; d.Minor != 0 {
		t.Errorf("in the end: a difference of %d", d.Minor)
	}
}

// TestMoneyThatComesBack leaves suspense, whether it was paid though failed here, or paid twice.
func TestMoneyThatComesBack(t *testing.T) {
	t.Parallel()
	back := func(r *rig) {
		r.add(tomorrow, line("T_back", r.reference(2), provider.LineReversal, net, -fee, tomorrow+"T13:00:00Z"))
	}
	t.Run("of a payout that failed", func(t *testing.T) {
		t.Parallel()
		r := faulty(t, simulator.Rule{Fault: simulator.Failed, Message: "recipient-account-blocked"})
		r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
		back(r)
		all := r.days(3)
		r.expect(0, "paid_after_closed 24000")
		if d := all[2].Head.Difference; d.Minor != 0 {
			t.Errorf("in the end: a difference of %d", d.Minor)
		}
	})
	t.Run("of a payout that was paid twice", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 2)
		r.onLine(2, func(l provider.StatementLine) []provider.StatementLine {
			other := l
			other.ProviderID = "T_other"
			if l.Kind != provider.LinePayout {
				return []provider.StatementLine{l}
			}
			return []provider.StatementLine{l, other}
		})
		back(r)
		all := r.days(3)
		r.expect(0, "paid_twice 24240")
		if got := items(all[1]); len(got) != 1 || all[2].Head.Difference.Minor != 0 {
			t.Errorf("items %v, in the end %+v", got, all[2].Head)
		}
		if a := r.attempt(2); a.NextLookupAt != nil {
			t.Error("the provider is asked about a payout that stands")
		}
	})
}

// TestADoubtThatTheStatementHasAsPaid cannot become a payout that is sent again, whatever a lookup says of it then.
func TestADoubtThatTheStatementHasAsPaid(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.PendingForever})
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
	r.close(today)
	r.expect(0)
	a := r.attempt(2)
	u := attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decision{
		State: attempt.Failed, Answered: true, Result: provider.Result{Class: provider.RejectedRetryable, Code: "busy", Scope: provider.ScopeProvider},
	}}
	r.InTx(func(tx pgx.Tx) error {
		_, err := r.Outcomes.Decided(r.Ctx(), tx, []attempt.Update{u})
		return err
	})
	if a := r.attempt(2); a.State != attempt.Failed {
		t.Fatalf("the attempt is %s", a.State)
	}
	if n := r.Count("SELECT count(*) FROM payouts WHERE contradicted AND state <> 'approved' AND payout_id = $1", r.id(2)); n != 1 {
		t.Error("the payout may be sent again")
	}
	r.expect(net, "paid_after_closed 24000")
	r.Clock().Advance(24 * time.Hour)
	want := []string{"state_differs/paid_there failed 24000 | nothing | 24240 | 0"}
	if diff := cmp.Diff(want, items(r.close(tomorrow))); diff != "" {
		t.Errorf("the next day (-want +got):\n%s", diff)
	}
	r.expect(net+fee, "paid_after_closed 24000")
	r.Clock().Advance(24 * time.Hour)
	if d := r.close(dayAfter(today, 2)).Head.Difference; d.Minor != 0 {
		t.Errorf("in the end: a difference of %d", d.Minor)
	}
}

// TestALookupWhileADayIsJudged closes as failed what the judgement, which sees an earlier moment, has as paid there.
func TestALookupWhileADayIsJudged(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.PendingForever})
	r.add(today, line("T_paid", r.reference(2), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
	r.close(today)
	// As if it had been closed between the judgement's snapshot and its end, and the process killed behind that.
	r.SQL("UPDATE attempts SET state = 'failed', closed_at = $1, next_lookup_at = NULL WHERE state = 'processing'", r.Clock().Now())
	r.SQL("UPDATE payouts SET state = 'failed' WHERE payout_id = $1", r.id(2))
	r.SQL("UPDATE closes SET asks_due = true")
	r.work()
	if n := r.Count("SELECT count(*) FROM payouts WHERE contradicted AND payout_id = $1", r.id(2)); n != 1 {
		t.Error("the payout may be sent again")
	}
	if n := r.Count("SELECT count(*) FROM closes WHERE asks_due"); n != 0 {
		t.Error("it is asked for ever")
	}
	if diff := cmp.Diff([]string{"paid_after_closed 24000"}, r.told()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestAttemptsGoOnWhileADayIsJudged: what happens to attempts in doubt meanwhile does not make the judgement begin anew.
func TestAttemptsGoOnWhileADayIsJudged(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.LostAnswer})
	r.SQL(`CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
		PERFORM pg_notify('judging', ''); PERFORM pg_sleep(0.5); RETURN NULL; END $f$`)
	r.SQL("CREATE TRIGGER meanwhile AFTER INSERT ON close_items FOR EACH STATEMENT EXECUTE FUNCTION meanwhile()")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = r.Env.Pool.Exec(t.Context(), "UPDATE attempts SET version = version + 1 WHERE state = 'unknown'")
			}
		}
	}()
	r.close(today)
	close(stop)
	<-done
	if n := r.Count("SELECT count(*) FROM closes WHERE tries > 0"); n != 0 {
		t.Error("the judgement had to begin anew")
	}
}

// TestALateStatementClearsLaterDays: what a day begins with follows from the newest reports of those before it.
func TestALateStatementClearsLaterDays(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	late := false
	r.onLine(2, func(l provider.StatementLine) []provider.StatementLine {
		if !late {
			return nil
		}
		return []provider.StatementLine{l}
	})
	all := r.days(3)
	if d := all[2].Head.Difference; d.Minor != net+fee {
		t.Fatalf("without the line: a difference of %d", d.Minor)
	}
	late = true
	if d := r.again(today).Head.Difference; d.Minor != 0 {
		t.Errorf("the day itself: a difference of %d", d.Minor)
	}
	r.Clock().Advance(24 * time.Hour)
	if h := r.close(dayAfter(today, 3)).Head; h.Difference.Minor != 0 || h.Carried != 0 {
		t.Errorf("the next close: %+v", h)
	}
	r.expect(0, "payout -24240")
}

// TestABalanceThatIsRemembered: a day that is reconciled again long after keeps the balance that its first close read.
func TestABalanceThatIsRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	const less = 500
	r.Connector.Balance = balance(func() (int64, error) { return topped - 3*(net+fee) - less, nil })
	first := r.close(today)
	r.Clock().Advance(100 * time.Hour)
	r.Connector.Balance = nil
	again := r.again(today)
	if diff := cmp.Diff(items(first), items(again)); diff != "" || again.Head.Source != "balance" || again.Head.ProviderClosing != first.Head.ProviderClosing {
		t.Errorf("(-first +again):\n%s%+v", diff, again.Head)
	}
	if got := fmt.Sprint(r.told()); got != "[opening_differs 500]" {
		t.Errorf("told %s", got)
	}
}
