package dispatch_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

// withPIN is a provider that locks an account after three wrong tries, as one replica sees it.
type withPIN struct {
	*post
	pin string
	e   *vault
}

func (withPIN) LocksOut() bool { return true }

func (w withPIN) Submit(_ context.Context, t provider.Transfer) provider.Result {
	return w.e.use(w.pin)
}

// vault is that provider.
type vault struct {
	right       atomic.Value
	wrong, used atomic.Int64
	open, most  atomic.Int64
	answer      func(n int64) *provider.Result // instead of looking at the PIN; nil: it looks
}

func (v *vault) use(pin string) provider.Result {
	open := v.open.Add(1)
	defer v.open.Add(-1)
	for most := v.most.Load(); open > most && !v.most.CompareAndSwap(most, open); most = v.most.Load() {
	}
	<-time.After(20 * time.Millisecond) // long enough for others to come in beside it
	n := v.used.Add(1)
	if v.answer != nil {
		if res := v.answer(n); res != nil {
			return *res
		}
	}
	if pin == v.right.Load() {
		return provider.Result{Class: provider.Succeeded}
	}
	v.wrong.Add(1)
	return provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: "pin_wrong", Stop: true}
}

// replica is a dispatcher of its own beside the post's, with 16 slots and a PIN.
func (p *post) replica(v *vault, name, pin string) *dispatch.Dispatcher {
	set := &connector.Set{}
	set.Add(connector.New(tenant, config.Provider{Name: "dhl", Kind: "van", Timeout: 5 * time.Second, Concurrency: 16}, withPIN{p, pin, v}))
	d := p.dispatcher.Deps
	d.Connectors, d.Logger = set, slog.New(slog.DiscardHandler)
	return dispatch.New(dispatch.Config{Service: "post", Item: "parcel", Owner: name}, d)
}

// together lets dispatchers work on pages 0 and 1 at once while time passes.
func (p *post) together(all ...*dispatch.Dispatcher) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	var passing, working sync.WaitGroup
	passing.Go(func() {
		for p.clock.BlockUntil(ctx, 1) == nil {
			p.clock.Advance(100 * time.Millisecond)
		}
	})
	for _, d := range all {
		for page := range 2 {
			working.Go(func() {
				if err := d.Dispatch(p.t.Context(), p.run, page); err != nil {
					p.t.Error(err)
				}
			})
		}
	}
	working.Wait()
	cancel()
	passing.Wait()
}

func (p *post) resume() {
	p.t.Helper()
	err := pg.InTx(p.t.Context(), p.runs.Pool, func(tx pgx.Tx) error {
		_, err := p.states.ResumeStopped(p.t.Context(), tx, tenant, provider.Reason{Code: "by_person"})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func newVault(right string) *vault {
	v := &vault{}
	v.right.Store(right)
	return v
}

// A wrong PIN is tried once, however many lanes and replicas there are, and once more each time a person says so.
func TestAWrongPINIsTriedOnce(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(60, 0, "dhl")
	p.parcels(60, 1, "dhl")
	a, b := p.replica(v, "a", "0000"), p.replica(v, "b", "0000")
	for tries := int64(1); tries <= 2; tries++ {
		p.together(a, b)
		if n := v.wrong.Load(); n != tries {
			t.Fatalf("%d wrong tries, want %d; the third blocks the account", n, tries)
		}
		p.resume()
	}
	v.right.Store("0000")
	p.together(a, b)
	if p.in("succeeded") != 118 || v.wrong.Load() != 2 {
		t.Errorf("%d succeeded after %d wrong tries", p.in("succeeded"), v.wrong.Load())
	}
}

// Once the PIN is proven, as many go at once as there are slots; until then one.
func TestAProvenPINIsUsedByAll(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(100, 0, "dhl")
	p.parcels(100, 1, "dhl")
	var first atomic.Int64
	v.answer = func(n int64) *provider.Result {
		if n == 1 {
			first.Store(v.open.Load())
		}
		return nil
	}
	p.together(p.replica(v, "a", "1357"), p.replica(v, "b", "1357"))
	if p.in("succeeded") != 200 || first.Load() != 1 || v.most.Load() < 8 {
		t.Errorf("%d succeeded, %d calls beside the first, %d at most", p.in("succeeded"), first.Load(), v.most.Load())
	}
	if n := p.count("SELECT count(*) FROM provider_states WHERE trial_owner <> '' OR trial_losses <> 0"); n != 0 {
		t.Error("a trial is left over")
	}
}

// What one replica has proven says nothing about the PIN that another was started with.
func TestAReplicaWithAnotherPIN(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(20, 0, "dhl")
	old := p.replica(v, "old", "1357")
	p.together(old)
	p.parcels(60, 1, "dhl")
	p.together(p.replica(v, "new", "0000"))
	if p.in("succeeded") != 20 || v.wrong.Load() != 1 {
		t.Errorf("%d succeeded, %d wrong tries", p.in("succeeded"), v.wrong.Load())
	}
	p.together(old)
	if p.in("succeeded") != 20 {
		t.Error("the stop is not everybody's")
	}
}

// A PIN that is changed between two evenings is found out by one try: a proof does not last.
func TestAProofEnds(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(20, 0, "dhl")
	a := p.replica(v, "a", "1357")
	p.together(a)
	v.right.Store("2468")
	p.clock.Advance(2 * time.Hour)
	p.parcels(60, 1, "dhl")
	p.together(a)
	if v.wrong.Load() != 1 || p.in("waiting") != 59 {
		t.Errorf("%d wrong tries, %d wait", v.wrong.Load(), p.in("waiting"))
	}
}

// An answer that is lost may have been "wrong PIN": after two of them the connector stops, with one try left. What was never
// sent, and what a payee was refused for, costs none.
func TestLostAnswersAreTriesToo(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(30, 0, "dhl")
	v.answer = func(n int64) *provider.Result {
		switch n {
		case 1, 4:
			return &provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "no_account"}
		case 2:
			return &provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: "dns_failed"}
		default:
			return &provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "timeout"}
		}
	}
	p.together(p.replica(v, "a", "1357"), p.replica(v, "b", "1357"))
	if v.used.Load() != 5 || v.most.Load() != 1 || p.in("unknown") != 2 {
		t.Errorf("%d calls, %d at once, %d unknown", v.used.Load(), v.most.Load(), p.in("unknown"))
	}
	if n := p.count("SELECT count(*) FROM provider_states WHERE state = 'stopped' AND reason_code = $1", provider.CodeUnproven); n != 1 {
		t.Error("nobody is told why nothing goes")
	}
	v.answer = nil
	p.resume()
	p.together(p.replica(v, "c", "1357"))
	if p.in("succeeded") != 26 {
		t.Errorf("%d succeeded after a person opened it", p.in("succeeded"))
	}
}

// A process that dies over its trial leaves it counted, and others wait for the end of its lease.
func TestATrialOfTheDead(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(10, 0, "dhl")
	dead := func(owner string, lease time.Duration) (trial provider.Trial) {
		t.Helper()
		err := pg.InTx(t.Context(), p.runs.Pool, func(tx pgx.Tx) (err error) {
			trial, err = p.states.BeginTrial(t.Context(), tx, provider.Connector{Tenant: tenant, Provider: "dhl", Kind: "van"}, owner, lease)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return trial
	}
	if dead("one", time.Hour) != provider.TrialBegun || dead("two", time.Hour) != provider.TrialElsewhere {
		t.Fatal("two trials at once")
	}
	for range 2 {
		p.sql("UPDATE provider_states SET trial_expires_at = now() - interval '1 second'")
		dead("three", time.Hour)
	}
	if n := p.count("SELECT count(*) FROM provider_states WHERE state = 'stopped'"); n != 1 {
		t.Error("two died over their trials, and a third may follow")
	}
	p.together(p.replica(v, "a", "1357"))
	if v.used.Load() != 0 {
		t.Errorf("%d calls", v.used.Load())
	}
}

// What another call of the process hears between a claim and its first byte counts: nothing that was claimed as proven goes.
func TestAProofThatIsWithdrawnAfterTheClaim(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(30, 0, "dhl")
	d := p.replica(v, "a", "1357")
	c, _ := d.Connectors.Get(tenant, "dhl")
	claims := 0
	p.fail = func(step string) error {
		switch {
		case step == "begun":
			claims++
		case step == "gate" && claims == 2: // the one after the trial's, and before its first byte
			claims++
			c.Proof.Take(provider.Result{Stop: true}, 0, p.clock.Now())
		}
		return nil
	}
	p.together(d)
	if p.in("succeeded") != 30 || v.most.Load() != 1 {
		t.Errorf("%d succeeded, %d at once with a PIN that was refused", p.in("succeeded"), v.most.Load())
	}
}

// A PIN that goes wrong in the middle of an evening costs the calls that are open at that moment, and nothing after them.
func TestAPINThatGoesWrong(t *testing.T) {
	t.Parallel()
	p, v := newPost(t), newVault("1357")
	p.parcels(200, 0, "dhl")
	v.answer = func(n int64) *provider.Result {
		if n == 40 {
			v.right.Store("2468")
		}
		return nil
	}
	p.together(p.replica(v, "a", "1357"))
	if n := v.wrong.Load(); n < 1 || n > 16 {
		t.Errorf("%d wrong tries, there are 16 slots", n)
	}
}
