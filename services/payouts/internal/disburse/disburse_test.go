package disburse_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestAPageIsPaid(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	s := e.Sender()
	run := e.Send(s, 40)
	if diff := cmp.Diff(map[string]int64{"succeeded": 40}, e.PayoutStates()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := e.Requests(); n != 40 {
		t.Errorf("%d requests for 40 payouts", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run is not complete though everything is paid")
	}
	if n := s.Connector.Throttle.InUse(); n != 0 {
		t.Errorf("%d slots were not given back", n)
	}
	e.Dispatch(s, run) // the command again
	if n := e.Requests(); n != 40 {
		t.Errorf("a repeated command sent %d more", n-40)
	}
	e.Check()
}

// Each fault that a provider can show while it is asked to pay, what becomes of the payout at once, and what becomes of it
// when time passes and the provider is well again.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  simulator.Fault
		times  int
		rule   func(*simulator.Rule)
		first  string
		later  string
		moved  int
		counts bool // toward max_attempts
	}{
		"read timeout but paid":        {fault: simulator.TimeoutAfter, times: 1, first: "unknown/timeout", later: "succeeded", moved: 1},
		"answer lost after payment":    {fault: simulator.LostAnswer, times: 1, first: "unknown/connection_lost", later: "succeeded", moved: 1},
		"reset after payment":          {fault: simulator.ResetAfter, times: 1, first: "unknown/connection_lost", later: "succeeded", moved: 1},
		"502 after payment":            {fault: simulator.ServerErrorAfter, times: 1, first: "unknown/server_error", later: "succeeded", moved: 1},
		"408 after payment":            {fault: simulator.ServerErrorAfter, times: 1, rule: func(r *simulator.Rule) { r.Status = 408 }, first: "unknown/server_error", later: "succeeded", moved: 1},
		"garbage after payment":        {fault: simulator.Garbage, times: 1, first: "unknown/unreadable_answer", later: "succeeded", moved: 1},
		"lookup blind for a while":     {fault: simulator.LookupBlind, times: 1, rule: func(r *simulator.Rule) { r.Duration = 3 * time.Second }, first: "unknown/connection_lost", later: "succeeded", moved: 1},
		"reset before payment":         {fault: simulator.ResetBefore, times: 1, first: "unknown/connection_lost", later: "manual_review/not_resendable"},
		"503 before payment":           {fault: simulator.ServerErrorBefore, times: 1, first: "unknown/server_error", later: "manual_review/not_resendable"},
		"pending, then paid":           {fault: simulator.PendingSuccess, times: 1, rule: func(r *simulator.Rule) { r.Duration = 3 * time.Second }, first: "processing/pending", later: "succeeded", moved: 1},
		"pending, then failed":         {fault: simulator.PendingFailed, times: 1, rule: func(r *simulator.Rule) { r.Duration = 3 * time.Second }, first: "processing/pending", later: "failed/failed", counts: true},
		"pending for ever":             {fault: simulator.PendingForever, times: 1, first: "processing/pending", later: "processing/pending"},
		"a status nobody knows":        {fault: simulator.UnknownStatus, times: 1, rule: func(r *simulator.Rule) { r.Duration = 3 * time.Second }, first: "processing/unknown_status", later: "succeeded", moved: 1},
		"failed":                       {fault: simulator.Failed, times: 1, first: "failed/failed", later: "failed/failed", counts: true},
		"identical transaction":        {fault: simulator.Identical, times: 1, first: "failed/identical_transaction", later: "succeeded", moved: 1, counts: true},
		"no float":                     {fault: simulator.Failed, times: 1, rule: func(r *simulator.Rule) { r.Message = "Solde insuffisant." }, first: "held/insufficient_float", later: "succeeded", moved: 1},
		"not subscribed":               {fault: simulator.NotSubscribed, times: 1, first: "held/not_subscribed", later: "held/not_subscribed"},
		"the token expired in the run": {fault: simulator.Unauthorized, times: 1, first: "succeeded", later: "succeeded", moved: 1},
		"numbers as strings":           {fault: simulator.WrongShape, times: 1, first: "succeeded", later: "succeeded", moved: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			s := e.Sender()
			var change []func(*simulator.Rule)
			if c.rule != nil {
				change = append(change, c.rule)
			}
			e.Cashin(c.fault, c.times, change...)
			e.Send(s, 1)
			if got := e.One(); got != c.first {
				t.Fatalf("at first %s, want %s", got, c.first)
			}
			e.Check()
			for range 70 { // 23 minutes, longer than any pause of the configuration
				e.Clock.Advance(20 * time.Second)
				e.Pass(s)
				e.Sweep(s)
			}
			if got := e.One(); got != c.later {
				t.Errorf("later %s, want %s", got, c.later)
			}
			moved := 0
			for _, entry := range e.Book() {
				moved += entry.Moved
			}
			if moved != c.moved {
				t.Errorf("money moved %d times, want %d", moved, c.moved)
			}
			if n := e.Count("SELECT counted FROM payouts"); (n > 0) != c.counts {
				t.Errorf("%d attempts count", n)
			}
			e.Check()
		})
	}
}

// A slow answer holds its own slot and nothing else.
func TestOneSlowPayoutDoesNotHoldTheOthers(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.TimeoutAfter, 0, sending.ForPeer(3))
	e.Send(e.Sender(), 60)
	want := map[string]int64{"succeeded": 59, "unknown": 1}
	if got := e.PayoutStates(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	e.Check()
}
