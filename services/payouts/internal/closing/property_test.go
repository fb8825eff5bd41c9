package closing_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
)

// world is a provider's statement made up at random, and what a close of it has to say, worked out beside it.
type world struct {
	r        *rig
	random   *rand.Rand
	lines    []provider.StatementLine
	named    []string // "kind reference or line" of today
	suspense int64
}

func (w *world) expect(kind, what string) { w.named = append(w.named, kind+" "+what) }

func (w *world) add(l provider.StatementLine) { w.lines = append(w.lines, l) }

// payout puts the line of payee n into the statement, or something else.
func (w *world) payout(n int) {
	reference, extra := w.r.reference(n), 1+w.random.Int64N(999)
	l := line(fmt.Sprintf("T_%d", n), reference, provider.LinePayout, -net, fee, today+"T12:00:10Z")
	switch w.random.IntN(10) {
	case 0:
		w.expect(closing.MissingThere, reference)
		return
	case 1:
		l.Amount.Minor -= extra
		w.expect(closing.AmountDiffers, reference)
		w.suspense += extra
	case 2:
		l.Fee.Minor += extra
		w.expect(closing.AmountDiffers, reference)
		w.suspense += extra
	case 3:
		second := l
		second.ProviderID += "_again"
		w.add(second)
		w.expect(closing.Duplicate, reference)
		w.suspense += net + fee
	case 4:
		w.add(l)
		w.expect(closing.Duplicate, l.ProviderID)
	case 5:
		l.At = l.At.AddDate(0, 0, 1)
		w.expect(closing.MissingThere, reference)
	case 6:
		w.add(line(l.ProviderID+"_back", reference, provider.LineReversal, net, -fee, today+"T18:00:00Z"))
		w.expect(closing.StateDiffers, reference)
	case 7:
		l.Amount.Currency, l.Fee.Currency = "GNF", "GNF"
		w.expect(closing.AmountDiffers, reference)
	}
	w.add(l)
}

// stranger puts a line that is nobody's.
func (w *world) stranger(n int) {
	id, minor := fmt.Sprintf("X_%d", n), 1+w.random.Int64N(5000)*2 // odd: no top-up has such an amount
	switch w.random.IntN(3) {
	case 0:
		w.add(line(id, "", provider.LineOther, -minor, 0, today+"T09:00:00Z"))
		w.suspense += minor
		w.expect(closing.MissingHere, id)
	case 1:
		w.add(line(id, "", provider.LineTopUp, minor, 0, today+"T09:00:00Z"))
		w.suspense -= minor
		w.expect(closing.MissingHere, id)
	default:
		w.add(line(id, "theirs-"+id, provider.LinePayout, -minor, 3, today+"T09:00:00Z"))
		w.suspense += minor + 3
		w.expect(closing.MissingHere, "theirs-"+id)
	}
}

// topUp books one whose money comes the same day or the next.
func (w *world) topUp(n int) {
	minor := 2 * (1 + w.random.Int64N(20)) // of few amounts, so that several are alike
	now := w.r.Clock().Now()
	w.r.Clock().Set(now.Add(-10 * time.Hour))
	w.r.topUp(fmt.Sprintf("letter-%d", n), minor)
	w.r.Clock().Set(now)
	at := today
	if w.random.IntN(2) == 0 {
		at = tomorrow
	}
	w.add(line(fmt.Sprintf("U_%d", n), "", provider.LineOther, minor, 0, at+"T15:00:00Z"))
}

// total is what the lines up to the end of a day did to the float, each counted once.
func (w *world) total(end time.Time) (sum int64) {
	seen := map[string]bool{}
	for _, l := range w.lines {
		if !seen[l.ProviderID] && l.Amount.Currency == "XOF" && l.At.Before(end) {
			sum += l.Amount.Minor - l.Fee.Minor
		}
		seen[l.ProviderID] = true
	}
	return sum
}

// TestRandomDays: whatever a statement says, opening and movements lead to the closing, the items account for all of the difference
// (which Verify checks), each exception is named once, and saying it again changes nothing.
func TestRandomDays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &world{r: newRig(t, 10), random: rand.New(rand.NewPCG(seed, 7))} //nolint:gosec // the same again for the same seed
			w.add(line("T_top", "", provider.LineOther, topped, 0, today+"T12:00:05Z"))
			for n := range 10 {
				w.payout(n + 1)
			}
			for n := range w.random.IntN(4) {
				w.stranger(n)
			}
			for n := range w.random.IntN(6) {
				w.topUp(n)
			}
			w.random.Shuffle(len(w.lines), func(i, j int) { w.lines[i], w.lines[j] = w.lines[j], w.lines[i] })
			w.r.byDay(func(day string) (lines []provider.StatementLine) {
				for _, l := range w.lines {
					if l.At.Format(time.DateOnly) == day {
						lines = append(lines, l)
					}
				}
				return lines
			})
			w.check()
		})
	}
}

func (w *world) check() {
	t, r := w.r.t, w.r
	first := r.close(today)
	if diff := cmp.Diff(sorted(w.named), sorted(exceptions(first))); diff != "" {
		t.Errorf("named (-want +got):\n%s", diff)
	}
	w.balanced(first)
	told := r.told()
	second := r.again(today)
	if diff := cmp.Diff(sorted(exceptions(first)), sorted(exceptions(second))); diff != "" {
		t.Errorf("named again (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(told, r.told()); diff != "" {
		t.Errorf("told again (-first +second):\n%s", diff)
	}
	if got := r.balances("suspense"); got != w.suspense {
		t.Errorf("suspense holds %d, want %d", got, w.suspense)
	}
	r.verifyBooks()
	r.Clock().Advance(24 * time.Hour)
	third := r.close(tomorrow)
	w.balanced(third)
	if got := third.Head.Corrections; got != -w.suspense {
		t.Errorf("corrections of %d, want %d", got, -w.suspense)
	}
	if gaps, err := closingChain(first, second, third); err != nil || len(gaps) > 0 {
		t.Errorf("chain: %v %v", gaps, err)
	}
}

// balanced holds a day's difference against the statement and the postings as they are.
func (w *world) balanced(report daybook.Report) {
	end, err := time.Parse(time.RFC3339, report.Head.To)
	if err != nil {
		w.r.t.Fatal(err)
	}
	books := w.r.Count(`SELECT COALESCE(sum(CASE WHEN debit = 'float:wave' THEN amount ELSE -amount END), 0)::bigint FROM ledger_postings
		WHERE 'float:wave' IN (debit, credit) AND occurred_at < $1`, end)
	if h := report.Head; h.Closing != books || h.Difference.Minor != w.total(end)-books {
		w.r.t.Errorf("%s: closing %d, difference %d; the postings say %d, the lines %d", h.Date, h.Closing, h.Difference.Minor, books, w.total(end))
	}
}

// exceptions are "kind what" of a report.
func exceptions(r daybook.Report) []string {
	var all []string
	for _, i := range r.Items {
		switch {
		case i.Kind == closing.Awaited || i.Kind == closing.Timing:
		case i.Kind == closing.Duplicate && i.Code != "paid_twice" || i.Reference == "":
			all = append(all, i.Kind+" "+i.ProviderID)
		default:
			all = append(all, i.Kind+" "+i.Reference)
		}
	}
	return all
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
