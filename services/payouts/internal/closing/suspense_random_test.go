package closing_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

// TestSuspenseFollowsTheLines over days, second payments, returns, lines of strangers and revisions in any order: in the end suspense
// is what the lines as they are read last have beyond the books, reference by reference, the difference is what only the books have,
// and everything in suspense was told.
func TestSuspenseFollowsTheLines(t *testing.T) {
	t.Parallel()
	const payees, days = 4, 3
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r, random := newRig(t, payees), rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // the same again for the same seed
			var lines []provider.StatementLine
			r.byDay(func(day string) (of []provider.StatementLine) {
				for _, l := range append(lines, line("T_top", "", provider.LineOther, topped, 0, today+"T12:00:05Z")) {
					if l.At.Format(time.DateOnly) == day {
						of = append(of, l)
					}
				}
				return of
			})
			for round := range 4 {
				lines = statement(random, r, payees, days)
				if round == 0 {
					r.days(days)
					continue
				}
				for _, d := range random.Perm(days) { // every day's statement is another one now
					r.again(dayAfter(today, d))
				}
			}
			r.Clock().Advance(24 * time.Hour)
			r.close(dayAfter(today, days))
			r.Clock().Advance(24 * time.Hour)
			last := r.close(dayAfter(today, days+1)).Head
			suspense, missing := r.owed(lines, payees)
			if got := r.balances("suspense"); got != suspense {
				t.Errorf("suspense holds %d, the lines have %d beyond the books", got, suspense)
			}
			if last.Difference.Minor != missing {
				t.Errorf("a difference of %d, the books alone have %d", last.Difference.Minor, missing)
			}
			r.verifyBooks()
		})
	}
}

// statement makes up all days: each payee is paid up to three times, of which all but one may come back; others use the wallet, too.
func statement(random *rand.Rand, r *rig, payees, days int) (lines []provider.StatementLine) {
	at := func() string { return dayAfter(today, random.IntN(days)) + "T13:00:00Z" }
	for n := range payees {
		paid := random.IntN(4)
		for i := range paid {
			extra := int64(random.IntN(2) * random.IntN(500))
			lines = append(lines, line(fmt.Sprintf("P_%d_%d", n, i), r.reference(n+1), provider.LinePayout, -net-extra, fee, at()))
		}
		for i := range random.IntN(max(paid, 1)) {
			lines = append(lines, line(fmt.Sprintf("R_%d_%d", n, i), r.reference(n+1), provider.LineReversal, net, -fee, at()))
		}
	}
	for n := range random.IntN(4) {
		reference := []string{"", "salaire"}[random.IntN(2)]
		lines = append(lines, line(fmt.Sprintf("X_%d", n), reference, provider.LinePayout, -100-random.Int64N(1000), 1, at()))
	}
	return lines
}

// owed works out what is to be in suspense, and what only the books have.
func (r *rig) owed(lines []provider.StatementLine, payees int) (suspense, missing int64) {
	r.t.Helper()
	moved, paid := map[string]int64{}, map[string]bool{}
	for _, l := range lines {
		key := l.Reference
		if key == "" || key == "salaire" {
			key = l.ProviderID
			suspense += l.Fee.Minor - l.Amount.Minor
		}
		moved[key] += l.Fee.Minor - l.Amount.Minor
		paid[key] = true
	}
	for n := range payees {
		reference := r.reference(n + 1)
		if !paid[reference] {
			missing += net + fee
			continue
		}
		beyond := moved[reference] - net - fee
		suspense += beyond
		if told := r.Count("SELECT count(*) FROM recon_findings WHERE subject_id = $1 AND code <> 'explained'", r.id(n+1)); beyond != 0 && told == 0 {
			r.t.Errorf("%d beyond the books of payee %d, and nobody was told", beyond, n+1)
		}
	}
	return suspense, missing
}
