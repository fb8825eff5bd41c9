package dispatch_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestAPageIsSentOnce(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(30, 0, "dhl")
	p.parcels(5, 1, "dhl")
	p.dispatch()
	p.dispatch() // the command again
	if p.sent() != 30 || p.in("succeeded") != 30 || p.in("waiting") != 5 {
		t.Errorf("%d calls, %d succeeded, %d wait", p.sent(), p.in("succeeded"), p.in("waiting"))
	}
	seen := map[string]bool{}
	for _, c := range p.calls {
		if seen[c.Reference] || c.Description != "parcel" || c.Amount.Minor != 100 {
			t.Errorf("called with %+v", c)
		}
		seen[c.Reference] = true
	}
	if n := p.count("SELECT count(*) FROM runs WHERE state = 'running'"); n != 1 {
		t.Error("the run is over before its second page")
	}
	if err := p.dispatcher.Dispatch(t.Context(), p.run, 1); err != nil {
		t.Fatal(err)
	}
	if n := p.count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
		t.Error("the run is not settled with its last row")
	}
	for _, c := range p.connectors.All() {
		if c.Throttle.InUse() != 0 {
			t.Errorf("%d slots were not given back", c.Throttle.InUse())
		}
	}
}

func TestARunThatIsNot(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	if err := p.dispatcher.Dispatch(t.Context(), uuid.New(), 0); !errors.Is(err, run.ErrNoRun) {
		t.Errorf("got %v", err)
	}
}

// What stays behind a gate stays as it is; what is to be put aside is, with the gate's code.
func TestGates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gate dispatch.Gate
		want string
	}{
		"rows stay":          {dispatch.Gate{Code: "paused", Stay: true}, "waiting"},
		"rows are put aside": {dispatch.Gate{Code: "tenant_stop"}, "tenant_stop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			p.parcels(7, 0, "dhl")
			p.gate = func() dispatch.Gate { return c.gate }
			p.dispatch()
			if p.sent() != 0 || p.in(c.want) != 7 {
				t.Errorf("%d were sent, %d are %s", p.sent(), p.in(c.want), c.want)
			}
			if n := p.count("SELECT count(*) FROM attempts"); n != 0 {
				t.Errorf("%d attempts were begun", n)
			}
		})
	}
}

// The gate is read once more right before the first byte: what closes it between claim and call calls the sends off.
func TestAGateThatClosesAfterTheClaim(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]bool{"closed": false, "unreadable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			p.parcels(4, 0, "dhl")
			looks := 0
			p.gate = func() dispatch.Gate {
				if looks++; looks == 1 || (broken && looks == 2) {
					return dispatch.Gate{}
				}
				return dispatch.Gate{Code: "paused", Stay: true}
			}
			p.fail = func(step string) error {
				if broken && step == "gate" && looks == 2 {
					return errors.New("the database is away")
				}
				return nil
			}
			p.dispatchMoving()
			if p.sent() != 0 || p.in("waiting") != 4 {
				t.Errorf("%d were sent, %d wait", p.sent(), p.in("waiting"))
			}
			if n := p.count("SELECT count(*) FROM attempts WHERE state = 'not_sent'"); n != 4 {
				t.Errorf("%d attempts are known as never sent", n)
			}
			p.gate = nil
			p.clock.Advance(time.Minute)
			p.dispatch()
			if p.in("succeeded") != 4 || p.count("SELECT count(*) FROM attempts WHERE sends = 2") != 4 {
				t.Error("they do not go again under the same reference")
			}
		})
	}
}

// Each provider of a page is a lane of its own; one that nobody serves keeps nobody waiting.
func TestProvidersOfAPage(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.serve("ups")
	p.parcels(3, 0, "dhl")
	p.parcels(2, 0, "ups")
	p.parcels(6, 0, "gone")
	p.dispatch()
	if p.in("succeeded") != 5 || p.in("unserved") != 6 {
		t.Errorf("%d succeeded, %d are unserved", p.in("succeeded"), p.in("unserved"))
	}
}

// Every class of answer leads to one state of the attempt, and the row follows it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for class, want := range map[provider.Class]attempt.State{
		provider.Succeeded: attempt.Succeeded, provider.Accepted: attempt.Processing, provider.RejectedFinal: attempt.Failed,
		provider.RejectedRetryable: attempt.Failed, provider.Ambiguous: attempt.Unknown, "": attempt.Unknown,
	} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			p.parcels(1, 0, "dhl")
			p.answer = func(context.Context, provider.Transfer) provider.Result {
				return provider.Result{Class: class, Code: "x"}
			}
			p.dispatch()
			if p.in(string(want)) != 1 || len(p.moved) != 1 || p.moved[0].Result.Code != "x" {
				t.Errorf("the row is not %s", want)
			}
			if n := p.count("SELECT count(*) FROM attempts WHERE next_lookup_at IS NOT NULL"); (n == 1) != want.Open() {
				t.Errorf("%d lookups are due of an attempt that is %s", n, want)
			}
		})
	}
}

func TestAPanicOfAnAdapterIsDoubt(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(3, 0, "dhl")
	p.answer = func(_ context.Context, tr provider.Transfer) provider.Result {
		p.mu.Lock()
		first := p.calls[0].Reference == tr.Reference
		p.mu.Unlock()
		if first {
			panic("a defect")
		}
		return provider.Result{Class: provider.Succeeded}
	}
	p.dispatch()
	if p.in("unknown") != 1 || p.in("succeeded") != 2 {
		t.Errorf("%d are unknown, %d succeeded", p.in("unknown"), p.in("succeeded"))
	}
}

// What was never sent goes again under its reference: soon by this lane, or, when the provider asks for more than its
// patience, at a time that is written down.
func TestNeverSentGoesAgain(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(1, 0, "dhl")
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		switch p.sent() {
		case 1:
			return provider.Result{Class: provider.NotSent, Code: "busy", RetryAfter: 5 * time.Second}
		case 2:
			return provider.Result{Class: provider.NotSent, Code: "busy", RetryAfter: time.Hour}
		default:
			return provider.Result{Class: provider.Succeeded}
		}
	}
	began := p.clock.Now()
	p.dispatchMoving()
	if took := p.clock.Now().Sub(began); p.sent() != 2 || took < 5*time.Second || took > time.Minute {
		t.Errorf("%d calls in %s", p.sent(), took)
	}
	if n := p.count("SELECT count(*) FROM parcels WHERE state = 'waiting' AND not_before > $1", p.clock.Now().Add(50*time.Minute)); n != 1 {
		t.Error("the long rest is not written down")
	}
	p.clock.Advance(time.Hour)
	p.dispatch()
	if p.in("succeeded") != 1 || p.count("SELECT count(*) FROM attempts WHERE number = 1 AND sends = 3") != 1 {
		t.Error("it did not go again under its reference")
	}
}

// A transaction that cannot begin sends nothing and keeps no slot.
func TestAClaimThatFails(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(4, 0, "dhl")
	p.fail = func(step string) error {
		if step == "begun" {
			return errors.New("the books do not take it")
		}
		return nil
	}
	if err := p.dispatcher.Dispatch(t.Context(), p.run, 0); err == nil {
		t.Error("a claim that failed was taken for done")
	}
	c, _ := p.connectors.Get(tenant, "dhl")
	if p.sent() != 0 || c.Throttle.InUse() != 0 || p.count("SELECT count(*) FROM attempts") != 0 || p.in("waiting") != 4 {
		t.Errorf("%d calls, %d slots", p.sent(), c.Throttle.InUse())
	}
	p.fail = nil
	p.dispatch() // its place was given back
	if p.in("succeeded") != 4 {
		t.Error("the page cannot be worked on after a failure")
	}
}

// A row whose outcome cannot be written costs itself: the others of its batch are recorded, its attempt is left to takeover.
func TestADefectiveRowCostsItself(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(4, 0, "dhl")
	var bad string
	if err := p.runs.Pool.QueryRow(t.Context(), "SELECT id::text FROM parcels LIMIT 1").Scan(&bad); err != nil {
		t.Fatal(err)
	}
	p.fail = func(step string) error {
		if step == bad {
			return errors.New("a defect")
		}
		return nil
	}
	p.dispatch()
	if p.in("succeeded") != 3 || p.in("away") != 1 || p.count("SELECT count(*) FROM attempts WHERE state = 'submitting'") != 1 {
		t.Errorf("%d succeeded, %d are away", p.in("succeeded"), p.in("away"))
	}
}

// An answer to a send that was taken over is no outcome: the book hears of it as late.
func TestALateAnswer(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(1, 0, "dhl")
	p.answer = func(ctx context.Context, _ provider.Transfer) provider.Result {
		p.sql("UPDATE attempts SET lease_expires_at = now() - interval '1 second'")
		err := pg.InTx(ctx, p.runs.Pool, func(tx pgx.Tx) error {
			_, err := attempt.TakeOver(ctx, tx, p.clock.Now(), 10)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return provider.Result{Class: provider.Succeeded}
	}
	p.dispatch()
	if len(p.moved) != 0 || len(p.late) != 1 || p.late[0].Result.Class != provider.Succeeded {
		t.Errorf("moved %v, late %v", p.moved, p.late)
	}
}

func TestFaultsAreWatched(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.states.Health.DegradeAfter = 100
	p.parcels(3, 0, "dhl")
	p.dispatcher.ClaimMost = 1 // one answer after the other
	c, _ := p.connectors.Get(tenant, "dhl")
	c.Throttle = provider.NewThrottle(0, 1)
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		if p.sent() == 2 {
			return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment}
		}
		return provider.Result{Class: provider.Ambiguous}
	}
	p.dispatch()
	if got := p.watched; len(got) != 3 || got[0] != "dhl 1 false" || got[1] != "dhl 0 true" || got[2] != "dhl 1 false" {
		t.Errorf("watched %q", got)
	}
}

// An answer that stops the connector is the last call: what was claimed with it is called off, and the stop is everybody's.
func TestAStopIsTheLastCall(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(20, 0, "dhl")
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "wrong_pin", Stop: true}
	}
	p.dispatch()
	if n := p.sent(); n < 1 || n > 4 {
		t.Errorf("%d calls, there are 4 slots", n)
	}
	if p.in("waiting")+p.in("failed") != 20 || p.in("failed") != p.sent() {
		t.Errorf("%d wait, %d failed", p.in("waiting"), p.in("failed"))
	}
}

// Between the answer that stops a connector and the commit that tells everybody, the lane already knows: what it claims
// meanwhile is not sent.
func TestAStopHoldsBeforeItIsCommitted(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(2, 0, "dhl")
	p.dispatcher.ClaimMost = 1
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "wrong_pin", Stop: true}
	}
	var claims atomic.Int64
	var once sync.Once
	second, answered := make(chan struct{}), make(chan struct{})
	p.fail = func(step string) error {
		switch step {
		case "gate":
		case "begun":
			if claims.Add(1) == 2 {
				<-answered
				close(second)
			}
		default: // the first answer is being recorded
			once.Do(func() {
				close(answered)
				<-second
				<-time.After(200 * time.Millisecond) // the second send is about to begin
			})
		}
		return nil
	}
	p.dispatch()
	if p.sent() != 1 || p.in("waiting") != 1 {
		t.Errorf("%d calls with a wrong PIN, %d wait", p.sent(), p.in("waiting"))
	}
}

// The answer that asks to stop cannot be recorded: its connector is stopped all the same. Where that cannot be written either the lane ends, and
// does not claim and call off at the database's speed.
func TestAStopThatIsNotRecordedStops(t *testing.T) {
	t.Parallel()
	for name, unwritable := range map[string]bool{"the outcome cannot be written": false, "nor can the stop": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			p.parcels(20, 0, "dhl")
			if unwritable {
				p.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a defect'; END $$")
				p.sql("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON provider_states FOR EACH ROW WHEN (NEW.state = 'stopped') EXECUTE FUNCTION refuse()")
			}
			p.dispatcher.ClaimMost = 1
			var called sync.Map
			p.answer = func(_ context.Context, tr provider.Transfer) provider.Result {
				called.Store(tr.Reference, true)
				return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "wrong_pin", Stop: true}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var claims atomic.Int64
			p.fail = func(step string) error {
				if step == "begun" && claims.Add(1) == 100 {
					cancel()
				}
				if _, ok := called.Load(step); ok {
					return errors.New("a defect")
				}
				return nil
			}
			err := p.dispatcher.Dispatch(ctx, p.run, 0)
			if n := claims.Load(); n >= 100 || p.sent() > 4 {
				t.Errorf("%d claims and %d calls, there are 4 slots", n, p.sent())
			}
			if (err != nil) != unwritable {
				t.Errorf("the command ends with %v", err)
			}
			if n := p.count("SELECT count(*) FROM provider_states WHERE state = 'stopped'"); (n == 1) == unwritable {
				t.Errorf("%d connectors are stopped", n)
			}
		})
	}
}

// A connector that rests for longer than a page is patient leaves its rows where they are.
func TestALongRest(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(5, 0, "dhl")
	p.sql(`INSERT INTO provider_states (tenant, provider, kind, state, rest_until, changed_at) VALUES ($1, 'dhl', 'van', 'open', $2, now())`, tenant, p.clock.Now().Add(time.Hour))
	p.dispatch()
	if p.sent() != 0 || p.in("waiting") != 5 {
		t.Errorf("%d were sent, %d wait", p.sent(), p.in("waiting"))
	}
}

// However many pages and commands there are, no more rows are in doubt at once than there are slots.
func TestSlotsBoundWhatIsInDoubt(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.parcels(20, 0, "dhl")
	p.parcels(20, 1, "dhl")
	var most atomic.Int64
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		n := int64(p.in("away"))
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return provider.Result{Class: provider.Succeeded}
	}
	var wg sync.WaitGroup
	for page := range 2 {
		wg.Go(func() {
			if err := p.dispatcher.Dispatch(t.Context(), p.run, page); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 4 || p.in("succeeded") != 40 {
		t.Errorf("%d were in doubt at once, there are 4 slots; %d succeeded", n, p.in("succeeded"))
	}
}
