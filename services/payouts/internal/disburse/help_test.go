package disburse_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// One replica was given all pages of a run, and the other the command of one page, as the sweeper emits them again. Each has half of the
// provider's rate, and neither leaves its half to nobody: the other one helps with all pages, and each payout is sent once.
func TestReplicasShareARunOfFewPages(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Config.RatePerSec, e.Planner.PageSize = 100, 12
	var sent [2]atomic.Int64
	var replicas [2]*sending.Sender
	for i := range replicas {
		replicas[i] = e.Sender(sending.Hooks{Before: func(context.Context, provider.Transfer) { sent[i].Add(1) }})
		replicas[i].Connector.Throttle.Share(len(replicas))
	}
	run := e.Plan(120)
	e.Moving(func() {
		var working sync.WaitGroup
		hand := func(s *sending.Sender, page int) {
			working.Go(func() {
				if err := s.Dispatch(e.Ctx(), run, page); err != nil {
					t.Error(err)
				}
			})
		}
		for page := range 10 {
			hand(replicas[0], page)
		}
		hand(replicas[1], 0)
		working.Wait()
	})
	if diff := cmp.Diff(map[string]int64{"succeeded": 120}, e.PayoutStates()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	t.Logf("the replicas sent %d and %d of 120", sent[0].Load(), sent[1].Load())
	if n := sent[1].Load(); n < 40 {
		t.Errorf("the one with the command of one page sent %d of 120", n)
	}
	paidOnce(t, e, 120)
	e.Check()
}

// Where nothing goes, nobody helps: a command of one page of a paused run looks at no other one.
func TestNobodyHelpsWhereNothingGoes(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Planner.PageSize = 5
	s := e.Sender()
	asked := 0
	help := s.Help
	s.Help = func(ctx context.Context, run uuid.UUID, except []int) (int, bool, error) {
		asked++
		return help(ctx, run, except)
	}
	run := e.Plan(20)
	e.SQL("UPDATE batches SET control = 'paused'")
	e.Dispatch(s, run)
	if asked != 0 {
		t.Errorf("%d looks for more where nothing goes", asked)
	}
	e.SQL("UPDATE batches SET control = 'open'")
	if err := s.Dispatch(e.Ctx(), run, 2); err != nil { // one command is enough for all pages
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"succeeded": 20}, e.PayoutStates()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if asked != 4 {
		t.Errorf("%d looks for more of 4 pages", asked)
	}
	paidOnce(t, e, 20)
	e.Check()
}

// The last page cannot go, for its provider is asked about it after a restore: those before it are helped with all the same.
func TestAPageThatCannotGoEndsNoHelp(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Planner.PageSize = 5
	s := e.Sender()
	run := e.Plan(20)
	e.SQL(`INSERT INTO prechecks (subject_id, epoch, tenant, provider, number, amount, currency, destination, run_id, page, sent_until, state, next_at)
		SELECT payout_id, 1, tenant, provider, 1, net, currency, destination, run_id, page, now(), 'asking', now() FROM payouts WHERE page = 3`)
	looks := 0
	help := s.Help
	s.Help = func(ctx context.Context, run uuid.UUID, except []int) (int, bool, error) {
		looks++
		return help(ctx, run, except)
	}
	if err := s.Dispatch(e.Ctx(), run, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"succeeded": 15, "approved": 5}, e.PayoutStates()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if looks != 4 {
		t.Errorf("%d looks for more of 4 pages", looks)
	}
}
