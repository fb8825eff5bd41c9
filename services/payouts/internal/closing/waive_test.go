package closing_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

const outage = "ticket 4711: no statement before Monday"

var errHalf = errors.New("the page ends in the middle")

// waive says that a day is to be closed without its statement.
func (r *rig) waive(date, actor, reason string) (agreed bool, err error) {
	said, err := r.word(date, actor, reason)
	return said.Agreed, err
}

// word says so, too, and tells all that came of it.
func (r *rig) word(date, actor, reason string) (said closing.Waived, err error) {
	tenant, _ := r.Tenants.Tenant(payoutstest.Tenant)
	err = pg.InTx(r.Ctx(), r.Env.Pool, func(tx pgx.Tx) (err error) {
		said, err = r.closer.Waive(r.Ctx(), tx, tenant, "wave", date, reason, actor)
		return err
	})
	return said, err
}

// unread has the statement of a day not read, after half of it, and tries.
func (r *rig) unread(date string) {
	r.t.Helper()
	r.paper.fail = func(int) error { return errHalf }
	if err := r.ask(date, false); err != nil {
		r.t.Fatal(err)
	}
	r.work()
}

// both has two people close the day without its statement.
func (r *rig) both(date string) {
	r.t.Helper()
	for n, actor := range []string{"user:ada", "user:ben"} {
		if agreed, err := r.waive(date, actor, outage); err != nil || agreed != (n == 1) {
			r.t.Fatalf("%s: %v, %v", actor, agreed, err)
		}
	}
	r.work()
}

// TestNobodyAloneClosesADayWithoutItsStatement: two people with one reason do, and the signed report says that nothing was compared.
func TestNobodyAloneClosesADayWithoutItsStatement(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	for date, want := range map[string]error{today: closing.ErrNoClose, "x": nil} {
		if _, err := r.waive(date, "user:ada", outage); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("before anybody asked for %s: %v", date, err)
		}
	}
	if err := r.ask(today, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.waive(today, "user:ada", outage); !errors.Is(err, closing.ErrNotTried) {
		t.Errorf("before its statement was tried: %v", err)
	}
	r.unread(today)
	for _, say := range []struct{ actor, reason string }{{"user:ada", outage}, {"user:ada", outage}, {"user:ben", "another reason"}, {"user:ada", outage}} {
		if agreed, err := r.waive(today, say.actor, say.reason); err != nil || agreed {
			t.Fatalf("%v: %v, %v", say, agreed, err)
		}
	}
	r.Clock().Advance(time.Hour)
	r.work()
	if n := r.Count("SELECT count(*) FROM closes WHERE state = 'open'"); n != 1 {
		t.Fatal("one person closed the day")
	}
	if agreed, err := r.waive(today, "user:ben", outage); err != nil || !agreed {
		t.Fatalf("the second person: %v, %v", agreed, err)
	}
	r.work()
	report := r.report(today)
	h := report.Head
	if h.Statement != closing.NotCompared || h.WaivedBy != "user:ada, user:ben" || h.WaivedBecause != outage || h.Lines != 0 || h.Matched != 0 || h.Difference.Known {
		t.Errorf("the report: %+v", h)
	}
	want := []string{
		"awaited/top_up top_up 1000000 | nothing | 1000000 | 0", "not_compared/statement the statement of 2025-01-25 | " + errHalf.Error() + " | 0 | 0",
	}
	if diff := cmp.Diff(want, items(report)); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if n := r.Count("SELECT count(*) FROM close_lines"); n != 0 {
		t.Errorf("%d lines of half a statement are kept", n)
	}
	if got := r.statements(); !slices.Equal(got, []string{closing.NotCompared}) {
		t.Errorf("events say %v", got)
	}
	if _, err := r.waive(today, "user:ada", outage); !errors.Is(err, closing.ErrClosed) {
		t.Errorf("a closed day: %v", err)
	}
}

// statements lists what the events about reports say of theirs.
func (r *rig) statements() (all []string) {
	r.t.Helper()
	for _, ev := range r.Events() {
		var m eventsv1.Recon
		if ev.Type != "recon.completed" {
			continue
		}
		if err := event.Decode(ev.Body, &m); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, m.GetStatement())
	}
	return all
}

// TestAStatementThatIsThereAfterAllIsCompared though two people would have gone without.
func TestAStatementThatIsThereAfterAllIsCompared(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.unread(today)
	r.paper.fail = nil
	r.both(today)
	if h := r.report(today).Head; h.Statement != "read" || h.WaivedBy != "" || h.WaivedBecause != "" || h.Matched != 3 {
		t.Errorf("%+v", h)
	}
}

// TestWaivingIsForStatementsThatThereAre: a provider without statements needs nobody's word.
func TestWaivingIsForStatementsThatThereAre(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.Connector.Statement = nil
	r.close(today)
	if _, err := r.waive(today, "user:ada", outage); !errors.Is(err, closing.ErrNoStatement) {
		t.Errorf("a provider without statements: %v", err)
	}
}

// TestDaysAfterOneThatWasNotCompared take what was booked on it to have had its line, name it until it is read, and go on from what the
// provider had before it; read later, it is compared as any other.
func TestDaysAfterOneThatWasNotCompared(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if day == today { // nobody has booked it: the difference stays
			lines = append(lines, line("T_x", "", provider.LineOther, -700, 0, today+"T13:00:00Z"))
		}
		return lines
	})
	var all []daybook.Report
	all = append(all, r.close(today))
	r.evening(2)
	r.unread(tomorrow)
	r.both(tomorrow)
	all = append(all, r.report(tomorrow))
	if h := all[1].Head; h.Carried != -700 || h.Corrections != -700 || h.Paid != 2*net {
		t.Errorf("not compared: %+v", h)
	}
	// The fee of what was paid on the second day is told late, and the first payout is taken back: their lines were on that day.
	r.paper.fail = nil
	r.Clock().Advance(24 * time.Hour)
	r.SQL(`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
		SELECT 'lebenis', 'attempt.fee', subject_id || '/1', 7, 'fees', 'float:wave', 'XOF', 60, $1 FROM attempts WHERE submitted_at > '2025-01-26' LIMIT 1`, r.Clock().Now().Add(-time.Hour))
	all = append(all, r.close(dayAfter(today, 2)))
	want := []string{
		"not_compared/earlier_day the statement of 2025-01-26 | not read yet | 0 | 0", "timing/other_day succeeded 24000 fee 240 | nothing | -60 | 60",
	}
	if diff := cmp.Diff(want, items(all[2])); diff != "" {
		t.Errorf("the day after (-want +got):\n%s", diff)
	}
	if h := all[2].Head; h.Carried != 0 || h.Opening != all[1].Head.Closing {
		t.Errorf("the day after: %+v", h)
	}
	all = append(all, r.again(tomorrow))
	if h := all[3].Head; h.Statement != "read" || h.Matched != 2 || h.Revision != 2 || len(items(all[3])) > 0 {
		t.Errorf("read after all: %+v %v", h, items(all[3]))
	}
	r.Clock().Advance(24 * time.Hour)
	if all = append(all, r.close(dayAfter(today, 3))); len(items(all[4])) > 0 {
		t.Errorf("it is still named: %v", items(all[4]))
	}
	if gaps, err := closingChain(all...); err != nil || len(gaps) > 0 {
		t.Errorf("chain: %v %v", gaps, err)
	}
}

// evening pays n more payees on the next day.
func (r *rig) evening(n int) {
	r.t.Helper()
	r.Clock().Advance(12 * time.Hour)
	csv := payoutstest.Header
	for i := range n {
		csv += payoutstest.Pay("next-"+string(rune('a'+i)), sending.Payee(20+i), 30_000, today+"T10:00:00Z")
	}
	if _, refused := r.Import(csv); len(refused) > 0 {
		r.t.Fatal(refused)
	}
	r.Dispatch(r.Sender, r.Run(payoutstest.Daily(today+"T23:59:00Z")))
	r.Clock().Advance(12 * time.Hour)
}

// TestADoubtOutlivesADayThatWasNotCompared: what a statement had as paid, and is found failed after a day without statement, is
// contradicted and not sent again.
func TestADoubtOutlivesADayThatWasNotCompared(t *testing.T) {
	t.Parallel()
	r := faulty(t, simulator.Rule{Fault: simulator.LostAnswer})
	r.SQL("UPDATE attempts SET next_lookup_at = $1 WHERE state = 'unknown'", r.Clock().Now().Add(time.Hour))
	r.close(today)
	r.Clock().Advance(24 * time.Hour)
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if day == tomorrow { // something that cannot be read
			lines = append(lines, line("T_x", "", provider.LineOther, -1, 0, tomorrow+"T13:00:00Z"))
		}
		return lines
	})
	r.unread(tomorrow)
	r.both(tomorrow)
	s := r.Env.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "x"}}, nil
	}})
	r.SQL("UPDATE attempts SET next_lookup_at = $1 WHERE state = 'unknown'", r.Clock().Now())
	r.Pass(s)
	r.paper.fail = nil
	r.Clock().Advance(24 * time.Hour)
	report := r.close(dayAfter(today, 2))
	if all := items(report); !slices.Contains(all, "state_differs/paid_there failed 24000 | nothing | 24240 | 0") {
		t.Errorf("the day after: %v", all)
	}
	if got := r.balances("suspense"); got != net+fee {
		t.Errorf("suspense holds %d", got)
	}
	if n := r.Count("SELECT count(*) FROM payouts WHERE contradicted AND payout_id = $1", r.id(2)); n != 1 {
		t.Error("the payout may be sent again")
	}
}

// TestATopUpOfADayThatWasNotCompared is not booked a second time when its money comes on the next.
func TestATopUpOfADayThatWasNotCompared(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.byDay(func(day string) []provider.StatementLine {
		if day == tomorrow {
			return []provider.StatementLine{line("T_top", "", provider.LineTopUp, topped, 0, tomorrow+"T10:00:00Z")}
		}
		return []provider.StatementLine{line("T_x", "", provider.LineOther, -1, 0, day+"T10:00:00Z")}
	})
	r.unread(today)
	r.both(today)
	r.paper.fail = nil
	r.Clock().Advance(24 * time.Hour)
	r.close(tomorrow)
	if got := r.balances("suspense"); got != 0 {
		t.Errorf("suspense holds %d", got)
	}
	r.Clock().Advance(24 * time.Hour * 5)
	r.close(dayAfter(today, 5))
	if slices.Contains(r.told(), "top_up 1000000") {
		t.Errorf("told %v", r.told())
	}
}

// Replica one hangs in its last reading for longer than its lease; two takes over and has read every line when one's reading fails and it
// would close the day without.
func TestWhoLostTheCloseLeavesItsLinesAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.unread(today)
	two := r.replica("two")
	started, release, oneEnded := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	last := r.paper.reads + 2 // of the two readings of replica one
	r.paper.fail = func(n int) error {
		switch {
		case n > last:
			return nil
		case n == last:
			close(started)
			<-release
		}
		return errHalf
	}
	var once sync.Once
	r.Connector.Balance = balance(func() (int64, error) {
		once.Do(func() { close(release); <-oneEnded }) // two has read its lines
		return 0, provider.ErrNotNow
	})
	for _, a := range []string{"user:ada", "user:ben"} {
		if _, err := r.waive(today, a, outage); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.waive(today, "user:cyd", "another reason"); !errors.Is(err, closing.ErrAgreed) {
		t.Errorf("what two have agreed on was put aside by a third: %v", err)
	}
	go func() { _, err := r.closer.Pass(r.t.Context()); oneEnded <- err; close(oneEnded) }()
	<-started
	r.SQL("UPDATE closes SET lease_expires_at = now() - interval '1 second' WHERE state = 'open'")
	if _, err := two.Pass(r.t.Context()); err != nil {
		t.Error(err)
	}
	if h := r.report(today).Head; h.Statement != "read" || h.Lines != 4 || h.WaivedBy != "" {
		t.Errorf("the report says %+v, want all that two has read", h)
	}
}

// onError is a log that has something done when an error is written to it.
type onError struct {
	slog.Handler
	do func()
}

func (h onError) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (h onError) Handle(context.Context, slog.Record) error {
	h.do()
	return nil
}

// TestAWordDuringATry that has looked for it already is not forgotten by it: the day is tried at once, as the second person was told.
func TestAWordDuringATry(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.unread(today)
	if _, err := r.waive(today, "user:ada", outage); err != nil {
		t.Fatal(err)
	}
	r.Clock().Advance(time.Hour)
	agreed := false
	r.closer.Logger = slog.New(onError{slog.DiscardHandler, func() { // the try has failed, and is not put off yet
		if agreed {
			return
		}
		var err error
		if agreed, err = r.waive(today, "user:ben", outage); err != nil {
			t.Error(err)
		}
	}})
	r.work()
	if h := r.report(today).Head; !agreed || h.Statement != closing.NotCompared || h.WaivedBy != "user:ada, user:ben" {
		t.Errorf("agreed %v: %+v", agreed, h)
	}
}

// TestAWordThatATryHasSeen is no reason to try at once again: what keeps the day open is something else.
func TestAWordThatATryHasSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.unread(today)
	r.SQL("ALTER TABLE closes ADD CONSTRAINT defect CHECK (state <> 'completed')")
	for _, actor := range []string{"user:ada", "user:ben"} {
		if _, err := r.waive(today, actor, outage); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []bool{true, false} {
		if more, err := r.closer.Pass(t.Context()); err != nil || more != want {
			t.Errorf("pass %d: more is %v, want %v (%v)", n, more, want, err)
		}
	}
	r.SQL("ALTER TABLE closes DROP CONSTRAINT defect")
	r.Clock().Advance(time.Hour)
	r.work()
	if h := r.report(today).Head; h.Statement != closing.NotCompared {
		t.Errorf("%+v", h)
	}
}

// TestAWordWhileTheDayIsJudged is told so at once: whoever judges holds the close for minutes, and what the word holds meanwhile is what everybody waits
// behind who asks for a day of the connector.
func TestAWordWhileTheDayIsJudged(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.unread(today)
	r.InTx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.Ctx(), "SELECT FROM closes WHERE state = 'open' FOR UPDATE"); err != nil {
			return err
		}
		if _, err := r.waive(today, "user:ada", outage); !errors.Is(err, closing.ErrJudged) {
			t.Errorf("while it is judged: %v", err)
		}
		return nil
	})
	r.both(today)
	if h := r.report(today).Head; h.Statement != closing.NotCompared {
		t.Errorf("%+v", h)
	}
}
