package float_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// net is what each of the environment's payouts pays.
const net = 24_000

func wave(t *testing.T) *sending.Env {
	t.Helper()
	e := sending.NewOf(t, sending.Wave())
	e.Rules().FloatCheck = 15 * time.Minute
	return e
}

func fill(t *testing.T, e *sending.Env, minor int64) {
	t.Helper()
	if err := e.Sim.Fill(simulator.Wave, minor); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, e *sending.Env, states map[string]int64) {
	t.Helper()
	if got := e.PayoutStates(); !maps.Equal(got, states) {
		t.Errorf("got %v, want %v", got, states)
	}
}

func told(t *testing.T, e *sending.Env, events ...string) {
	t.Helper()
	if diff := cmp.Diff(events, e.EventTypes("float")); diff != "" {
		t.Errorf("events of the float (-want +got):\n%s", diff)
	}
}

// read has the balance read a while later.
func read(t *testing.T, e *sending.Env, s *sending.Sender) {
	t.Helper()
	e.Clock.Advance(time.Minute)
	if ok, err := s.Float.Read(t.Context(), s.Connector, time.Second); !ok || err != nil {
		t.Fatalf("the balance was not read: %v, %v", ok, err)
	}
}

// What the balance does not cover is held in its order before the provider has to refuse it, and released in its order as the
// balance grows: as far as it goes, and nothing overtakes.
func TestHeldAndReleasedInOrder(t *testing.T) {
	t.Parallel()
	e := wave(t)
	fill(t, e, 10*net+net/2)
	s := e.Sender()
	run := e.Plan(25)
	e.Moving(func() { e.Dispatch(s, run) })
	want(t, e, map[string]int64{"succeeded": 10, "held": 15})
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'held' AND reason_scope = 'float' AND reason_code = 'insufficient_float'"); n != 15 {
		t.Errorf("%d of 15 are held for want of float", n)
	}
	if n := e.Requests(); n != 10 {
		t.Errorf("the provider was asked to pay %d times; its balance covers 10", n)
	}
	told(t, e, "float.insufficient")
	var line []string
	e.Each("SELECT payout_id::text, state, version FROM payouts WHERE state = 'held' ORDER BY created_at, payout_id", func(id, _ string, _ int64) { line = append(line, id) })

	fill(t, e, 5*net)
	e.Sweep(s)
	want(t, e, map[string]int64{"succeeded": 10, "held": 15}) // nobody has read it
	read(t, e, s)
	e.SweepOnly()
	e.SweepOnly() // those that are released and not sent yet count
	want(t, e, map[string]int64{"succeeded": 10, "approved": 5, "held": 10})
	e.SweepMoving(s)
	e.Moving(func() { e.Dispatch(s, run) })
	want(t, e, map[string]int64{"succeeded": 15, "held": 10})
	for i, id := range line {
		state := "held"
		if i < 5 {
			state = "succeeded"
		}
		if got := e.Count("SELECT count(*) FROM payouts WHERE payout_id = $1 AND state = $2", id, state); got != 1 {
			t.Errorf("number %d in line is not %s", i+1, state)
		}
	}
	told(t, e, "float.insufficient") // what is due is not covered yet

	fill(t, e, 10*net)
	read(t, e, s)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"succeeded": 25})
	told(t, e, "float.insufficient", "float.restored")
	e.Check()
}

// Several replicas that draw on one balance never begin more than it covers, however their claims, sends and readings fall, and in
// the end nothing of it is left unused.
func TestReplicasShareABalance(t *testing.T) {
	t.Parallel()
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			e := wave(t)
			e.Planner.PageSize = 7
			covered := 20 + round
			fill(t, e, int64(covered)*net+net-1)
			run := e.Plan(60)
			e.Moving(func() {
				var wg sync.WaitGroup
				for range 3 {
					s := e.Sender()
					for page := range 9 {
						wg.Go(func() {
							if err := s.Dispatch(e.Ctx(), run, page); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Go(func() {
						for range 20 {
							s.Float.Look(t.Context(), s.Connector, 0)
						}
					})
				}
				wg.Wait()
			})
			if n := e.Requests(); n != covered {
				t.Errorf("the provider was asked to pay %d times, its balance covers %d", n, covered)
			}
			want(t, e, map[string]int64{"succeeded": int64(covered), "held": int64(60 - covered)})
			e.Check()
		})
	}
}

// stub is a balance endpoint.
type stub func(ctx context.Context) (money.Amount, error)

func (s stub) Balance(ctx context.Context) (money.Amount, error) { return s(ctx) }

// A balance that nobody tells, or that makes no sense, holds nothing up.
func TestWithoutABalance(t *testing.T) {
	t.Parallel()
	for name, balance := range map[string]stub{
		"down": func(context.Context) (money.Amount, error) { return money.Amount{}, errors.New("connection refused") },
		"silent": func(ctx context.Context) (money.Amount, error) {
			<-ctx.Done()
			return money.Amount{}, ctx.Err()
		},
		"in another currency": func(context.Context) (money.Amount, error) { return money.Amount{Minor: 1, Currency: "EUR"}, nil },
		"in no currency":      func(context.Context) (money.Amount, error) { return money.Amount{}, nil },
		"a defect":            func(context.Context) (money.Amount, error) { panic("index out of range") },
		"not now":             func(context.Context) (money.Amount, error) { return money.Amount{}, provider.ErrNotNow },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := wave(t)
			asked := 0
			s := e.Sender()
			s.Connector.Balance = stub(func(ctx context.Context) (money.Amount, error) {
				asked++
				return balance(ctx)
			})
			e.Moving(func() { e.Send(s, 20) })
			want(t, e, map[string]int64{"succeeded": 20})
			told(t, e)
			if asked != 1 {
				t.Errorf("asked %d times within a minute", asked)
			}
			e.Check()
		})
	}
}

// A balance that was read long ago, and cannot be read again, is none.
func TestAnOldBalanceHoldsNothing(t *testing.T) {
	t.Parallel()
	e := wave(t)
	run := e.Plan(3)
	s := e.Sender()
	answer := money.Amount{Minor: 1, Currency: "XOF"}
	var failing error
	s.Connector.Balance = stub(func(context.Context) (money.Amount, error) { return answer, failing })
	read(t, e, s)
	failing = errors.New("gone")
	e.Clock.Advance(5 * time.Minute)
	e.Moving(func() { e.Dispatch(s, run) })
	want(t, e, map[string]int64{"succeeded": 3})
	told(t, e)
}

// A balance that says too little is read once more before it is believed: where that fails, nothing is known.
func TestTooLittleIsReadTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second stub
		states map[string]int64
	}{
		"money has come":  {func(context.Context) (money.Amount, error) { return money.Amount{Minor: 9 * net, Currency: "XOF"}, nil }, map[string]int64{"succeeded": 3}},
		"too little":      {func(context.Context) (money.Amount, error) { return money.Amount{Minor: net, Currency: "XOF"}, nil }, map[string]int64{"succeeded": 1, "held": 2}},
		"overdrawn":       {func(context.Context) (money.Amount, error) { return money.Amount{Minor: -5, Currency: "XOF"}, nil }, map[string]int64{"held": 3}},
		"nobody answers":  {func(context.Context) (money.Amount, error) { return money.Amount{}, errors.New("gone") }, map[string]int64{"succeeded": 3}},
		"may not be read": {func(context.Context) (money.Amount, error) { return money.Amount{}, provider.ErrNotNow }, map[string]int64{"succeeded": 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := wave(t)
			run := e.Plan(3)
			s := e.Sender()
			s.Connector.Balance = stub(func(context.Context) (money.Amount, error) { return money.Amount{Minor: 1, Currency: "XOF"}, nil })
			read(t, e, s)
			e.Clock.Advance(10 * time.Second)
			s.Connector.Balance = c.second
			began := e.Clock.Now()
			e.Moving(func() { e.Dispatch(s, run) })
			want(t, e, c.states)
			if took := e.Clock.Now().Sub(began); took > 30*time.Second {
				t.Errorf("waited %s", took)
			}
		})
	}
}

// A provider's refusal is stronger than what it says of its balance: it may mean a limit. The rest it brings lasts, whatever is read
// meanwhile, and the next payment that goes through ends it.
func TestARefusalIsStrongerThanTheBalance(t *testing.T) {
	t.Parallel()
	e := wave(t)
	fill(t, e, 100*net)
	e.Cashin(simulator.Failed, 1, func(r *simulator.Rule) { r.Message = "insufficient-funds" })
	s := e.Sender()
	e.Moving(func() { e.Send(s, 1) })
	want(t, e, map[string]int64{"held": 1})
	told(t, e, "float.insufficient")
	read(t, e, s)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"held": 1})
	e.Clock.Advance(10 * time.Minute)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"succeeded": 1})
	told(t, e, "float.insufficient", "float.restored")
}

// Off is off.
func TestBalancesAreNotReadWhereTheTenantDoesNotWantIt(t *testing.T) {
	t.Parallel()
	e := wave(t)
	e.Rules().FloatCheck = 0
	s := e.Sender()
	s.Connector.Balance = stub(func(context.Context) (money.Amount, error) {
		t.Error("the balance was read")
		return money.Amount{}, nil
	})
	e.Moving(func() { e.Send(s, 2) })
	want(t, e, map[string]int64{"succeeded": 2})
}

// The balance is asked for again between claim and call, and there is less: nothing is sent.
func TestLessBetweenClaimAndCall(t *testing.T) {
	t.Parallel()
	e := wave(t)
	fill(t, e, 100*net)
	run := e.Plan(3)
	e.SQL(`CREATE FUNCTION less() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		UPDATE provider_states SET float_asked = float_asked + 1, float_balance = 1, float_spent = 0, float_unsure = 0, float_clean = true; RETURN NULL; END $$`)
	e.SQL("CREATE TRIGGER less AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION less()")
	s := e.Sender()
	e.Moving(func() { e.Dispatch(s, run) })
	if n := e.Requests(); n != 0 {
		t.Errorf("%d payouts were sent", n)
	}
	want(t, e, map[string]int64{"held": 3})
	e.Check()
}

// What is planned while there is too little waits behind what waits already.
func TestPlannedBehindTheQueue(t *testing.T) {
	t.Parallel()
	e := wave(t)
	fill(t, e, 1)
	s := e.Sender()
	e.Moving(func() { e.Send(s, 2) })
	want(t, e, map[string]int64{"held": 2})
	fill(t, e, net/2)
	read(t, e, s)
	small := payoutstest.Pay("small", sending.Payee(7), 1_000, "2025-01-25T10:00:00Z")
	e.Clock.Advance(24 * time.Hour)
	read(t, e, s)
	if _, refused := e.Import(payoutstest.Header + small); len(refused) > 0 {
		t.Fatal(refused)
	}
	e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	e.SweepMoving(s)
	want(t, e, map[string]int64{"held": 3})
	if n := e.Count("SELECT count(*) FROM payouts WHERE net = 800 AND reason_code = 'insufficient_float'"); n != 1 {
		t.Error("a smaller one that came later is not held for want of float")
	}
	fill(t, e, 10*net)
	read(t, e, s)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"succeeded": 3})
	e.Check()
}

// Float is found to be short between two looks at a run: what is approved is held first, and then the run is over. Until somebody has, the
// run waits, and its page is woken once in a while, however often is looked.
func TestARunIsNotOverBeforeWhatWantsFloatIsHeld(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender()
	run := e.Plan(3)
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.States.Short(e.Ctx(), tx, s.Connector.Connector, 3*net)
		return err
	})
	over := func() bool {
		return e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run) == 1
	}
	commands := func() int { // those that JetStream takes for one count once
		ids := map[string]bool{}
		for _, m := range e.Messages(stream.Commands) {
			ids[m.ID] = true
		}
		return len(ids)
	}
	planned := commands()
	e.SweepOnly()
	if over() || commands() != planned {
		t.Fatalf("before anything is held the run is over: %v; %d commands, want %d", over(), commands(), planned)
	}
	e.Clock.Advance(2 * time.Second)
	e.SweepOnly()
	e.SweepOnly()
	if over() || commands() != planned+1 {
		t.Errorf("woken, the run is over: %v; %d commands, want %d", over(), commands(), planned+1)
	}
	e.SweepOnly()
	e.Dispatch(s, run)
	want(t, e, map[string]int64{"held": 3})
	if !over() || e.Requests() != 0 {
		t.Errorf("held, the run is over: %v; %d requests, want none", over(), e.Requests())
	}
	woken := commands()
	e.Clock.Advance(time.Minute)
	e.SweepOnly()
	if n := commands(); n != woken {
		t.Errorf("what is held is woken %d times", n-woken)
	}
	e.Check()
}
