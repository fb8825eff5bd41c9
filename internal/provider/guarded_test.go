package provider

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
)

// till is a provider that tells its float for a PIN.
type till struct {
	answer      error
	asked, open atomic.Int64
	beside      atomic.Bool
}

func (b *till) Balance(context.Context) (money.Amount, error) {
	b.asked.Add(1)
	if b.open.Add(1) > 1 {
		b.beside.Store(true)
	}
	defer b.open.Add(-1)
	<-time.After(10 * time.Millisecond)
	return money.Amount{Minor: 1000, Currency: "XOF"}, b.answer
}

func (e env) guarded(r BalanceReader) *GuardedBalance {
	return &GuardedBalance{Reader: r, Pool: e.pool, States: e.States, Connector: orange, Proof: &Proof{}, Lease: time.Minute}
}

// However many ask, a wrong PIN is used once, and the stop is everybody's.
func TestABalanceTriesAWrongPINOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	b := &till{answer: &Failure{Result: Result{Class: RejectedRetryable, Scope: ScopeProvider, Code: "pin_wrong", Stop: true}}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := e.guarded(b).Balance(t.Context()); err == nil {
				t.Error("a balance without a PIN")
			}
		})
	}
	wg.Wait()
	if b.asked.Load() != 1 {
		t.Errorf("asked %d times", b.asked.Load())
	}
	if st, err := e.Get(t.Context(), e.pool, orange); err != nil || st.State != Stopped || st.Reason.Code != "pin_wrong" {
		t.Errorf("got %+v, %v", st, err)
	}
	if _, err := e.guarded(b).Balance(t.Context()); !errors.Is(err, ErrNotNow) || b.asked.Load() != 1 {
		t.Errorf("behind a stop: %v, asked %d times", err, b.asked.Load())
	}
}

// A balance that was read proves the PIN, as a payment does; until then one asks at a time, and who was not answered counts.
func TestABalanceProvesThePIN(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	b := &till{}
	g := e.guarded(b)
	if a, err := g.Balance(t.Context()); err != nil || a.Minor != 1000 {
		t.Fatalf("got %v, %v", a, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := g.Balance(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !b.beside.Load() {
		t.Error("a proven PIN is used one at a time")
	}
	b.answer = errors.New("no answer")
	e.vc.Advance(2 * time.Hour)
	for range 4 {
		_, _ = g.Balance(t.Context())
	}
	if n := b.asked.Load(); n != 10 {
		t.Errorf("asked %d times, want 9 and one that was lost: the next try is a payment's", n)
	}
	if st, err := e.Get(t.Context(), e.pool, orange); err != nil || st.State != Open {
		t.Errorf("checks that nobody answered have stopped the connector: %+v, %v", st, err)
	}
	for _, want := range []Trial{TrialBegun, TrialElsewhere} {
		err := pg.InTx(t.Context(), e.pool, func(tx pgx.Tx) error {
			got, err := e.BeginTrial(t.Context(), tx, orange, "payment", time.Minute)
			if got != want {
				t.Errorf("a payment's trial: %v, want %v", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is found out about the balance itself moves no connector; a balance that cannot be read is no fault of payments.
func TestABalanceThatFailsMovesNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	b := &till{}
	g := e.guarded(b)
	if _, err := g.Balance(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.answer = &Failure{Result: timedOut}
	for range 10 {
		_, _ = g.Balance(t.Context())
	}
	if st, err := e.Get(t.Context(), e.pool, orange); err != nil || st.State != Open || st.Faults != 0 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// A success that began before a stop vouches for nothing after it, and a refusal beats the successes that overtake it.
func TestAProofIsOfItsTime(t *testing.T) {
	t.Parallel()
	now := evening
	var p Proof
	p.Take(paid, 0, now)
	if !p.Holds(Status{}, now) || p.Holds(Status{}, now.Add(proofLasts)) || p.Holds(Status{Stops: 1}, now) {
		t.Error("a proof is for its hour and its stops")
	}
	p.Take(declined, 0, now)
	p.Take(timedOut, 0, now)
	if !p.Holds(Status{}, now) {
		t.Error("what says nothing about the PIN took its proof away")
	}
	p.Take(wrongPIN, 0, now)
	p.Take(paid, 0, now)
	if p.Holds(Status{}, now) {
		t.Error("a late success beats a refusal")
	}
	p.Take(paid, 1, now)
	p.Take(paid, 0, now)
	if p.Holds(Status{}, now) || !p.Holds(Status{Stops: 1}, now) {
		t.Error("after the stop it is proven anew, and stays so")
	}
	var none *Proof
	none.Take(wrongPIN, 0, now)
	if !none.Holds(Status{Stops: 7}, now) {
		t.Error("where nothing is locked everything is proven")
	}
}

// A stop counts once, whatever else moves the connector.
func TestStopsAreCounted(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	stops := func() int64 {
		st, err := e.Get(t.Context(), e.pool, orange)
		if err != nil {
			t.Fatal(err)
		}
		return st.Stops
	}
	e.observe(t, many(timedOut, 7)...)
	e.observe(t, paid)
	if n := stops(); n != 0 {
		t.Errorf("an outage counts as %d stops", n)
	}
	e.observe(t, wrongPIN)
	e.observe(t, wrongPIN)
	e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) {
		return e.Resume(ctx, tx, orange, Reason{Code: "repaired"})
	})
	if n := stops(); n != 1 {
		t.Errorf("one stop counts as %d", n)
	}
}
