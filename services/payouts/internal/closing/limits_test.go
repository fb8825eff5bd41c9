package closing_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
)

// TestAMistypedDate is refused, and what is right can still be closed.
func TestAMistypedDate(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for _, date := range []string{"0205-01-25", "2023-01-25"} {
		if err := r.ask(date, false); !errors.Is(err, closing.ErrUnlikely) {
			t.Errorf("%s as the first day: %v", date, err)
		}
	}
	if err := r.ask("2025-01-20", false); !errors.Is(err, closing.ErrEarlier) {
		t.Errorf("a first day before the books: %v", err)
	}
	if n := r.Count("SELECT count(*) FROM closes"); n != 0 {
		t.Fatalf("%d closes", n)
	}
	r.close(today)
	r.Clock().Advance(500 * 24 * time.Hour)
	if err := r.ask(dayAfter(today, 450), false); !errors.Is(err, closing.ErrUnlikely) {
		t.Errorf("450 days at once: %v", err)
	}
	if err := r.ask(dayAfter(today, 30), false); err != nil {
		t.Errorf("30 days: %v", err)
	}
}

// TestADayThatCannotBeClosed is told to people once, at its fourth try.
func TestADayThatCannotBeClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.paper.fail = func(int) error { return errors.New("the page ends in the middle") }
	if err := r.ask(today, false); err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		r.work()
		want := []string{}
		if n >= 3 {
			want = []string{"day_not_closed 0"}
		}
		if diff := cmp.Diff(want, r.told()); diff != "" {
			t.Errorf("told after try %d (-want +got):\n%s", n+1, diff)
		}
		r.Clock().Advance(2 * time.Hour)
	}
}

// TestAStatementThatDoesNotEnd keeps neither the disk nor the closer: the close waits, and says why.
func TestAStatementThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines  int64
		reason string
	}{"in lines": {50, "more than 50 lines"}, "in time": {0, "longer than 2h0m0s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			if c.lines > 0 {
				r.closer.MostLines = c.lines
			}
			r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
				for n := range 100 {
					lines = append(lines, line(fmt.Sprint("E_", n), "", provider.LineOther, -1, 0, today+"T13:00:00Z"))
				}
				return lines
			})
			if c.lines == 0 {
				r.paper.fail = func(int) error { r.Clock().Advance(3 * time.Hour); return nil }
			}
			if err := r.ask(today, false); err != nil {
				t.Fatal(err)
			}
			r.work()
			if n := r.Count("SELECT count(*) FROM closes WHERE state = 'open' AND tries > 0 AND reason LIKE '%' || $1 || '%'", c.reason); n != 1 || r.paper.reads != 1 {
				t.Errorf("closed, or read %d times, or it does not say why", r.paper.reads)
			}
		})
	}
}
