package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// What the old system got wrong: a payout still pending after 24 hours was never looked at again.
func TestPayoutPendingForDaysIsStillLookedUp(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.PendingSuccess, 1, func(r *simulator.Rule) { r.Duration = 9 * 24 * time.Hour })
	s := e.Sender()
	e.Send(s, 1)
	for day := range 9 {
		if got := e.One(); (got != "processing/pending" || day > 1) && (got != "manual_review/review_after" || day == 0) {
			t.Fatalf("on day %d: %s", day, got)
		}
		before := e.Count("SELECT lookups FROM attempts")
		for range 24 {
			e.Clock.Advance(time.Hour)
			e.Pass(s)
		}
		if e.Count("SELECT lookups FROM attempts") == before {
			t.Fatalf("nobody asked on day %d", day)
		}
	}
	e.Clock.Advance(24 * time.Hour)
	e.Pass(s)
	if got := e.One(); got != "succeeded" {
		t.Errorf("after ten days: %s", got)
	}
	e.Check()
}

// check-pending asks about everything that is open, of any age, in pages, and its run is complete when all is asked.
func TestCheckPendingAsksAboutAll(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.PendingSuccess, 0, func(r *simulator.Rule) { r.Duration = 3 * time.Hour })
	s := e.Sender()
	e.Send(s, 130)
	e.Clock.Advance(40 * time.Hour)
	e.Exec.Jobs[runs.JobCheckPending] = s.Worker.AskPage
	id := e.Run(payoutstest.Tick("check-pending", runs.JobCheckPending, "2025-01-26T15:00:00Z"))
	if n := e.Count("SELECT done FROM runs WHERE run_id = $1 AND state = 'completed'", id); n != 130 {
		t.Errorf("asked about %d of 130", n)
	}
	e.Pass(s)
	if got := e.PayoutStates(); got["succeeded"] != 130 {
		t.Errorf("got %v", got)
	}
	e.Check()
}

// Blind lookups prove nothing: not before the quiet time is over, not by one read, and never so much that what may have
// been paid is paid again.
func TestBlindLookupsNeverPayTwice(t *testing.T) {
	t.Parallel()
	for name, deduplicates := range map[string]bool{"deduplicates": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t, func(c *simulator.Config) { c.Orange.Deduplicate = deduplicates })
			e.Config.Deduplicates = deduplicates
			s := e.Sender()
			e.Cashin(simulator.LookupBlind, 0, func(r *simulator.Rule) { r.Duration = time.Hour })
			e.Send(s, 1)
			for range 20 {
				e.Clock.Advance(10 * time.Second)
				e.Pass(s)
				e.Sweep(s)
			}
			if !deduplicates && e.One() != "manual_review/not_resendable" {
				t.Errorf("a reference that might be paid twice: %s", e.One())
			}
			e.NoFaults()
			e.Clock.Advance(25 * time.Hour)
			e.Pass(s)
			e.Sweep(s)
			if got := e.One(); got != "succeeded" {
				t.Errorf("with sight again: %s", got)
			}
			e.Check()
		})
	}
}

// serve runs a webhook receiver for the tenant, in sandbox mode, and has the provider call it.
func serve(t *testing.T, e *sending.Env, s *sending.Sender, mode string) *webhook.Receiver {
	t.Helper()
	r := webhook.New("payouts", []webhook.Source{{Tenant: payoutstest.Tenant, Provider: "orange", Verifier: s.Connector.Verifier}}, webhook.Deps{
		Pool: e.Pool, Clock: e.Clock, Logger: slog.New(slog.DiscardHandler), Match: s.Worker.Match, Matched: s.Worker.Wake,
	})
	mux := http.NewServeMux()
	mux.Handle(r.Pattern(), r)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	err := e.Sim.SetCallback(simulator.Callback{
		URL: srv.URL + "/webhooks/payouts/" + payoutstest.Tenant + "/orange", Authorization: sending.CallbackAuthorization, Mode: mode,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal(what + " did not happen")
		}
	}
}

// A callback that overtakes the answer to the call is kept, matched and makes the state be read again; the state comes from
// the provider's lookup, never from the callback.
func TestWebhookBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"early", "normal", "duplicated", "forged"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			s := e.Sender()
			r := serve(t, e, s, mode)
			e.Cashin(simulator.LostAnswer, 0)
			e.States.Health.DegradeAfter = 100
			e.Send(s, 5)
			eventually(t, "a callback", func() bool { return e.Count("SELECT count(*) FROM webhooks") >= 5 })
			if got := e.PayoutStates(); got["unknown"] != 5 {
				t.Fatalf("a callback alone changed states: %v", got)
			}
			eventually(t, "matching", func() bool {
				if _, err := r.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				return e.Count("SELECT count(*) FROM webhook_states WHERE state = 'matched'") == 5
			})
			e.Pass(s) // without any time passing: it is due now
			if got := e.PayoutStates(); got["succeeded"] != 5 {
				t.Errorf("got %v", got)
			}
			e.Check()
		})
	}
}

// notices are webhooks of which nothing is understood but whom they are about.
func notices(references ...string) (all []webhook.Notice) {
	for _, r := range references {
		all = append(all, webhook.Notice{Reference: r})
	}
	return all
}

// After each success the provider calls back and says the same. That is stored like any other callback, and nothing is asked
// again; as soon as it says anything else, it is.
func TestACallbackThatRepeatsASuccessIsNoNews(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var lookups atomic.Int64
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		lookups.Add(1)
		return real.Lookup(ctx, tr)
	}})
	r := serve(t, e, s, "normal")
	e.Send(s, 5)
	matched := func(want int64) func() bool {
		return func() bool {
			if _, err := r.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			return e.Count("SELECT count(*) FROM webhook_states WHERE state = 'matched'") == want
		}
	}
	eventually(t, "matching", matched(5))
	e.Pass(s)
	if n := lookups.Load(); n != 0 {
		t.Errorf("%d lookups after callbacks that say what is proven", n)
	}
	// The same callback with another word in it.
	e.SQL(`WITH other AS (INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at)
		SELECT tenant, provider, 'other', convert_to(replace(convert_from(body, 'UTF8'), 'SUCCESS', 'FAILED'), 'UTF8'), refs, received_at
		FROM webhooks ORDER BY id LIMIT 1 RETURNING id, received_at)
		INSERT INTO webhook_queue SELECT id, received_at FROM other`)
	eventually(t, "matching", matched(6))
	e.Pass(s)
	if n := lookups.Load(); n != 1 {
		t.Errorf("%d lookups after a callback that denies what is proven", n)
	}
	if got := e.PayoutStates(); got["succeeded"] != 5 {
		t.Errorf("got %v", got)
	}
	e.Check()
}

// What the old system got wrong: sandbox mode accepted unsigned webhooks.
func TestUnsignedWebhooksAreRefusedInSandboxMode(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	if e.Tenants.Tenants[0].Mode != "sandbox" {
		t.Fatal("the tenant is not in sandbox mode")
	}
	s := e.Sender()
	e.Cashin(simulator.PendingForever, 0)
	e.Send(s, 1)
	r := serve(t, e, s, "never")
	var reference string
	if err := e.Pool.QueryRow(t.Context(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		t.Fatal(err)
	}
	for name, authorization := range map[string]string{"none": "", "wrong": "Basic d3Jvbmc6d3Jvbmc="} {
		req := httptest.NewRequest(http.MethodPost, "/webhooks/payouts/lebenis/orange", strings.NewReader(fmt.Sprintf(`{"status":"SUCCESS","transactionId":%q}`, reference)))
		req.SetPathValue("tenant", payoutstest.Tenant)
		req.SetPathValue("provider", "orange")
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("authorization %s: answered %d", name, w.Code)
		}
	}
	if n := e.Count("SELECT count(*) FROM webhooks"); n != 0 {
		t.Errorf("%d unsigned webhooks were stored", n)
	}
	e.Pass(s)
	if got := e.One(); got != "processing/pending" {
		t.Errorf("an unsigned webhook made it %s", got)
	}
}

// A provider that takes back what it said contradicts the books: no state changes, there is one finding however often it is
// heard, and the difference waits in suspense.
func TestProviderTakesASuccessBack(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var denies atomic.Bool
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if denies.Load() {
			return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed"}}, nil
		}
		return real.Lookup(ctx, tr)
	}})
	e.Send(s, 1)
	denies.Store(true)
	var reference string
	if err := e.Pool.QueryRow(t.Context(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e.InTx(func(tx pgx.Tx) error {
			fates, err := s.Worker.Match(e.Ctx(), tx, payoutstest.Tenant, "orange", notices(reference, "another's"))
			if diff := cmp.Diff(map[string]webhook.Fate{reference: webhook.Asked}, fates); diff != "" {
				t.Errorf("fates (-want +got)\n%s", diff)
			}
			return err
		})
		e.Pass(s)
	}
	if got := e.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	if got := e.EventTypes("recon"); len(got) != 1 {
		t.Errorf("events %v", got)
	}
	if b := e.Balances(); b["suspense"] != -24000 || b["float:orange"] != 0 {
		t.Errorf("suspense %d, float %d", b["suspense"], b["float:orange"])
	}
	e.Check(reference)
}

// What is booked as failed and about to be tried again turns out to be paid: it is held before it is paid twice.
func TestContradictedRetryIsHeld(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.Identical, 1)
	s := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}, nil
	}})
	e.Send(s, 1)
	if got := e.One(); got != "failed/identical_transaction" {
		t.Fatalf("got %s", got)
	}
	var reference string
	if err := e.Pool.QueryRow(t.Context(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		t.Fatal(err)
	}
	e.InTx(func(tx pgx.Tx) error {
		_, err := s.Worker.Match(e.Ctx(), tx, payoutstest.Tenant, "orange", notices(reference))
		return err
	})
	e.Pass(s)
	for range 70 {
		e.Clock.Advance(20 * time.Second)
		e.Sweep(s)
	}
	if got := e.One(); got != "held/"+payout.CodeContradicted || e.Requests() != 1 {
		t.Errorf("%s after %d requests", got, e.Requests())
	}
	e.Check(reference)
}

// What was booked as not paid, and turns out to be, waits in suspense; when it comes back the suspense is empty, once. What came back
// before anybody here had heard of it was never there. The payout stays contradicted: who it is for is not decided by that.
func TestWhatComesBackLeavesSuspense(t *testing.T) {
	t.Parallel()
	for name, heard := range map[string]bool{"paid, then back": true, "back when it is heard of": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			e.Cashin(simulator.Identical, 1)
			var back atomic.Bool
			s := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
				if back.Load() {
					return provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: provider.CodeReversed}}, nil
				}
				return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}, nil
			}})
			e.Send(s, 1)
			want := 0
			if heard {
				e.Hint(s)
				e.Pass(s)
				if b := e.Balances(); b["suspense"] != 24000 || b["float:orange"] != -24000 {
					t.Fatalf("suspense %d, float %d", b["suspense"], b["float:orange"])
				}
				want = 2
			}
			back.Store(true)
			for range 2 {
				e.Hint(s)
				e.Pass(s)
			}
			if b := e.Balances(); b["suspense"] != 0 || b["float:orange"] != 0 {
				t.Errorf("suspense %d, float %d", b["suspense"], b["float:orange"])
			}
			if got := e.EventTypes("recon"); len(got) != want {
				t.Errorf("events %v, want %d", got, want)
			}
			if n := e.Count("SELECT count(*) FROM payouts WHERE contradicted"); (n == 1) != heard {
				t.Errorf("%d are contradicted", n)
			}
			if differ, _, err := ledger.Verify(e.Ctx(), e.Pool, payoutstest.Tenant, 10); err != nil || len(differ) > 0 {
				t.Errorf("books: %v %v", differ, err)
			}
		})
	}
}

// The same reference at the provider with another amount is not our payment: nobody concludes anything from it but people.
func TestForeignTransferUnderOurReference(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.LostAnswer, 1)
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if f.Amount != nil {
			f.Amount.Minor = 42000
		}
		return f, err
	}})
	e.Send(s, 1)
	e.Clock.Advance(time.Minute)
	e.Pass(s)
	if got := e.One(); got != "manual_review/amount_differs" {
		t.Errorf("got %s", got)
	}
	if n := e.Count("SELECT count(*) FROM recon_findings WHERE code = 'amount_differs'"); n != 1 {
		t.Errorf("%d findings", n)
	}
	e.Check()
}

// Lookups that hang, fail or panic keep nobody else's from being answered.
func TestOneDefectiveLookupCostsItself(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.States.Health.DegradeAfter = 100
	e.Cashin(simulator.LostAnswer, 0)
	var bad sync.Map
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		switch tr.Destination {
		case sending.Phone(1):
			panic("defect")
		case sending.Phone(2):
			bad.Store(tr.Reference, true)
			return provider.Found{}, errors.New("the provider does not answer")
		default:
			return real.Lookup(ctx, tr)
		}
	}})
	e.Send(s, 10)
	e.Clock.Advance(time.Minute)
	e.Pass(s)
	if got := e.PayoutStates(); got["succeeded"] != 8 || got["unknown"] != 2 {
		t.Errorf("got %v", got)
	}
	e.Check()
}

// The decision about one attempt cannot be applied, for a reason that time does not cure: the others' are.
func TestOneDefectiveRowCostsItself(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.States.Health.DegradeAfter = 100
	e.Cashin(simulator.LostAnswer, 0)
	s := e.Sender()
	e.Send(s, 10)
	e.SQL(`ALTER TABLE payouts ADD CONSTRAINT defect CHECK (payee_id <> '` + sending.Payee(4) + `' OR state <> 'succeeded')`)
	e.Clock.Advance(time.Minute)
	e.Pass(s)
	if got := e.PayoutStates(); got["succeeded"] != 9 || got["unknown"] != 1 {
		t.Errorf("got %v", got)
	}
	e.Check()
}

// A person retries, the sweeper retries, a webhook makes the same payout be read again, all at once: one of them moves it.
func TestRacingRetries(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.Identical, 4)
	s := e.Sender()
	run := e.Send(s, 4)
	e.Clock.Advance(61 * time.Second)
	refs := references(t, e)
	var wg sync.WaitGroup
	wg.Go(func() { e.Sweep(s) })
	wg.Go(func() {
		for id := range e.Payouts() {
			err := pgxTx(e, func(tx pgx.Tx) error {
				_, err := e.Store.Apply(e.Ctx(), tx, []store.Change{{PayoutID: mustUUID(id), From: []payout.State{payout.Failed}, To: payout.Approved, Reason: payout.Reason{Code: payout.CodeRetry}}})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		e.InTx(func(tx pgx.Tx) error {
			_, err := s.Worker.Match(e.Ctx(), tx, payoutstest.Tenant, "orange", notices(refs...))
			return err
		})
		e.Pass(s)
	})
	wg.Wait()
	e.Dispatch(s, run)
	for range 5 {
		e.Clock.Advance(time.Minute)
		e.Pass(s)
		e.Sweep(s)
	}
	if got := e.PayoutStates(); got["succeeded"] != 4 {
		t.Errorf("got %v", got)
	}
	if n := e.Count("SELECT max(number) FROM attempts"); n != 2 {
		t.Errorf("%d attempts for one retry", n)
	}
	e.Check()
}

// A provider that does not answer lookups keeps nobody else's attempts from being taken over when their sender is gone.
func TestAHangingProviderDelaysNoTakeover(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.LostAnswer, 1)
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	s := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		asked <- struct{}{}
		<-answer
		return provider.Found{}, errors.New("no answer")
	}})
	e.Send(s, 2)
	if got := e.PayoutStates(); got["unknown"] != 1 || got["succeeded"] != 1 {
		t.Fatalf("got %v", got)
	}
	e.Clock.Advance(time.Minute) // the lost one is due
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Worker.Run(ctx) }()
	<-asked
	// The other one's sender had died instead of hearing the answer.
	e.SQL("UPDATE payouts SET state = 'submitting' WHERE state = 'succeeded'")
	e.SQL(`UPDATE attempts SET state = 'submitting', closed_at = NULL, lease_owner = 'gone', lease_expires_at = now() - interval '1 second'
		WHERE state = 'succeeded'`)
	eventually(t, "the takeover", func() bool { return e.PayoutStates()["unknown"] == 2 })
	cancel()
	close(answer)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// One lookup that is never answered keeps no other from being made: not those of its own connector that become due while it
// hangs, nor, when a provider answers none of as many as may be under way, those of another provider.
func TestAHangingLookupDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hang  int    // payees whose lookups are never answered
		other string // provider of the others
	}{
		"of its own connector":    {1, "orange"},
		"of another, all hanging": {5, "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			e.States.Health.DegradeAfter = 100
			e.Cashin(simulator.LostAnswer, 0)
			answer := make(chan struct{})
			hanging := func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				for n := range c.hang {
					if tr.Destination == sending.Phone(n+1) {
						<-answer
						return provider.Found{}, errors.New("no answer")
					}
				}
				return real.Lookup(ctx, tr)
			}
			s := e.Sender(sending.Hooks{Lookup: hanging})
			elsewhere := *s.Connector
			elsewhere.Provider = "elsewhere"
			s.Connectors.Add(&elsewhere)
			s.Worker.Parallel = 4
			e.Send(s, 10)
			later := "UPDATE attempts SET provider = $1, next_lookup_at = next_lookup_at + $2 WHERE NOT (destination = ANY($3))"
			slow := []string{}
			for n := range c.hang {
				slow = append(slow, sending.Phone(n+1))
			}
			e.SQL(later, c.other, time.Hour, slow)
			e.Clock.Advance(time.Minute)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Worker.Run(ctx) }()
			eventually(t, "the lookups that hang", func() bool {
				return e.Count("SELECT count(*) FROM attempts WHERE lookup_expires_at IS NOT NULL") == int64(min(c.hang, 4))
			})
			e.Clock.Advance(time.Hour)
			eventually(t, "the others", func() bool { return e.PayoutStates()["succeeded"] == int64(10-c.hang) })
			cancel()
			close(answer)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A provider that left the tenants file with money outstanding: nothing is concluded, and it is asked again when it is back.
func TestProviderGoneFromTheFile(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Cashin(simulator.LostAnswer, 1)
	s := e.Sender()
	e.Send(s, 1)
	e.SQL("UPDATE attempts SET provider = 'gone'")
	e.Clock.Advance(time.Minute)
	e.Pass(s)
	if got := e.One(); got != "unknown/connection_lost" {
		t.Errorf("got %s", got)
	}
	e.SQL("UPDATE attempts SET provider = 'orange'")
	e.Clock.Advance(25 * time.Hour)
	e.Pass(s)
	if got := e.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	e.Check()
}

func references(t *testing.T, e *sending.Env) []string {
	t.Helper()
	rows, err := e.Pool.Query(t.Context(), "SELECT reference FROM attempts")
	if err != nil {
		t.Fatal(err)
	}
	refs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return refs
}
