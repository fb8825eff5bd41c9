package closing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// byDay has the statement of each date made by a function; nothing of Wave's own is in it.
func (r *rig) byDay(lines func(day string) []provider.StatementLine) {
	r.paper.edit = func(day string, _ []provider.StatementLine) []provider.StatementLine { return lines(day) }
}

func dayAfter(date string, n int) string {
	return payoutstest.At(date+"T00:00:00Z").AddDate(0, 0, n).Format(time.DateOnly)
}

// TestTopUpsFindTheMoneyThatCame over days, in either order, by their amounts; what was put into suspense meanwhile comes out again.
func TestTopUpsFindTheMoneyThatCame(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.byDay(func(day string) []provider.StatementLine {
		switch day {
		case today:
			return []provider.StatementLine{line("T_early", "", provider.LineTopUp, 500, 0, today+"T10:00:00Z")}
		case tomorrow:
			return []provider.StatementLine{line("T_top", "", provider.LineTopUp, topped, 0, tomorrow+"T10:00:00Z")}
		}
		return nil
	})
	first := r.close(today)
	want := []string{
		"awaited/top_up top_up 1000000 | nothing | 1000000 | -1000000",
		"missing_here/no_reference nothing | top_up 500 | -500 | 500",
	}
	if diff := cmp.Diff(want, items(first)); diff != "" {
		t.Errorf("the first day (-want +got):\n%s", diff)
	}
	if got := r.balances("suspense"); got != -500 {
		t.Errorf("suspense holds %d", got)
	}
	r.topUp("late", 500) // booked when the bank's letter came
	r.Clock().Advance(24 * time.Hour)
	second := r.close(tomorrow)
	want = []string{"timing/top_up nothing | top_up 1000000 | -1000000 | 1000000", "timing/top_up top_up 500 | nothing | 500 | -500"}
	if diff := cmp.Diff(want, items(second)); diff != "" {
		t.Errorf("the second day (-want +got):\n%s", diff)
	}
	if got := r.balances("suspense"); got != 0 {
		t.Errorf("suspense holds %d after the other half was found", got)
	}
	r.again(tomorrow)
	r.again(today)
	if got := r.balances("suspense"); got != 0 {
		t.Errorf("suspense holds %d after both days were reconciled again", got)
	}
	if diff := cmp.Diff([]string{"no_reference -500"}, r.told()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	r.Clock().Advance(24 * time.Hour)
	if h := r.close(dayAfter(today, 2)).Head; h.Difference.Minor != 0 {
		t.Errorf("in the end: %+v", h)
	}
	r.verifyBooks()
}

// TestATopUpThatDoesNotCome is named once, after some days; a day without a close of its own is closed on the way.
func TestATopUpThatDoesNotCome(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.byDay(func(string) []provider.StatementLine { return nil })
	r.close(today)
	r.Clock().Advance(5 * 24 * time.Hour)
	r.close(dayAfter(today, 5))
	named := 0
	var all []daybook.Report
	for n := range 6 {
		report := r.report(dayAfter(today, n))
		all = append(all, report)
		for _, i := range report.Items {
			if i.Kind == closing.MissingThere && i.Code == "top_up" {
				named++
				if n != 3 {
					t.Errorf("named on day %d", n)
				}
			}
		}
	}
	if named != 1 {
		t.Errorf("named %d times", named)
	}
	if gaps, err := closingChain(all...); err != nil || len(gaps) > 0 {
		t.Errorf("chain: %v %v", gaps, err)
	}
}

// TestTheEveningAroundMidnight: what is booked just before midnight may stand in the next day's statement, and is missing only when
// it does not; what we book after midnight may stand in the day's.
func TestTheEveningAroundMidnight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second string // when the provider says that it paid
		days          [3][]string
	}{
		"the provider is later": {tomorrow + "T00:00:03Z", tomorrow + "T00:00:04Z", [3][]string{
			{"awaited/payout succeeded 24000 fee 240 | nothing | -24240 | 24240"},
			{"timing/other_day succeeded 24000 fee 240 | paid 24000 fee 240 | 24240 | -24240"},
			{},
		}},
		"it is never there": {"", tomorrow + "T00:00:04Z", [3][]string{
			{"awaited/payout succeeded 24000 fee 240 | nothing | -24240 | 24240"},
			{"missing_there/payout succeeded 24000 fee 240 | nothing | -24240 | 0"},
			{},
		}},
		"the provider is earlier": {today + "T23:59:58Z", today + "T23:59:59Z", [3][]string{
			{"timing/other_day succeeded 24000 fee 240 | paid 24000 fee 240 | 24240 | -24240"},
			{"timing/other_day succeeded 24000 fee 240 | nothing | -24240 | 24240"},
			{},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 0)
			r.Clock().Set(payoutstest.At(today + "T23:59:57Z"))
			id := r.Plan(2)
			// The first is booked before midnight, the second after it.
			r.SQL("UPDATE payouts SET retry_at = $1 WHERE payout_id = $2", payoutstest.At(tomorrow+"T00:00:05Z"), r.id(2))
			r.Dispatch(r.Sender, id)
			r.Clock().Set(payoutstest.At(tomorrow + "T00:00:05Z"))
			r.Dispatch(r.Sender, id)
			if a, b := r.attempt(1), r.attempt(2); !a.ClosedAt.Before(payoutstest.At(tomorrow+"T00:00:00Z")) || b.ClosedAt.Before(payoutstest.At(tomorrow+"T00:00:00Z")) {
				t.Fatalf("booked at %v and %v", a.ClosedAt, b.ClosedAt)
			}
			r.byDay(func(day string) (lines []provider.StatementLine) {
				add := func(l provider.StatementLine) {
					if l.At.Format(time.DateOnly) == day {
						lines = append(lines, l)
					}
				}
				add(line("T_top", "", provider.LineTopUp, topped, 0, today+"T12:00:00Z"))
				if c.first != "" {
					add(line("T_1", r.reference(1), provider.LinePayout, -net, fee, c.first))
				}
				add(line("T_2", r.reference(2), provider.LinePayout, -net, fee, c.second))
				return lines
			})
			r.Clock().Advance(time.Minute)
			for n, want := range c.days {
				if diff := cmp.Diff(want, items(r.close(dayAfter(today, n)))); diff != "" {
					t.Errorf("day %d (-want +got):\n%s", n, diff)
				}
				r.Clock().Advance(24 * time.Hour)
			}
		})
	}
}

// TestWhatIsCommittedLate is told by the next day, whose sums still lead from one closing to the other.
func TestWhatIsCommittedLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	first := r.close(today)
	now := r.Clock().Now()
	r.Clock().Set(payoutstest.At(today + "T23:59:59Z")) // by a process that was asleep
	r.topUp("asleep", 300)
	r.Clock().Set(now.Add(24 * time.Hour))
	second := r.close(tomorrow)
	if h := second.Head; h.Opening != first.Head.Closing || h.Late != 300 || h.Closing != topped+300 || h.TopUps != 0 {
		t.Errorf("%+v", h)
	}
	if _, err := closingChain(first, second); err != nil {
		t.Error(err)
	}
}

// TestTheJob closes the day before its tick's; it is complete when the reports are made, or when their providers are waited for.
func TestTheJob(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.Ticks.Jobs[closing.Job] = r.closer.Page
	r.Exec.Jobs[closing.Job] = r.closer.Page
	fire := func(nominal string) string {
		return r.Env.Run(payoutstest.Tick("close", closing.Job, nominal)).String()
	}
	state := func(id string) string {
		var s string
		if err := r.Env.Pool.QueryRow(t.Context(), "SELECT state FROM runs WHERE run_id = $1", id).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	id := fire(tomorrow + "T00:01:00Z")
	if got := state(id); got != run.Running {
		t.Errorf("the run is %s before its report is made", got)
	}
	r.work()
	if got := state(id); got != run.Completed {
		t.Errorf("the run is %s", got)
	}
	report := r.report(today)
	// A tick of the same day by hand changes nothing, and one that comes late leads to the same report.
	fire(tomorrow + "T00:02:00Z")
	r.work()
	if again := r.report(today); again.Seal != report.Seal || r.paper.reads != 1 {
		t.Error("closed twice")
	}
	r.paper.edit = nil
	r.paper.fail = func(int) error { return context.DeadlineExceeded }
	r.onPaper(func(string, []provider.StatementLine) []provider.StatementLine {
		return []provider.StatementLine{line("T_1", "", provider.LineTopUp, 1, 0, tomorrow+"T01:00:00Z")}
	})
	r.Clock().Advance(24 * time.Hour)
	id = fire(dayAfter(tomorrow, 1) + "T00:01:00Z")
	r.work()
	if got := state(id); got != run.Completed {
		t.Errorf("the run waits for a provider that is away: %s", got)
	}
}

// TestAReportWhoseRowsWereChanged is not handed out.
func TestAReportWhoseRowsWereChanged(t *testing.T) {
	t.Parallel()
	for _, change := range []string{
		"UPDATE close_items SET found = 'nothing of note'", "DELETE FROM close_items", "UPDATE closes SET matched = matched + 1",
		"UPDATE closes SET digest = repeat('0', 64)",
	} {
		r := newRig(t, 2)
		r.onLine(1, func(provider.StatementLine) []provider.StatementLine { return nil })
		r.close(today)
		r.SQL(change)
		var out strings.Builder
		err := r.closer.Report(t.Context(), payoutstest.Tenant, "wave", today, 0, daybook.NewCSV(&out))
		if err == nil || !strings.Contains(err.Error(), "somebody has changed them") || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", change, err, out.Len())
		}
	}
	r := newRig(t, 0)
	if err := r.closer.Report(t.Context(), payoutstest.Tenant, "wave", today, 0, daybook.NewCSV(&strings.Builder{})); err != closing.ErrNoReport { //nolint:errorlint // the very one
		t.Errorf("a report that is not there: %v", fmt.Sprint(err))
	}
}
