package float_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// minutes lets time pass while the worker reads the balance and the sweeper releases what it covers.
func minutes(t *testing.T, e *sending.Env, s *sending.Sender, n int) {
	t.Helper()
	for range n {
		for range 12 {
			e.Clock.Advance(5 * time.Second)
			s.Float.Check(t.Context())
		}
		e.SweepMoving(s)
	}
}

// tells has the balance told as minor, from now on.
func tells(s *sending.Sender, minor int64) {
	s.Connector.Balance = stub(func(context.Context) (money.Amount, error) { return money.Amount{Minor: minor, Currency: "XOF"}, nil })
}

// nextEvening plans the second evening's payouts of the given sums, 20 % less for commission, of payees that the first has not.
func nextEvening(t *testing.T, e *sending.Env, gross ...int64) {
	t.Helper()
	csv := payoutstest.Header
	for i, sum := range gross {
		csv += payoutstest.Pay("next-"+strconv.Itoa(i), sending.Payee(7+i), sum, "2025-01-25T10:00:00Z")
	}
	if _, refused := e.Import(csv); len(refused) > 0 {
		t.Fatal(refused)
	}
	e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
}

// What waits for something else than float keeps nobody behind it waiting, whatever the balance would have to be for it.
func TestWhatCannotGoKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(e *sending.Env){
		"its payee is paused": func(e *sending.Env) {
			e.SQL("UPDATE payees SET state = 'paused', pause_reason = 'by_person' WHERE payee_id = $1", sending.Payee(1))
		},
		"its batch is paused": func(e *sending.Env) {
			e.SQL("UPDATE batches SET control = 'paused' WHERE batch_id IN (SELECT batch_id FROM payouts WHERE net = 24000)")
		},
		"it rests":           func(e *sending.Env) { e.SQL("UPDATE payouts SET retry_at = '2025-03-01' WHERE net = 24000") },
		"it is too large":    func(e *sending.Env) { e.Rules().MaxPerPayout = 20_000 },
		"its payee's day is": func(e *sending.Env) { e.Rules().PayeeDailyCap = 20_000 },
		"the day is":         func(e *sending.Env) { e.Rules().DailyCap = 20_000 },
	} {
		for _, balance := range []int64{20_000, net + net/50 + 300} { // less than the first takes, and not enough for both
			t.Run(name+" "+strconv.FormatInt(balance, 10), func(t *testing.T) {
				t.Parallel()
				e := wave(t)
				s := e.Sender()
				tells(s, 1)
				e.Moving(func() { e.Send(s, 1) })
				want(t, e, map[string]int64{"held": 1})
				e.Clock.Advance(24 * time.Hour)
				read(t, e, s)
				nextEvening(t, e, 1_000)
				if n := e.Count("SELECT count(*) FROM payouts WHERE net = 800 AND reason_code = 'insufficient_float'"); n != 1 {
					t.Fatal("the second evening's is not held behind the first's")
				}
				stop(e)
				tells(s, balance)
				minutes(t, e, s, 3)
				if n := e.Count("SELECT count(*) FROM payouts WHERE net = 800 AND state = 'succeeded'"); n != 1 {
					t.Errorf("the small one is not paid: %v", e.PayoutStates())
				}
				if types := e.EventTypes("float"); len(types) < 2 || types[1] != "float.restored" {
					t.Errorf("nobody is told that there is enough: %v", types)
				}
				e.Check()
			})
		}
	}
}

// A payout that waited for a cap, and may go as far as that is concerned, is in line for float again, in its place.
func TestAPayoutThatTheCapLetsGoIsInLineAgain(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender()
	tells(s, 1)
	e.Moving(func() { e.Send(s, 1) })
	e.Rules().PayeeDailyCap = 20_000
	minutes(t, e, s, 2)
	if n := e.Count("SELECT count(*) FROM payouts WHERE reason_code = 'payee_daily_cap' AND reason_scope = 'payee'"); n != 1 {
		t.Error("it does not say that it waits for its payee's cap")
	}
	e.Rules().PayeeDailyCap = 0
	tells(s, 20_000)
	read(t, e, s)
	e.SQL("UPDATE provider_states SET float_state = 'insufficient'")
	e.SweepMoving(s)
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'held' AND reason_code = 'insufficient_float'"); n != 1 {
		t.Errorf("it does not say that it waits for float: %v", e.PayoutStates())
	}
	minutes(t, e, s, 2)
	want(t, e, map[string]int64{"held": 1})
	tells(s, net+net/50)
	minutes(t, e, s, 2)
	want(t, e, map[string]int64{"succeeded": 1})
}

// Approved payouts of a batch that is paused, or waits for an approval, reserve nothing.
func TestWhatMayNotBeSentReservesNothing(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]string{
		"paused": "UPDATE batches SET control = 'paused'", "not approved": "UPDATE batches SET approvals_needed = 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := wave(t)
			s := e.Sender()
			tells(s, 1)
			e.Moving(func() { e.Send(s, 1) })
			e.Clock.Advance(24 * time.Hour)
			read(t, e, s)
			nextEvening(t, e, 1_000, 2_000)
			e.SQL("UPDATE payouts SET state = 'approved' WHERE net = 24000")
			e.SQL(stop + " WHERE batch_id IN (SELECT batch_id FROM payouts WHERE net = 24000)")
			tells(s, 1_000)
			minutes(t, e, s, 2)
			want(t, e, map[string]int64{"held": 2, "succeeded": 1})
		})
	}
}

// A balance that covers a payout and not its fee does not cover it: it stays held, without being tried every minute.
func TestABalanceHasToCoverTheFeeToo(t *testing.T) {
	t.Parallel()
	e := wave(t)
	fill(t, e, net+net/50)
	s := e.Sender()
	e.Moving(func() { e.Send(s, 2) })
	want(t, e, map[string]int64{"succeeded": 1, "held": 1})
	before := len(e.EventTypes("payout"))
	tells(s, net+10)
	minutes(t, e, s, 5)
	want(t, e, map[string]int64{"succeeded": 1, "held": 1})
	told(t, e, "float.insufficient")
	if n := len(e.EventTypes("payout")) - before; n != 0 {
		t.Errorf("%d events of payouts, and nothing has happened", n)
	}
	fill(t, e, net+net/50)
	tells(s, net+net/50)
	minutes(t, e, s, 2)
	want(t, e, map[string]int64{"succeeded": 2})
	told(t, e, "float.insufficient", "float.restored")
}
