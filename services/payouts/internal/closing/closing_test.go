package closing_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
)

func TestADayThatAgrees(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5)
	report := r.close(today)
	h := report.Head
	if diff := cmp.Diff([]string{}, items(report)); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if h.Opening != 0 || h.TopUps != topped || h.Paid != 5*net || h.Fees != 5*fee || h.Closing != topped-5*(net+fee) {
		t.Errorf("the books: %+v", h)
	}
	if h.Matched != 5 || h.MatchedSum != 5*net || h.Lines != 6 || h.Difference.Minor != 0 || !h.Difference.Known || h.Sequence != 1 || h.Previous != "" {
		t.Errorf("the provider: %+v", h)
	}
	next := r.close(today)
	if next.Seal != report.Seal || r.paper.reads != 1 {
		t.Errorf("closing it again changed the report, or read the statement %d times", r.paper.reads)
	}
	if told := r.told(); len(told) > 0 {
		t.Errorf("told %v", told)
	}
	r.verifyBooks()
}

func TestADayIsClosedWhenItIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	if err := r.ask(tomorrow, false); !errors.Is(err, closing.ErrNotOver) {
		t.Errorf("closing a day that goes on: %v", err)
	}
	r.close(today)
	if err := r.ask("2025-01-24", false); !errors.Is(err, closing.ErrEarlier) {
		t.Errorf("closing a day before the first: %v", err)
	}
}

// TestWhatDoesNotAgree names every way in which a statement can differ, once, and says what becomes of the books.
func TestWhatDoesNotAgree(t *testing.T) {
	t.Parallel()
	type edit = func(l provider.StatementLine) []provider.StatementLine
	keep := func(change func(l *provider.StatementLine)) edit {
		return func(l provider.StatementLine) []provider.StatementLine {
			change(&l)
			return []provider.StatementLine{l}
		}
	}
	for name, c := range map[string]struct {
		edit     edit
		items    []string
		told     []string
		suspense int64
		matched  int64
	}{
		"line missing": {
			edit:  func(provider.StatementLine) []provider.StatementLine { return nil },
			items: []string{"missing_there/payout succeeded 24000 fee 240 | nothing | -24240 | 24240"}, told: []string{"payout -24240"}, matched: 2,
		},
		"another line": {
			edit: func(l provider.StatementLine) []provider.StatementLine {
				return []provider.StatementLine{l, line("T_x", "", provider.LineOther, -700, 7, today+"T13:00:00Z")}
			},
			items: []string{"missing_here/no_reference nothing | other -707 | 707 | -707"}, told: []string{"no_reference 707"}, suspense: 707, matched: 3,
		},
		"a payout that is nobody's": {
			edit: func(l provider.StatementLine) []provider.StatementLine {
				return []provider.StatementLine{l, line("T_x", "salary-7", provider.LinePayout, -700, 7, today+"T13:00:00Z")}
			},
			items: []string{"missing_here/unknown_reference nothing | paid 700 fee 7 | 707 | -707"}, told: []string{"unknown_reference 707"}, suspense: 707, matched: 3,
		},
		"money that came": {
			edit: func(l provider.StatementLine) []provider.StatementLine {
				return []provider.StatementLine{l, line("T_x", "", provider.LineOther, 900, 0, today+"T13:00:00Z")}
			},
			items: []string{"missing_here/no_reference nothing | other 900 | -900 | 900"}, told: []string{"no_reference -900"}, suspense: -900, matched: 3,
		},
		"another amount": {
			edit:  keep(func(l *provider.StatementLine) { l.Amount.Minor = -25_000 }),
			items: []string{"amount_differs/amount_differs succeeded 24000 fee 240 | paid 25000 fee 240 | 1000 | -1000"}, told: []string{"amount_differs 1000"}, suspense: 1000, matched: 2,
		},
		"another fee": {
			edit:  keep(func(l *provider.StatementLine) { l.Fee.Minor = 200 }),
			items: []string{"amount_differs/fee_differs succeeded 24000 fee 240 | paid 24000 fee 200 | -40 | 40"}, told: []string{"fee_differs -40"}, suspense: -40, matched: 2,
		},
		"another currency": {
			edit:  keep(func(l *provider.StatementLine) { l.Amount.Currency, l.Fee.Currency = "GNF", "GNF" }),
			items: []string{"amount_differs/other_currency succeeded 24000 fee 240 | -24240 GNF | 0 | 24240"}, told: []string{"other_currency 0"}, matched: 2,
		},
		"paid twice": {
			edit: func(l provider.StatementLine) []provider.StatementLine {
				other := l
				other.ProviderID = "T_other"
				return []provider.StatementLine{l, other}
			},
			items: []string{"duplicate/paid_twice succeeded 24000 fee 240 | paid 48000 fee 480 in 2 | 24240 | -24240"}, told: []string{"paid_twice 24240"}, suspense: 24_240, matched: 2,
		},
		"the same line twice": {
			edit:  func(l provider.StatementLine) []provider.StatementLine { return []provider.StatementLine{l, l} },
			items: []string{"duplicate/line_repeated one line | 2 lines | 0 | 0"}, told: []string{}, matched: 3,
		},
		"one line, told in two ways": {
			edit: func(l provider.StatementLine) []provider.StatementLine {
				other := l
				other.Amount.Minor--
				return []provider.StatementLine{l, other}
			},
			// The lesser of the two counts, so that the books are taken to owe rather than to have.
			items: []string{
				"amount_differs/amount_differs succeeded 24000 fee 240 | paid 24001 fee 240 | 1 | -1",
				"duplicate/line_contradicts_itself one line | 2 lines | 0 | 0",
			},
			told: []string{"line_contradicts_itself 0", "amount_differs 1"}, suspense: 1, matched: 2,
		},
		"taken back there": {
			edit: func(l provider.StatementLine) []provider.StatementLine {
				return []provider.StatementLine{l, line("T_back", l.Reference, provider.LineReversal, net, -fee, today+"T13:00:00Z")}
			},
			items: []string{"state_differs/reversed_there succeeded 24000 fee 240 | paid 24000 fee 240 back 24240 | -24240 | 24240"}, told: []string{"reversed_there -24240"}, matched: 2,
		},
		"of the next day": {
			edit:  keep(func(l *provider.StatementLine) { l.At = l.At.AddDate(0, 0, 1) }),
			items: []string{"missing_there/payout succeeded 24000 fee 240 | nothing | -24240 | 24240"}, told: []string{"payout -24240"}, matched: 2,
		},
		"in another zone's words": {
			edit:  keep(func(l *provider.StatementLine) { l.At = l.At.In(abroad) }),
			items: []string{}, told: []string{}, matched: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 3)
			r.onLine(2, c.edit)
			report := r.close(today)
			if diff := cmp.Diff(c.items, items(report)); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if report.Head.Matched != c.matched {
				t.Errorf("%d matched", report.Head.Matched)
			}
			again := r.again(today)
			if diff := cmp.Diff(items(report), items(again)); diff != "" || again.Head.Revision != 2 || again.Head.Previous != report.Seal.Digest {
				t.Errorf("reconciled again (-first +second):\n%s%+v", diff, again.Head)
			}
			if diff := cmp.Diff(c.told, r.told()); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if got := r.balances("suspense"); got != c.suspense {
				t.Errorf("suspense holds %d, want %d", got, c.suspense)
			}
			r.verifyBooks()
			if _, err := closingChain(report, again); err != nil {
				t.Error(err)
			}
		})
	}
}
