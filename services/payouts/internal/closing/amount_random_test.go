package closing_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
	"github.com/agogopay/agogo/simulator"
)

// TestLookupsAndStatementsInAnyOrder of one transfer, with people and repeated closes between: the books follow from the tables after each step, the
// float ends as the provider's, and what the books do not explain is in suspense.
func TestLookupsAndStatementsInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newStory(t, seed, 5)
			for range 24 {
				s.step(map[int]func(){0: s.pays, 1: s.givesBack, 4: s.people, 5: s.close, 6: s.closeAgain}, 8)
			}
			s.end()
			for range 3 {
				s.close()
			}
			if s.undecided() {
				return
			}
			want := topped - 2*(net+fee) - s.moved()
			if float := s.r.balances("float:wave"); float != want || s.r.balances("suspense") != s.unexplained() {
				t.Errorf("the float is %d, the provider's %d; %d are in suspense, want %d", float, want, s.r.balances("suspense"), s.unexplained())
			}
			s.r.verifyBooks()
			s.r.CheckEvents()
		})
	}
}

// TestLookupsAndPeopleInAnyOrder, without a statement: people settle what is in suspense between lookups, and the float ends as the provider's.
func TestLookupsAndPeopleInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newStory(t, seed, 9)
			s.r.Connector.Statement = nil
			want := s.r.balances("float:wave")
			for range 20 {
				s.step(map[int]func(){0: s.pays, 1: s.givesBack, 4: s.people, 5: s.people, 6: s.settle, 7: s.settle}, 8)
			}
			s.end()
			if s.undecided() {
				return
			}
			if s.paid && !s.back {
				want -= s.there
			}
			if float := s.r.balances("float:wave"); float != want {
				t.Errorf("the float is %d, the provider's %d; %d are in suspense", float, want, s.r.balances("suspense"))
			}
			s.r.CheckEvents()
		})
	}
}

// story is one transfer that its provider first calls pending, or failed, then pays over some amount, and maybe takes back whole.
type story struct {
	r          *rig
	random     *rand.Rand
	there      int64 // the amount over which it is paid
	lies       bool  // called failed first
	returns    bool
	paid, back bool
	day        int // the next to be closed
	log        []string
}

func newStory(t *testing.T, seed, stream uint64) *story {
	s := &story{r: faulty(t, simulator.Rule{Fault: simulator.PendingForever}), random: rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // the same again for the same seed
	s.there = []int64{net, 25_000, 20_000}[s.random.IntN(3)]
	s.lies, s.returns = s.random.IntN(2) == 0, s.random.IntN(2) == 0
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%d, called failed first: %t, comes back: %t; %s", s.there, s.lies, s.returns, strings.Join(s.log, " | "))
		}
	})
	return s
}

func (s *story) logf(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

// step does one of so many things: what has no number is a lookup.
func (s *story) step(does map[int]func(), of int) {
	s.r.t.Helper()
	if do := does[s.random.IntN(of)]; do != nil {
		do()
	} else {
		s.look()
	}
	s.r.verifyBooks()
}

// end has the provider, and people where they must, say the last word.
func (s *story) end() {
	s.look()
	s.people()
	s.look()
	s.look()
	s.r.verifyBooks()
}

// look is a lookup, which tells what is true at the provider by now.
func (s *story) look() {
	result := provider.Result{Class: provider.Accepted}
	switch {
	case s.back:
		result = provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}
	case s.paid:
		result = provider.Result{Class: provider.Succeeded}
	case s.lies:
		result = provider.Result{Class: provider.RejectedFinal, Code: "failed"}
	}
	s.r.foreign(s.there, result)
	s.logf("%s: %s", result.Class, s.r.attempt(2).State)
}

func (s *story) pays() {
	if s.paid {
		return
	}
	s.paid = true
	today := s.today()
	s.r.add(today, line("T_paid", s.r.reference(2), provider.LinePayout, -s.there, fee, today+"T13:00:00Z"))
	s.logf("paid")
}

func (s *story) givesBack() {
	if !s.paid || !s.returns || s.back {
		return
	}
	s.back = true
	today := s.today()
	s.r.add(today, line("T_back", s.r.reference(2), provider.LineReversal, s.there, -fee, today+"T13:30:00Z"))
	s.logf("back")
}

// people say what is true, of what is theirs and has an end.
func (s *story) people() {
	if s.r.attempt(2).State == attempt.ManualReview && (s.paid || s.lies) {
		s.r.agreed(s.paid)
		s.logf("agreed on paid: %t", s.paid)
	}
}

// settle has two people move the oldest amount out of suspense.
func (s *story) settle() {
	t := s.r.t
	all, err := suspense.List(t.Context(), s.r.Env.Pool, payoutstest.Tenant, "", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.UUID{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		return
	}
	w := suspense.Words{Finding: all[0].Finding, To: "losses", Reason: fmt.Sprint("word ", len(s.log)), Evidence: "a letter"}
	if s.back && s.random.IntN(2) == 0 {
		w.To = "float"
	}
	if _, err := s.r.decide("user:ada", w); err != nil {
		s.logf("%s refused: %v", w.To, err)
		return
	}
	if d, err := s.r.decide("user:ben", w); err != nil || !d.Agreed {
		t.Fatal(d, err)
	}
	s.logf("%d to %s", all[0].Amount.Minor, w.To)
}

func (s *story) close() {
	s.r.close(s.today())
	s.logf("close of %d", s.day)
	s.day++
	s.r.Clock().Advance(24 * time.Hour)
}

func (s *story) closeAgain() {
	if s.day == 0 {
		return
	}
	day := s.random.IntN(s.day)
	s.r.again(dayAfter(today, day))
	s.logf("close of %d again", day)
}

func (s *story) today() string { return dayAfter(today, s.day) }

// undecided says that nobody has the transfer's end yet.
func (s *story) undecided() bool {
	state := s.r.attempt(2).State
	return state == attempt.Processing || state == attempt.ManualReview
}

// moved is what the transfer took from the wallet.
func (s *story) moved() int64 {
	if s.paid && !s.back {
		return s.there + fee
	}
	return 0
}

// unexplained is what moved and is not the payout's.
func (s *story) unexplained() int64 {
	a, unexplained := s.r.attempt(2), s.moved()
	if a.State != attempt.Succeeded || s.r.Count("SELECT count(*) FROM payouts WHERE payout_id = $1 AND state = 'reversed'", s.r.id(2)) > 0 {
		return unexplained
	}
	if a.Fee != nil {
		unexplained -= *a.Fee
	}
	return unexplained - net
}
