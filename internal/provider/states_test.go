package provider

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider/db"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	orange   = Connector{Tenant: "lebenis", Provider: "orange", Kind: "orange_omr"}
	evening  = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	timedOut = Result{Class: Ambiguous, Scope: ScopeProvider, Code: CodeTimeout}
	refused  = Result{Class: NotSent, Scope: ScopeProvider, Code: CodeRefused}
	slowDown = Result{Class: NotSent, Code: CodeRateLimited, RetryAfter: 7 * time.Second, SlowDown: true}
	noFloat  = Result{Class: RejectedRetryable, Scope: ScopeFloat, Code: "insufficient_float"}
	wrongPIN = Result{Class: RejectedRetryable, Scope: ScopeProvider, Code: "credentials_refused", Stop: true}
	paid     = Result{Class: Succeeded}
	declined = Result{Class: RejectedFinal, Scope: ScopePayee}
	ourFault = Result{Class: NotSent, Code: CodeExpired}
)

func many(r Result, n int) []Result {
	all := make([]Result, n)
	for i := range all {
		all[i] = r
	}
	return all
}

func TestHealth(t *testing.T) {
	t.Parallel()
	type summary struct {
		State  string
		Faults int
		Rest   time.Duration
		Code   string
		Float  string
	}
	for name, c := range map[string]struct {
		results []Result
		want    summary
	}{
		"all is well":                       {[]Result{paid, declined}, summary{Open, 0, 0, "", FloatOK}},
		"four faults are not many":          {many(timedOut, 4), summary{Open, 4, 0, "", FloatOK}},
		"an answer ends the row":            {append(many(timedOut, 4), declined), summary{Open, 0, 0, "", FloatOK}},
		"five faults in a row":              {many(refused, 5), summary{Degraded, 5, time.Second, CodeRefused, FloatOK}},
		"faults of several kinds":           {append(many(refused, 3), many(timedOut, 3)...), summary{Degraded, 6, time.Second, CodeTimeout, FloatOK}},
		"many at once are one rest":         {many(timedOut, 50), summary{Degraded, 50, time.Second, CodeTimeout, FloatOK}},
		"an answer recovers":                {append(many(timedOut, 9), paid), summary{Open, 0, 0, "", FloatOK}},
		"our own lateness is no fault":      {many(ourFault, 50), summary{Open, 0, 0, "", FloatOK}},
		"asked to slow down":                {[]Result{slowDown}, summary{Open, 0, 7 * time.Second, CodeRateLimited, FloatOK}},
		"asked without saying for how long": {many(Result{Class: NotSent, Code: CodeRateLimited, SlowDown: true}, 5), summary{Open, 0, time.Second, CodeRateLimited, FloatOK}},
		"busy for a named time":             {[]Result{{Class: Ambiguous, Scope: ScopeProvider, Code: CodeServerError, RetryAfter: 9 * time.Second}}, summary{Open, 1, 9 * time.Second, CodeServerError, FloatOK}},
		"asked at the step before":          {[]Result{slowDown.BeforeSend("token")}, summary{Open, 0, 7 * time.Second, CodeRateLimited, FloatOK}},
		"an older answer does not speed up": {[]Result{slowDown, paid}, summary{Open, 0, 7 * time.Second, CodeRateLimited, FloatOK}},
		"no float":                          {[]Result{noFloat}, summary{Open, 0, 10 * time.Minute, CodeFloat, FloatInsufficient}},
		"a smaller one still went through":  {[]Result{noFloat, paid}, summary{Open, 0, 10 * time.Minute, CodeFloat, FloatInsufficient}},
		"stop":                              {[]Result{wrongPIN}, summary{Stopped, 1, 0, "", FloatOK}},
		"stopped stays stopped":             {[]Result{wrongPIN, paid, timedOut, noFloat}, summary{Stopped, 1, 0, "", FloatOK}},
		"stopped while degraded":            {append(many(timedOut, 5), wrongPIN), summary{Stopped, 6, time.Second, CodeTimeout, FloatOK}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := Health{}.After(Status{Connector: orange, State: Open, Float: FloatOK}, c.results, evening)
			got := summary{State: n.State, Faults: n.Faults, Code: n.RestCode, Float: n.Float}
			if !n.RestUntil.IsZero() {
				got.Rest = n.RestUntil.Sub(evening)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Each rest without an answer is twice as long as the one before, up to a minute; an answer starts over.
func TestRestsGrow(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Result{"faults": timedOut, "429": {Class: NotSent, Code: CodeRateLimited, SlowDown: true}} {
		n, now := Health{}.After(Status{State: Open, Float: FloatOK}, many(timedOut, 4), evening), evening
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			n = Health{}.After(n, []Result{r}, now)
			if got := n.RestUntil.Sub(now); got != want*time.Second {
				t.Errorf("%s: rests for %s, want %s", name, got, want*time.Second)
			}
			now = n.RestUntil
		}
		if n = (Health{}).After(n, []Result{paid}, now); n.Rests != 0 || n.Resting(now) {
			t.Errorf("%s: after an answer %+v", name, n)
		}
	}
}

func TestFloatIsBackWhenAPaymentGoesThroughAfterTheRest(t *testing.T) {
	t.Parallel()
	n := Health{}.After(Status{State: Open, Float: FloatOK}, []Result{noFloat}, evening)
	n = Health{}.After(n, []Result{paid}, evening.Add(11*time.Minute))
	if n.Float != FloatOK || n.Resting(evening.Add(11*time.Minute)) {
		t.Errorf("got %+v", n)
	}
}

func TestOnlyStopStopsAndNothingUnstops(t *testing.T) {
	t.Parallel()
	all := []Result{timedOut, refused, slowDown, noFloat, wrongPIN, paid, declined, ourFault}
	rapid.Check(t, func(t *rapid.T) {
		n, now, stopped := Status{State: Open, Float: FloatOK}, evening, false
		for _, i := range rapid.SliceOf(rapid.IntRange(0, len(all)-1)).Draw(t, "results") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
			stopped = stopped || all[i].Stop
			if n = (Health{}).After(n, []Result{all[i]}, now); (n.State == Stopped) != stopped {
				t.Fatalf("after %s %s: %s", all[i].Class, all[i].Code, n.State)
			}
			if n.RestUntil.Sub(now) > 10*time.Minute {
				t.Fatalf("rests for %s", n.RestUntil.Sub(now))
			}
		}
	})
}

type env struct {
	*States
	pool *pgxpool.Pool
	vc   *clock.Virtual
}

func newEnv(t *testing.T) env {
	pool, vc := pgtest.Pool(t, Migrations, outbox.Migrations), clock.NewVirtual(evening)
	return env{pool: pool, vc: vc, States: &States{
		Service: "payouts", Clock: vc, Outbox: outbox.New(outbox.Config{Service: "payouts"}, outbox.Deps{Pool: pool}),
	}}
}

func (e env) tx(t *testing.T, fn func(ctx context.Context, tx pgx.Tx) (Status, error)) (st Status) {
	t.Helper()
	err := pg.InTx(t.Context(), e.pool, func(tx pgx.Tx) (err error) {
		st, err = fn(t.Context(), tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (e env) observe(t *testing.T, results ...Result) Status {
	t.Helper()
	return e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) { return e.Observe(ctx, tx, orange, results) })
}

func (e env) events(t *testing.T) (types []string) {
	t.Helper()
	rows, err := e.pool.Query(t.Context(), "SELECT headers->>'ce-type' || ' ' || (headers->>'ce-aggversion') FROM outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	types, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for i := range types {
		types[i] = strings.NewReplacer("com.agogo.", "", ".v1", "").Replace(types[i])
	}
	return types
}

func TestEveryChangeOfAConnectorIsOneEvent(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.observe(t, many(timedOut, 3)...)
	e.observe(t, many(timedOut, 3)...)
	e.observe(t, paid)
	e.observe(t, noFloat)
	e.observe(t, wrongPIN)
	e.observe(t, paid)
	e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) { return e.FloatRestored(ctx, tx, orange) })
	e.tx(t, func(ctx context.Context, tx pgx.Tx) (Status, error) {
		return e.Resume(ctx, tx, orange, Reason{Code: "repaired"})
	})
	want := []string{
		"provider.degraded 1", "provider.recovered 2", "float.insufficient 1", "provider.stopped 3", "float.restored 2", "provider.recovered 4",
	}
	if diff := cmp.Diff(want, e.events(t)); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	all, err := e.List(t.Context(), e.pool, "lebenis")
	if err != nil {
		t.Fatal(err)
	}
	if st := all["orange"]; st.State != Open || st.Faults != 0 || st.Version != 4 || st.Reason.Code != "repaired" {
		t.Errorf("got %+v", st)
	}
}

func TestWhatChangesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.observe(t, paid, declined, ourFault)
	var rows int
	if err := e.pool.QueryRow(t.Context(), "SELECT count(*) FROM provider_states").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 0 {
		t.Error("a payment that went well wrote the connector's row, which every payment would then wait for")
	}
}

func TestFaultsOfAllReplicasCountTogether(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { e.observe(t, timedOut) })
	}
	wg.Wait()
	st, err := e.Get(t.Context(), e.pool, orange)
	if err != nil {
		t.Fatal(err)
	}
	if st.Faults != 8 || st.State != Degraded {
		t.Errorf("eight faults at once became %d, %s", st.Faults, st.State)
	}
}

func TestStoppedNamesWhatNothingGoesThrough(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	list := func(read func(context.Context, db.DBTX) ([]string, error)) []string {
		t.Helper()
		got, err := read(t.Context(), e.pool)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	names := func() []string { return list(e.Stopped) }
	barred := func() []string { return list(e.Barred) }
	e.observe(t, many(timedOut, 7)...) // rests for 1 s: worth waiting for
	if got := names(); len(got) != 0 {
		t.Errorf("a short rest counts as stopped: %v", got)
	}
	e.observe(t, noFloat)
	if got := names(); len(got) != 1 || got[0] != "lebenis/orange" {
		t.Errorf("a connector without float: %v", got)
	}
	if got := barred(); len(got) != 0 {
		t.Errorf("what is approved behind a connector without float is about to be held, and it is barred: %v", got)
	}
	e.vc.Advance(10 * time.Minute)
	if got := names(); len(got) != 0 {
		t.Errorf("the rest is over: %v", got)
	}
	e.observe(t, wrongPIN)
	e.vc.Advance(1000 * time.Hour)
	if got := names(); len(got) != 1 || !slices.Equal(got, barred()) {
		t.Errorf("a stopped connector: %v; barred: %v", got, barred())
	}
	var opened []Status
	e.tx(t, func(ctx context.Context, tx pgx.Tx) (st Status, err error) {
		opened, err = e.ResumeStopped(ctx, tx, "lebenis", Reason{Code: "by_person"})
		return st, err
	})
	if len(opened) != 1 || len(names()) != 0 || len(barred()) != 0 {
		t.Errorf("after resuming: %v, %v, %v", opened, names(), barred())
	}
	e.observe(t, Result{Class: NotSent, Code: CodeRateLimited, SlowDown: true, RetryAfter: LongRest + time.Second})
	if got := names(); len(got) != 1 || !slices.Equal(got, barred()) {
		t.Errorf("a long rest: %v; barred: %v", got, barred())
	}
}

func TestReplicasShareAndGiveBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	type told struct{ name, n string }
	shares := make(chan told, 20)
	replica := func(name string) *Replicas {
		return &Replicas{
			DB: pool, Name: name, Logger: slog.New(slog.DiscardHandler), Every: 20 * time.Millisecond,
			Share: func(n int) { shares <- told{name, strings.Repeat("|", n)} },
		}
	}
	until := func(want told) {
		t.Helper()
		for got := range shares {
			if got == want {
				return
			}
		}
	}
	a, b := replica("a"), replica("b")
	if err := a.Ready(t.Context()); err == nil {
		t.Error("ready before the number of replicas is known")
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(told{"a", "|"})
	actx, stopA := context.WithCancel(t.Context())
	bctx, stopB := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = a.Run(actx) })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(told{"a", "||"})
	wg.Go(func() { _ = b.Run(bctx) })
	stopB()
	until(told{"a", "|"})
	if err := a.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	stopA()
	wg.Wait()
	var left int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM provider_replicas").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d replicas are still counted", left)
	}
}
