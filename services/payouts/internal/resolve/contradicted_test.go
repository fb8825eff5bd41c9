package resolve_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
)

const nextEvening = "2025-01-25T23:59:00Z"

// script answers for the provider, as a test has it say.
type script struct {
	submit provider.Result
	lookup provider.Found
	err    error
	sent   []string
}

func (s *script) hooks() sending.Hooks {
	return sending.Hooks{
		Submit: func(_ context.Context, tr provider.Transfer, _ provider.Submitter) provider.Result {
			s.sent = append(s.sent, tr.Reference)
			return s.submit
		},
		Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
			return s.lookup, s.err
		},
	}
}

// paysNow is a provider that had it paid all along, and pays whatever it is sent.
func (s *script) paysNow() {
	s.submit = provider.Result{Class: provider.Succeeded}
	s.lookup, s.err = provider.Found{Exists: true, Result: s.submit}, nil
}

// scripted has one payout that was sent to a provider which answered so.
func scripted(t *testing.T, answer provider.Result) (*desk, *script) {
	s := &script{submit: answer}
	return newDesk(t, "", s.hooks()), s
}

// hint is a webhook about the first attempt.
func (d *desk) hint() {
	d.t.Helper()
	var reference string
	if err := d.Env.Pool.QueryRow(d.t.Context(), "SELECT reference FROM attempts ORDER BY number LIMIT 1").Scan(&reference); err != nil {
		d.t.Fatal(err)
	}
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.sender.Worker.Match(d.as("ada"), tx, payoutstest.Tenant, "orange", []webhook.Notice{{Reference: reference}})
		return err
	})
}

// contradict has the provider say, after a webhook, that it paid what it had refused.
func (d *desk) contradict(s *script) {
	d.t.Helper()
	s.paysNow()
	d.hint()
	d.Pass(d.sender)
	if n := d.Count("SELECT count(*) FROM payouts WHERE contradicted"); n != 1 {
		d.t.Fatalf("%d payouts are marked as contradicted", n)
	}
}

// never tries everything that could send a second time, over an evening, and wants one send.
func (d *desk) never(s *script) {
	d.t.Helper()
	for name, op := range map[string]single{"release": d.Release, "cancel": d.Cancel, "retry": d.Retry} {
		if err := d.single(op); status.Code(err) != codes.FailedPrecondition {
			d.t.Errorf("%s of a contradicted payout: %v", name, err)
		}
	}
	d.Commands(d.sender)
	d.later(30)
	d.Finish()
	d.Dispatch(d.sender, d.Run(payoutstest.Daily(nextEvening)))
	d.later(30)
	if len(s.sent) != 1 {
		d.t.Errorf("sent %d times: %v", len(s.sent), d.PayoutStates())
	}
	d.CheckEvents()
}

func TestContradictedInAnyStateIsNeverSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer provider.Result
		before string
		after  string
	}{
		"held for the provider": {
			provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: "maintenance"}, "held/maintenance", "held/maintenance",
		},
		"failed, to be tried again": {
			provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "x"}, "failed/x", "held/contradicted",
		},
		"never sent, it seemed": {
			provider.Result{Class: provider.NotSent, Code: "refused", RetryAfter: time.Hour}, "approved/refused", "held/contradicted",
		},
		"failed for good": {
			provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "x"}, "failed/x", "failed/x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := scripted(t, c.answer)
			if got := d.One(); got != c.before {
				t.Fatalf("before, it is %s", got)
			}
			d.contradict(s)
			if got := d.One(); got != c.after {
				t.Errorf("it is %s, want %s", got, c.after)
			}
			d.mustRefuse(d.single(d.Retry), map[bool]string{true: "contradicted", false: "state"}[strings.HasPrefix(c.after, "failed")])
			d.never(s)
		})
	}
}

// A cancelled payout's items are free; once the provider says that it was paid they are not.
func TestCancelledAndPaidAfterAll(t *testing.T) {
	t.Parallel()
	d, s := scripted(t, provider.Result{Class: provider.NotSent, Code: "refused", RetryAfter: time.Hour})
	if err := d.single(d.Cancel); err != nil {
		t.Fatal(err)
	}
	d.contradict(s)
	d.never(s)
}

// Another payout has the items already when the contradiction comes: it is not sent either.
func TestWhoTookTheItemsIsHeldToo(t *testing.T) {
	t.Parallel()
	d, s := scripted(t, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "x"})
	d.Finish()
	run := d.Run(payoutstest.Daily(nextEvening))
	if got := d.PayoutStates(); got["approved"] != 1 {
		t.Fatalf("got %v", got)
	}
	s.paysNow()
	d.hint()
	d.Pass(d.sender)
	if n := d.Count("SELECT count(*) FROM payouts WHERE contradicted AND (state, reason_code) IN (('failed', 'x'), ('held', 'contradicted'))"); n != 2 {
		t.Errorf("%d of both are where they cannot pay: %v", n, d.PayoutStates())
	}
	d.Dispatch(d.sender, run)
	d.later(30)
	if len(s.sent) != 1 {
		t.Errorf("sent %d times", len(s.sent))
	}
	d.CheckEvents()
}

// A webhook has spoken of an attempt that seemed over, and nobody has asked yet.
func TestNothingIsCancelledOrRetriedBeforeTheProviderIsAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer provider.Result
		op     func(d *desk) single
	}{
		"cancel": {provider.Result{Class: provider.NotSent, Code: "refused", RetryAfter: time.Hour}, func(d *desk) single { return d.Cancel }},
		"retry":  {provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "x"}, func(d *desk) single { return d.Retry }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := scripted(t, c.answer)
			d.hint()
			d.mustRefuse(d.single(c.op(d)), "lookup_outstanding")
			d.Pass(d.sender) // the provider does not know it, and need not yet
			d.mustRefuse(d.single(c.op(d)), "lookup_outstanding")
			d.Env.Clock.Advance(2 * time.Minute)
			d.Pass(d.sender)
			d.mustRefuse(d.single(c.op(d)), "lookup_outstanding")
			d.absentTwice(s) // as booked
			if err := d.single(c.op(d)); err != nil {
				t.Error(err)
			}
		})
	}
}

// inDoubt has one payout in review because nothing is known: its send timed out, and so does every question.
func inDoubt(t *testing.T) (*desk, *script) {
	d, s := scripted(t, provider.Result{Class: provider.Ambiguous, Code: "timeout"})
	s.err = context.DeadlineExceeded
	d.Env.Clock.Advance(25 * time.Hour)
	d.Pass(d.sender)
	if got := d.One(); got != "manual_review/review_after" {
		t.Fatalf("it is %s", got)
	}
	return d, s
}

// absentTwice has the provider answer twice, far enough apart, that it knows nothing.
func (d *desk) absentTwice(s *script) {
	s.err, s.lookup = nil, provider.Found{}
	d.Pass(d.sender)
	d.Env.Clock.Advance(2 * time.Second)
	d.Pass(d.sender)
}

func TestOneReadThatFindsNothingProvesNothing(t *testing.T) {
	t.Parallel()
	d, s := inDoubt(t)
	d.mustDecide("ada", notPaid, false)
	s.err = nil
	d.Pass(d.sender)
	_, err := d.decide("bob", notPaid)
	d.mustRefuse(err, "lookup_outstanding")
	d.Env.Clock.Advance(2 * time.Second)
	d.Pass(d.sender)
	d.mustDecide("bob", notPaid, true)
}

// A proposal is about one attempt: it ends with the review, and does not speak for a person in the next one.
func TestAProposalEndsWithItsReview(t *testing.T) {
	t.Parallel()
	d, s := inDoubt(t)
	d.mustDecide("ada", payAgain, false)
	s.err = nil
	s.lookup = provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "x"}}
	d.Pass(d.sender)
	if n := d.Count("SELECT count(*) FROM proposals"); n != 0 {
		t.Error("the proposal outlives its review")
	}
	s.err = context.DeadlineExceeded
	d.later(2)
	d.Env.Clock.Advance(25 * time.Hour)
	d.Pass(d.sender)
	if got := d.One(); !strings.HasPrefix(got, "manual_review/") || len(s.sent) != 2 {
		t.Fatalf("the second attempt is %s after %d sends", got, len(s.sent))
	}
	d.mustDecide("bob", payAgain, false)
}

// Should a proposal be left of another attempt, it does not count: neither as a first voice nor for what a lookup said.
func TestAProposalAboutAnotherAttemptIsNone(t *testing.T) {
	t.Parallel()
	d, s := inDoubt(t)
	d.mustDecide("ada", notPaid, false)
	d.SQL("UPDATE proposals SET attempt = 7")
	d.absentTwice(s)
	if n := d.Count("SELECT count(*) FROM proposals WHERE lookup_at IS NOT NULL"); n != 0 {
		t.Error("a lookup of attempt 1 was noted for attempt 7")
	}
	d.mustDecide("bob", notPaid, false)
}

// The provider's callback comes between the lookup and the second person.
func TestAWebhookBeforeTheSecondPersonIsHeard(t *testing.T) {
	t.Parallel()
	d, s := inDoubt(t)
	d.mustDecide("ada", payAgain, false)
	d.absentTwice(s)
	s.paysNow()
	d.hint()
	_, err := d.decide("bob", payAgain)
	d.mustRefuse(err, "lookup_outstanding")
	d.Pass(d.sender)
	if got := d.One(); got != "succeeded" || len(s.sent) != 1 {
		t.Errorf("it is %s after %d sends", got, len(s.sent))
	}
}

func TestALookupThatFindsItSpeaksAgainstNotPaid(t *testing.T) {
	t.Parallel()
	d, s := inDoubt(t)
	d.mustDecide("ada", notPaid, false)
	d.absentTwice(s)
	d.mustDecide("ada", payAgain, false) // other words: what was said before them does not count for them
	s.lookup = provider.Found{Exists: true, Result: provider.Result{Class: provider.Accepted}}
	d.Pass(d.sender)
	_, err := d.decide("bob", payAgain)
	d.mustRefuse(err, "lookup_contradicts")
}

func TestTwoSecondsAtOnceApplyOnce(t *testing.T) {
	t.Parallel()
	d, s := inDoubt(t)
	d.mustDecide("ada", notPaid, false)
	d.absentTwice(s)
	var applied, refused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range []string{"bob", "cyd", "dan"} {
		wg.Go(func() {
			ok, err := d.decide(name, notPaid)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ok && err == nil:
				applied++
			case status.Code(err) == codes.FailedPrecondition:
				refused++
			default:
				t.Errorf("%s: applied %v, %v", name, ok, err)
			}
		})
	}
	wg.Wait()
	if applied != 1 || refused != 2 {
		t.Errorf("applied %d times, refused %d times", applied, refused)
	}
	if n := d.Count("SELECT count(*) FROM ledger_postings WHERE kind = 'attempt.undone'"); n != 1 {
		t.Errorf("undone %d times in the books", n)
	}
}

func TestAnotherTenantsPayoutIsNotFound(t *testing.T) {
	t.Parallel()
	d, _ := inDoubt(t)
	err := d.do(func(tx pgx.Tx) error {
		_, err := d.Resolve(d.as("ada"), tx, "another", d.id, isPaid)
		return err
	})
	if status.Code(err) != codes.NotFound {
		t.Errorf("resolve: %v", err)
	}
	for name, op := range map[string]single{"hold": d.Hold, "release": d.Release, "cancel": d.Cancel, "retry": d.Retry} {
		err := d.do(func(tx pgx.Tx) error { return op(d.as("ada"), tx, "another", d.id, "x") })
		if status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A release and a retry count against today's caps, as an approval does.
func TestReleaseAndRetryTakeTheCap(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Rules().DailyCap = 24_000 // one of two
	d := &desk{Env: e, t: t, sender: e.Sender()}
	d.Resolver = &resolve.Resolver{Store: e.Store, Outcomes: d.sender.Outcomes, Clock: e.Clock}
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	e.Import(payoutstest.Header + "pay-1,drv-00001,L," + sending.Phone(1) + ",30000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n" +
		"pay-2,drv-00002,L," + sending.Phone(2) + ",30000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n")
	e.Run(payoutstest.Daily(sending.Evening))
	of := func(state string) (id uuid.UUID) {
		t.Helper()
		if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts WHERE state = $1", state).Scan(&id); err != nil {
			t.Fatal(state, err)
		}
		return id
	}
	first, second := of("approved"), of("held")
	d.id = first
	if err := d.single(d.Hold); err != nil {
		t.Fatal(err)
	}
	e.Sweep(d.sender) // the second has the day's money now, and is paid
	d.mustRefuse(d.single(d.Release), "daily_cap")
	if got := e.PayoutStates(); got["held"] != 1 || got["succeeded"] != 1 {
		t.Errorf("got %v", got)
	}
	e.SQL("UPDATE payouts SET state = 'failed', retry_at = NULL WHERE payout_id = $1", first)
	d.mustRefuse(d.single(d.Retry), "daily_cap")
	e.Clock.Advance(24 * time.Hour)
	if err := d.single(d.Retry); err != nil {
		t.Fatal(err)
	}
	if n := e.Count("SELECT count(*) FROM payouts WHERE payout_id = $1 AND cap_date = '2025-01-25'", first); n != 1 || second == first {
		t.Error("it does not count against the day on which it goes")
	}
}

// What two people apply is booked: the float pays what was paid, and what was not is owed again.
func TestWhatPeopleDecideIsBooked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		words admin.Resolution
		kind  string
	}{"paid": {isPaid, "attempt.succeeded"}, "not paid": {notPaid, "attempt.undone"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := inDoubt(t)
			d.mustDecide("ada", c.words, false)
			d.absentTwice(s)
			d.mustDecide("bob", c.words, true)
			if n := d.Count("SELECT count(*) FROM ledger_postings WHERE kind = $1 AND amount = 24000", c.kind); n != 1 {
				t.Errorf("%d postings of %s", n, c.kind)
			}
			if n := d.Count("SELECT count(*) FROM proposals"); n != 0 {
				t.Error("the proposal is left")
			}
		})
	}
}

// A second attempt is under way when the first turns out paid: should the second fail, there is no third.
func TestContradictedWhileAnotherAttemptIsOut(t *testing.T) {
	t.Parallel()
	d, s := scripted(t, provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "x"})
	s.submit, s.err = provider.Result{Class: provider.Ambiguous, Code: "timeout"}, errors.New("no answer")
	d.later(2)
	if got := d.One(); !strings.HasPrefix(got, "unknown/") || len(s.sent) != 2 {
		t.Fatalf("it is %s after %d sends", got, len(s.sent))
	}
	s.err, s.lookup = nil, provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}
	d.SQL("UPDATE attempts SET next_lookup_at = now() + interval '100 years' WHERE number = 2")
	d.hint()
	d.Pass(d.sender)
	s.lookup.Result = provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "x"}
	d.SQL("UPDATE attempts SET next_lookup_at = $1 WHERE number = 2", d.Env.Clock.Now())
	d.Pass(d.sender)
	if got := d.One(); got != "failed/x" {
		t.Errorf("it is %s", got)
	}
	if n := d.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); n != 1 {
		t.Error("its items are free for another payout")
	}
	d.Finish()
	d.Dispatch(d.sender, d.Run(payoutstest.Daily(nextEvening)))
	if len(s.sent) != 2 {
		t.Errorf("sent %d times", len(s.sent))
	}
}
