package disburse_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

// patience is how long a test waits for something that must happen, however busy the machine is.
const patience = time.Minute

// await waits for a signal of a hook.
func await(t *testing.T, e *sending.Env, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		t.Fatalf("nothing came to this place: %v", e.PayoutStates())
	}
}

// awaitError waits for what a dispatch returned.
func awaitError(t *testing.T, e *sending.Env, finished <-chan error) error {
	t.Helper()
	select {
	case err := <-finished:
		return err
	case <-time.After(patience):
		t.Fatalf("the dispatch does not return: %v", e.PayoutStates())
		return nil
	}
}

// dying is a sender that stops in its tracks at a place, as if the process had been killed there: its calls never return
// until the test is over.
type dying struct {
	*sending.Sender
	stuck chan struct{} // a send has come to the place
	done  sync.WaitGroup
}

func newDying(t *testing.T, e *sending.Env, place string) *dying {
	d := &dying{stuck: make(chan struct{}, 100)}
	over := make(chan struct{})
	stop := func() {
		d.stuck <- struct{}{}
		<-over
	}
	d.Sender = e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		if place == "before send" {
			stop()
			return provider.Result{Class: provider.NotSent, Code: "dead"}
		}
		real.Submit(context.WithoutCancel(ctx), tr)
		stop()
		return provider.Result{Class: provider.Ambiguous, Code: "dead"}
	}})
	t.Cleanup(func() { close(over); d.done.Wait() })
	return d
}

// dispatch lets the dying sender work on a page and returns when it is stuck with all its slots taken.
func (d *dying) dispatch(t *testing.T, e *sending.Env, run uuid.UUID) {
	t.Helper()
	ctx, cancel := context.WithCancel(e.Ctx())
	t.Cleanup(cancel)
	d.done.Go(func() { _ = d.Dispatch(ctx, run, 0) })
	await(t, e, d.stuck)
	for range d.Connector.Throttle.Capacity() - 1 {
		await(t, e, d.stuck)
	}
	cancel() // it claims nothing more
}

// At every crash point: the sender dies in the middle of a run, another one takes over, looks up and never sends what may
// have been sent. Each payee is in the provider's book once, or not at all and then known as such; at most as many as there
// were slots are in doubt.
func TestDeathInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	const payouts, slots = 20, 4
	for place, paid := range map[string]int{"before send": 0, "after send": slots} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			run := e.Plan(payouts)
			dead := newDying(t, e, place)
			dead.dispatch(t, e, run)
			if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'submitting'"); n != slots {
				t.Fatalf("%d payouts are in doubt, there are %d slots", n, slots)
			}
			e.Check()

			heir := e.Sender()
			e.TakeOver(heir)
			e.Dispatch(heir, run)
			if got := len(e.Book()); got != payouts-slots+paid {
				t.Errorf("%d payouts are in the book, want %d: what may have been sent is not sent again", got, payouts-slots+paid)
			}
			e.Check()
			for range 20 {
				e.Clock.Advance(5 * time.Second)
				e.Pass(heir)
				e.Sweep(heir)
			}
			want := map[string]int64{"succeeded": int64(payouts - slots + paid)}
			if paid == 0 {
				want["manual_review"] = slots
			}
			if got := e.PayoutStates(); got["succeeded"] != want["succeeded"] || got["manual_review"] != want["manual_review"] {
				t.Errorf("got %v, want %v", got, want)
			}
			e.Check()
		})
	}
}

// The same death before a provider that deduplicates: what is proven never to have been created goes again under the same
// reference, and everybody is paid once.
func TestDeathBeforeSendWithADeduplicatingProvider(t *testing.T) {
	t.Parallel()
	e := sending.New(t, func(c *simulator.Config) { c.Orange.Deduplicate = true })
	e.Config.Deduplicates = true
	run := e.Plan(10)
	newDying(t, e, "before send").dispatch(t, e, run)
	heir := e.Sender()
	e.TakeOver(heir)
	for range 20 {
		e.Clock.Advance(5 * time.Second)
		e.Pass(heir)
		e.Sweep(heir)
	}
	if got := e.PayoutStates(); got["succeeded"] != 10 {
		t.Errorf("got %v", got)
	}
	if n := e.Count("SELECT count(*) FROM attempts WHERE number <> 1"); n != 0 {
		t.Errorf("%d attempts have a new reference", n)
	}
	e.Check()
}

// An answer that comes after its attempt was taken over still counts for what it proves, and for no more.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  simulator.Fault
		answer provider.Result
		before string // when the answer comes
		after  string
	}{
		"a success is a success":                 {"", provider.Result{Class: provider.Succeeded}, "unknown/lease_expired", "succeeded"},
		"a rejection is a rejection":             {simulator.Failed, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed", ProviderID: "MP1"}, "unknown/lease_expired", "failed/failed"},
		"one without a trace is asked about":     {simulator.Failed, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed"}, "unknown/lease_expired", "unknown/lease_expired"},
		"accepted is under way":                  {simulator.PendingForever, provider.Result{Class: provider.Accepted, Code: "pending"}, "unknown/lease_expired", "processing/pending"},
		"doubt stays doubt":                      {simulator.LostAnswer, provider.Result{Class: provider.Ambiguous, Code: "timeout"}, "unknown/lease_expired", "unknown/lease_expired"},
		"never sent does not undo the takeover":  {simulator.ResetBefore, provider.Result{Class: provider.NotSent, Code: "dns_failed"}, "unknown/lease_expired", "unknown/lease_expired"},
		"a success after it was looked up again": {"", provider.Result{Class: provider.Succeeded}, "succeeded", "succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			if c.fault != "" {
				e.Cashin(c.fault, 0)
			}
			run := e.Plan(1)
			release, sent := make(chan struct{}), make(chan struct{})
			slow := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
				real.Submit(context.WithoutCancel(ctx), tr)
				close(sent)
				<-release
				return c.answer
			}})
			finished := make(chan error, 1)
			go func() { finished <- slow.Dispatch(e.Ctx(), run, 0) }()
			await(t, e, sent)
			other := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				if c.before == "succeeded" {
					return real.Lookup(ctx, tr)
				}
				return provider.Found{}, context.DeadlineExceeded // the provider does not answer lookups now
			}})
			e.TakeOver(other)
			if got := e.One(); got != c.before {
				t.Fatalf("taken over: %s, want %s", got, c.before)
			}
			close(release)
			if err := awaitError(t, e, finished); err != nil {
				t.Fatal(err)
			}
			if got := e.One(); got != c.after {
				t.Errorf("after the late answer: %s, want %s", got, c.after)
			}
			e.Check()
		})
	}
}

// The answer to an earlier send of a reference says nothing about a later one: a rejection, or a promise, that comes after the
// reference went again leaves the later send in doubt.
func TestALateAnswerToAnEarlierSendProvesNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]provider.Result{
		"a rejection": {Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed"},
		"a promise":   {Class: provider.Accepted, Code: "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t, func(c *simulator.Config) { c.Orange.Deduplicate = true })
			e.Config.Deduplicates = true
			run := e.Plan(1)
			release, sent := make(chan struct{}), make(chan struct{})
			slow := e.Sender(sending.Hooks{Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
				close(sent)
				<-release
				return answer
			}})
			finished := make(chan error, 1)
			go func() { finished <- slow.Dispatch(e.Ctx(), run, 0) }()
			await(t, e, sent)
			heir := e.Sender(sending.Hooks{
				Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
					real.Submit(ctx, tr)
					return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeTimeout}
				},
				Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
					return provider.Found{}, nil
				},
			})
			e.TakeOver(heir)
			for range 3 { // proven never created: the same reference goes again
				e.Clock.Advance(40 * time.Second)
				e.Pass(heir)
			}
			e.Commands(heir)
			if got, n := e.One(), e.Count("SELECT max(sends) FROM attempts"); got != "unknown/timeout" || n != 2 {
				t.Fatalf("got %s after %d sends", got, n)
			}
			close(release)
			if err := awaitError(t, e, finished); err != nil {
				t.Fatal(err)
			}
			if got := e.One(); got != "unknown/timeout" {
				t.Errorf("the answer to the first send made of the second: %s", got)
			}
			e.Check()
		})
	}
}

// A late success of an attempt that people have meanwhile closed as not paid contradicts the books: nothing changes, the
// difference is in suspense, and people are told.
func TestLateSuccessOfWhatIsBookedAsFailed(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(1)
	release, sent := make(chan struct{}), make(chan struct{})
	slow := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		res := real.Submit(context.WithoutCancel(ctx), tr)
		close(sent)
		<-release
		return res
	}})
	finished := make(chan error, 1)
	go func() { finished <- slow.Dispatch(e.Ctx(), run, 0) }()
	await(t, e, sent)
	lying := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed"}}, nil
	}})
	e.TakeOver(lying)
	if got := e.One(); got != "failed/failed" {
		t.Fatalf("got %s", got)
	}
	close(release)
	if err := awaitError(t, e, finished); err != nil {
		t.Fatal(err)
	}
	if got := e.One(); got != "failed/failed" {
		t.Errorf("a closed payout changed to %s", got)
	}
	var reference string
	if err := e.Pool.QueryRow(t.Context(), "SELECT reference FROM recon_findings WHERE code = 'paid_after_closed' AND found LIKE 'succeeded%' AND difference = 24000").Scan(&reference); err != nil {
		t.Fatalf("no finding: %v", err)
	}
	if got := e.EventTypes("recon"); len(got) != 1 || got[0] != "recon.mismatch_found" {
		t.Errorf("events %v", got)
	}
	if b := e.Balances(); b["suspense"] != 24000 || b["float:orange"] != -24000 {
		t.Errorf("suspense %d, float %d", b["suspense"], b["float:orange"])
	}
	e.Check(reference)
}

// The lease runs out while the call is under way: its context ends before the lease does, so the call is over when somebody
// else may look it up.
func TestACallEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.ShortLeases(2 * time.Second) // what is left of it when the call ends is enough for a question on a busy machine
	run := e.Plan(1)
	var early atomic.Bool
	s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, _ provider.Transfer, _ provider.Submitter) provider.Result {
		<-ctx.Done()
		early.Store(e.Count("SELECT count(*) FROM attempts WHERE lease_expires_at > clock_timestamp()") == 1)
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeTimeout}
	}})
	e.DispatchMoving(s, run) // a call that a busy machine began too late is called off, and made again
	if !early.Load() {
		t.Error("the call outlived its lease")
	}
	if got := e.One(); got != "unknown/timeout" {
		t.Errorf("got %s", got)
	}
	e.Check()
}

// A sender that wakes up after its lease sends nothing: the adapter sees an ended context before its first byte.
func TestNothingIsSentAfterTheLease(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.ShortLeases(200 * time.Millisecond)
	run := e.Plan(1)
	s := e.Sender(sending.Hooks{Before: func(ctx context.Context, _ provider.Transfer) { <-ctx.Done() }})
	ctx, cancel := context.WithCancel(e.Ctx())
	var working sync.WaitGroup
	working.Go(func() { _ = s.Dispatch(ctx, run, 0) })
	t.Cleanup(func() { cancel(); working.Wait() })
	deadline := time.Now().Add(20 * time.Second)
	for e.Count("SELECT COALESCE(max(sends), 0) FROM attempts") < 3 {
		if time.Now().After(deadline) {
			t.Fatal("a payout that was never sent does not go again")
		}
		e.Clock.Advance(time.Second)
	}
	if n := e.Requests(); n != 0 {
		t.Errorf("%d requests were made after their lease", n)
	}
}
