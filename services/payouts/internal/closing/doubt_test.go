package closing_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

// faulty pays three payees, the second of whom meets a fault.
func faulty(t *testing.T, rule simulator.Rule) *rig {
	t.Helper()
	r := newRig(t, 0)
	r.Clock().Set(r.Clock().Now().Add(-12 * time.Hour))
	rule.Provider, rule.Operation, rule.Match.Peer = simulator.Wave, "payout", sending.Phone(2)
	if err := r.Sim.Plan(simulator.Plan{Rules: []simulator.Rule{rule}}); err != nil {
		t.Fatal(err)
	}
	r.Send(r.Sender, 3)
	r.Clock().Advance(12 * time.Hour)
	return r
}

// TestWhatIsInDoubtIsNamed: an unknown is an exception by name, and a line about it makes its lookup due; the lookup decides, and the
// next day has its other half.
func TestWhatIsInDoubtIsNamed(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.LostAnswer})
	if a := r.attempt(2); a.State != attempt.Unknown {
		t.Fatalf("the attempt is %s", a.State)
	}
	r.SQL("UPDATE attempts SET next_lookup_at = $1 WHERE state = 'unknown'", r.Clock().Now().Add(time.Hour))
	report := r.close(today)
	want := []string{"unknown/paid_there unknown 24000 | paid 24000 fee 240 | 24240 | -24240"}
	if diff := cmp.Diff(want, items(report)); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if a := r.attempt(2); a.State != attempt.Unknown || a.NextLookupAt == nil || a.NextLookupAt.After(r.Clock().Now()) {
		t.Errorf("after the close: %s, lookup at %v: a statement is a hint, and decides nothing", a.State, a.NextLookupAt)
	}
	if got := r.balances("suspense"); got != 0 || len(r.told()) != 0 {
		t.Errorf("suspense %d, told %v", got, r.told())
	}
	r.Pass(r.Sender)
	if a := r.attempt(2); a.State != attempt.Succeeded {
		t.Fatalf("the lookup left it %s", a.State)
	}
	r.Clock().Advance(24 * time.Hour)
	next := r.close(tomorrow)
	want = []string{"timing/other_day succeeded 24000 fee 240 | nothing | -24240 | 24240"}
	if diff := cmp.Diff(want, items(next)); diff != "" || next.Head.Difference.Minor != 0 {
		t.Errorf("the day after (-want +got):\n%s%+v", diff, next.Head)
	}
	if next.Head.Opening != report.Head.Closing || next.Head.Previous != report.Seal.Digest || next.Head.Carried != report.Head.Difference.Minor {
		t.Errorf("the days do not follow each other: %+v", next.Head)
	}
	if gaps, err := closingChain(next, report); err != nil || len(gaps) > 0 {
		t.Errorf("chain: %v %v", gaps, err)
	}
	r.verifyBooks()
}

// TestPaidThereThoughFailedHere takes the way of a lookup that contradicts a closed attempt, whichever of them comes first.
func TestPaidThereThoughFailedHere(t *testing.T) {
	t.Parallel()
	for _, lookupFirst := range []bool{false, true} {
		r := faulty(t, simulator.Rule{Fault: simulator.Failed, Message: "recipient-account-blocked"})
		r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
			if day == today {
				lines = append(lines, line("T_paid", r.reference(2), provider.LinePayout, -net, fee, today+"T13:00:00Z"))
			}
			return lines
		})
		s := r.Env.Sender(sending.Hooks{Lookup: paidThere})
		if lookupFirst {
			r.Hint(s)
			r.Pass(s)
		}
		report := r.close(today)
		want := []string{"state_differs/paid_there failed 24000 | paid 24000 fee 240 | 24240 | -24240"}
		if diff := cmp.Diff(want, items(report)); diff != "" {
			t.Errorf("items (-want +got):\n%s", diff)
		}
		r.again(today)
		r.Pass(s)
		if diff := cmp.Diff([]string{"paid_after_closed 24000"}, r.told()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if got := r.balances("suspense"); got != net+fee {
			t.Errorf("suspense holds %d", got)
		}
		if n := r.Count("SELECT count(*) FROM payouts WHERE contradicted AND payout_id = $1", r.id(2)); n != 1 {
			t.Error("the payout may be sent again")
		}
		r.verifyBooks()
		r.Clock().Advance(24 * time.Hour)
		if next := r.close(tomorrow).Head; next.Difference.Minor != 0 || next.Corrections != -net-fee {
			t.Errorf("the day after: %+v", next)
		}
	}
}

// TestTheBalanceIsComparedToo names what neither lines nor books account for.
func TestTheBalanceIsComparedToo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		balance    int64
		lose       bool
		items      []string
		difference int64
	}{
		"agrees": {balance: topped - 3*(net+fee), items: []string{}},
		"less":   {balance: topped - 3*(net+fee) - 500, items: []string{"balance_differs/opening_differs 927280 XOF | 926780 XOF | 500 | -500"}, difference: -500},
		"a line is missing, the money is not": {balance: topped - 3*(net+fee), lose: true, items: []string{
			"balance_differs/opening_differs 951520 XOF | 927280 XOF | 24240 | -24240", "missing_there/payout succeeded 24000 fee 240 | nothing | -24240 | 24240",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 3)
			if c.lose {
				r.onLine(2, func(provider.StatementLine) []provider.StatementLine { return nil })
			}
			// Money that came after midnight is not the day's.
			r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
				if day == tomorrow {
					lines = append(lines, line("T_late", "", provider.LineTopUp, 77, 0, tomorrow+"T00:01:00Z"))
				}
				return lines
			})
			r.Connector.Balance = balance(func() (int64, error) { return c.balance + 77, nil })
			report := r.close(today)
			if diff := cmp.Diff(c.items, items(report)); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if h := report.Head; h.Difference.Minor != c.difference || h.Source != "balance" || h.ProviderClosing.Minor != c.balance {
				t.Errorf("%+v", h)
			}
			again := r.again(today)
			if got := r.told(); len(got) != len(c.items) || len(again.Items) != len(c.items) {
				t.Errorf("told %v", got)
			}
		})
	}
}

// TestWithoutAStatement: what cannot be compared is said, doubts are named all the same, and a balance is compared with the books.
func TestWithoutAStatement(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.PendingForever})
	r.Connector.Statement = nil
	h := r.close(today).Head
	if h.Statement != "none" || h.Source != "none" || h.ProviderClosing.Known || h.Difference.Known || h.Closing != topped-2*(net+fee) || h.Items != 1 {
		t.Errorf("%+v", h)
	}
	r.Connector.Balance = balance(func() (int64, error) { return topped - 3*(net+fee) + 77, nil })
	r.topUp("after midnight", 77)
	r.Clock().Advance(time.Second)
	again := r.again(today)
	want := []string{"balance_differs/opening_differs 951520 XOF | 927280 XOF | 24240 | -24240", "unknown/processing processing 24000 | nothing | 0 | 0"}
	if diff := cmp.Diff(want, items(again)); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if h := again.Head; h.Source != "balance_less_books" || h.Difference.Minor != -24_240 {
		t.Errorf("%+v", h)
	}
}

// TestAStatementThatFailsHalfWay leaves nothing judged; it is read again after a pause, and then at the close's next try.
func TestAStatementThatFailsHalfWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5)
	away := errors.New("the page ends in the middle")
	r.paper.fail = func(int) error { return away }
	if err := r.ask(today, false); err != nil {
		t.Fatal(err)
	}
	r.work()
	if n := r.Count("SELECT count(*) FROM closes WHERE state = 'open' AND tries = 1 AND reason LIKE '%ends in the middle%' AND lease_owner = ''"); n != 1 {
		t.Error("the close does not say why it waits")
	}
	if r.paper.reads != 2 {
		t.Errorf("%d readings", r.paper.reads)
	}
	if n := r.Count("SELECT (SELECT count(*) FROM close_items) + (SELECT count(*) FROM recon_findings)"); n != 0 {
		t.Errorf("%d things were said of half a statement", n)
	}
	r.paper.fail = func(read int) error { // once more, then well
		if read == 3 {
			return away
		}
		return nil
	}
	r.work()
	if r.paper.reads != 2 {
		t.Error("it was read again before its time")
	}
	r.Clock().Advance(5 * time.Minute)
	r.work()
	if diff := cmp.Diff([]string{}, items(r.report(today))); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

// TestALineThatCannotBe makes a statement unreadable: guessing what it means would be worse.
func TestALineThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(l *provider.StatementLine){
		"no id":       func(l *provider.StatementLine) { l.ProviderID = "" },
		"no time":     func(l *provider.StatementLine) { l.At = time.Time{} },
		"no currency": func(l *provider.StatementLine) { l.Amount.Currency = "" },
		"no text":     func(l *provider.StatementLine) { l.Reference = "\x00\xff" },
	} {
		r := newRig(t, 1)
		r.onLine(1, func(l provider.StatementLine) []provider.StatementLine { spoil(&l); return []provider.StatementLine{l} })
		if err := r.ask(today, false); err != nil {
			t.Fatal(err)
		}
		r.work()
		if n := r.Count("SELECT count(*) FROM closes WHERE state = 'open' AND tries = 1"); n != 1 {
			t.Errorf("%s: closed", name)
		}
	}
}

// TestTwoReplicas: while one reads, the other leaves the connector alone; when it takes over, the first one's judgement is void.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	other := r.replica("two")
	var during func()
	r.onPaper(func(_ string, lines []provider.StatementLine) []provider.StatementLine {
		if do := during; do != nil {
			during = nil
			do()
		}
		return lines
	})
	pass := func(c *closing.Closer) (worked bool) {
		worked, err := c.Pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return worked
	}
	during = func() {
		if pass(other) {
			t.Error("both work on one close")
		}
	}
	if err := r.ask(today, false); err != nil {
		t.Fatal(err)
	}
	r.work()
	first := r.report(today)
	during = func() { // it is thought dead, and reads on
		r.SQL("UPDATE closes SET lease_expires_at = now() - interval '1 second' WHERE state = 'open'")
		if !pass(other) {
			t.Error("the close of the dead is not taken over")
		}
	}
	second := r.again(today)
	if second.Head.Revision != 2 || second.Head.Previous != first.Seal.Digest {
		t.Errorf("%+v", second.Head)
	}
	if n := r.Count("SELECT count(*) FROM closes WHERE state = 'completed'"); n != 2 {
		t.Errorf("%d closes", n)
	}
	if n := len(r.EventTypes("recon")); n != 2 {
		t.Errorf("%d events", n)
	}
}
