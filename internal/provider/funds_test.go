package provider

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
)

func xof(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "XOF"} }

// ask asks, and answers with a balance unless it is nil.
func (e env) ask(t *testing.T, a *Answer) {
	t.Helper()
	asked, at, mine, err := e.Ask(t.Context(), e.pool, orange, 0)
	if err != nil || !mine {
		t.Fatalf("mine %v, %v", mine, err)
	}
	if a == nil {
		return
	}
	a.Asked, a.At = asked, at
	if kept, err := e.Answered(t.Context(), e.pool, orange, *a); err != nil || !kept {
		t.Fatalf("kept %v, %v", kept, err)
	}
}

func (e env) spend(t *testing.T, sum int64) {
	t.Helper()
	e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) {
		return Status{}, e.Spend(ctx, tx, orange, sum, 0)
	})
}

func (e env) left(t *testing.T) int64 {
	t.Helper()
	st, err := e.Get(t.Context(), e.pool, orange)
	if err != nil {
		t.Fatal(err)
	}
	return st.Funds.Left()
}

func (e env) judge(t *testing.T, due Due) Status {
	t.Helper()
	return e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) { return e.Judge(ctx, tx, orange, due) })
}

func (e env) forecast(t *testing.T, needed int64) string {
	t.Helper()
	return e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) { return e.Forecast(ctx, tx, orange, needed) }).Float
}

// What is begun between question and answer counts against the answer, and so does what was under way at the question.
func TestWhatABalanceDoesNotShow(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.ask(t, &Answer{Balance: xof(1_000)})
	e.spend(t, 300)
	if got := e.left(t); got != 700 {
		t.Errorf("%d left", got)
	}
	e.vc.Advance(time.Minute)
	asked, at, _, err := e.Ask(t.Context(), e.pool, orange, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	e.spend(t, 50)
	if got := e.left(t); got != 650 {
		t.Errorf("%d left while the answer is outstanding", got)
	}
	if _, err := e.Answered(t.Context(), e.pool, orange, Answer{Asked: asked, At: at, Balance: xof(700), UnderWay: 20, Doubtful: 7}); err != nil {
		t.Fatal(err)
	}
	if got := e.left(t); got != 700-50-20-7 {
		t.Errorf("%d left after the answer", got)
	}
}

// One at a time asks. Whoever does not hear back is not waited for, and is not listened to any more.
func TestOneAsks(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	var mine atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _, ok, err := e.Ask(t.Context(), e.pool, orange, time.Minute)
			if err != nil {
				t.Error(err)
			}
			if ok {
				mine.Add(1)
			}
		})
	}
	wg.Wait()
	if mine.Load() != 1 {
		t.Errorf("%d ask at once", mine.Load())
	}
	e.vc.Advance(4 * time.Second)
	if _, _, ok, err := e.Ask(t.Context(), e.pool, orange, time.Second); ok || err != nil {
		t.Errorf("asked while an answer may come: %v, %v", ok, err)
	}
	e.vc.Advance(time.Second)
	e.ask(t, nil)
	kept, err := e.Answered(t.Context(), e.pool, orange, Answer{Asked: 1, At: evening, Balance: xof(5)})
	if kept || err != nil {
		t.Errorf("an answer that nobody waits for any more: %v, %v", kept, err)
	}
	e.vc.Advance(-time.Hour) // a clock that is set back must not keep everybody from asking
	e.ask(t, &Answer{Balance: xof(5)})
}

func TestFundsGrowOld(t *testing.T) {
	t.Parallel()
	f := Funds{ReadAt: evening}
	for d, known := range map[time.Duration]bool{-time.Second: false, 0: true, 5*time.Minute - 1: true, 5 * time.Minute: false} {
		if got := f.Known(evening.Add(d)); got != known {
			t.Errorf("after %s known %v", d, got)
		}
	}
	if (Funds{}).Known(time.Time{}.Add(time.Second)) {
		t.Error("a balance that was never read is known")
	}
	if got := (Funds{FeeBPS: 100}).Takes(24_001); got != 24_242 {
		t.Errorf("a fee is rounded to %d", got-24_001)
	}
}

// Too little until all that is due is covered; awake as soon as the first in line is.
func TestJudge(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	short := func() {
		e.ask(t, &Answer{Balance: xof(100)})
		e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) { return e.Short(ctx, tx, orange, 500) })
	}
	short()
	short() // told once
	if st := e.judge(t, Due{All: 500, First: 101}); st.Float != FloatInsufficient || !st.WantsFloat(evening) {
		t.Errorf("too little for the first: %+v", st)
	}
	if st := e.judge(t, Due{All: 500, First: 100}); st.Float != FloatInsufficient || st.Resting(evening) {
		t.Errorf("enough for the first: %+v", st)
	}
	if st := e.judge(t, Due{All: 100, First: 50}); st.Float != FloatOK || st.Resting(evening) {
		t.Errorf("enough for all: %+v", st)
	}
	short()
	e.vc.Advance(5 * time.Minute)
	if st := e.judge(t, Due{}); st.Float != FloatInsufficient {
		t.Errorf("an old balance restores: %+v", st)
	}
	if diff := cmp.Diff([]string{"float.insufficient 1", "float.restored 2", "float.insufficient 3"}, e.events(t)); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
}

func TestForecastTellsOncePerFall(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	if got := e.forecast(t, 1_000); got != FloatOK {
		t.Errorf("%s without a balance", got)
	}
	for _, c := range []struct {
		balance int64
		want    string
	}{{1_000, FloatOK}, {999, FloatLow}, {500, FloatLow}, {1_000, FloatLow}, {1_019, FloatLow}, {1_020, FloatOK}, {1_000, FloatOK}, {999, FloatLow}} {
		e.vc.Advance(time.Second)
		e.ask(t, &Answer{Balance: xof(c.balance)})
		if got := e.forecast(t, 1_000); got != c.want {
			t.Errorf("%d of 1000: %s, want %s", c.balance, got, c.want)
		}
	}
	if diff := cmp.Diff([]string{"float.low 1", "float.restored 2", "float.low 3"}, e.events(t)); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
}

// A payment that goes through restores a float only where nothing better is known, and never one that is low for tonight.
func TestOnePaymentIsNoProofOfEnough(t *testing.T) {
	t.Parallel()
	known := Funds{ReadAt: evening}
	for name, c := range map[string]struct {
		n    Status
		want string
	}{
		"low":                        {Status{State: Open, Float: FloatLow, Funds: known}, FloatLow},
		"insufficient by a balance":  {Status{State: Open, Float: FloatInsufficient, Funds: known}, FloatInsufficient},
		"insufficient, nobody knows": {Status{State: Open, Float: FloatInsufficient}, FloatOK},
		"insufficient by a refusal":  {Status{State: Open, Float: FloatInsufficient, RestCode: CodeFloat, RestUntil: evening, Funds: known}, FloatOK},
		"at rest for want of it":     {Status{State: Open, Float: FloatInsufficient, RestCode: CodeShort, RestUntil: evening.Add(time.Minute)}, FloatInsufficient},
	} {
		if got := (Health{}).After(c.n, []Result{paid}, evening); got.Float != c.want || got.Resting(evening) != c.n.Resting(evening) {
			t.Errorf("%s: %s, resting %v", name, got.Float, got.Resting(evening))
		}
	}
	if got := (Health{}).After(Status{State: Open, Float: FloatOK, Funds: known}, []Result{noFloat}, evening); got.Funds.Known(evening) {
		t.Error("a balance is believed that the provider has just contradicted")
	}
}

// A top-up counts at once, has the balance read anew, and restores where nothing is known.
func TestToppedUp(t *testing.T) {
	t.Parallel()
	topUp := func(e env, sum int64, due Due) Status {
		return e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) {
			st, err := e.Lock(ctx, tx, orange)
			if err != nil {
				return st, err
			}
			return e.ToppedUp(ctx, tx, st, sum, due)
		})
	}
	e := newEnv(t)
	e.ask(t, &Answer{Balance: xof(100)})
	e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) { return e.Short(ctx, tx, orange, 500) })
	if st := topUp(e, 300, Due{All: 500, First: 200}); st.Float != FloatInsufficient || st.Resting(evening) || st.Funds.Left() != 400 {
		t.Errorf("a part: %+v", st)
	}
	if st := topUp(e, 100, Due{All: 500, First: 200}); st.Float != FloatOK || st.Funds.AskedWithin(time.Hour, evening) {
		t.Errorf("all of it: %+v", st)
	}
	e = newEnv(t)
	e.observe(t, noFloat)
	if st := topUp(e, 1, Due{All: 500}); st.Float != FloatOK || st.Resting(evening) {
		t.Errorf("nobody knows: %+v", st)
	}
}
