package mtnmomo_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestFaultMatrix is each way for MTN to go wrong and what becomes of the payout: at first, with the class and scope that its
// attempt has then, and when all of the configuration's pauses are over. The simulator's book is the judge.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	const (
		pending = "processing/pending ACCEPTED "
		doubt   = " AMBIGUOUS provider"
	)
	minutes := func(r *simulator.Rule) { r.Duration = 3 * time.Minute }
	seconds := func(r *simulator.Rule) { r.Duration = 3 * time.Second }
	refused := func(code string) func(*simulator.Rule) {
		return func(r *simulator.Rule) { r.Status, r.Message = http.StatusInternalServerError, code }
	}
	because := func(code string) func(*simulator.Rule) { return func(r *simulator.Rule) { r.Message = code } }
	status := func(code int) func(*simulator.Rule) { return func(r *simulator.Rule) { r.Status = code } }
	for name, c := range map[string]struct {
		fault  simulator.Fault
		rule   func(*simulator.Rule)
		first  string // state/code class scope
		later  string
		moved  int
		counts bool // toward max_attempts
		stops  bool // the connector
	}{
		"nothing":                       {first: pending, later: "succeeded", moved: 1},
		"read timeout but paid":         {fault: simulator.TimeoutAfter, first: "unknown/timeout" + doubt, later: "succeeded", moved: 1},
		"answer lost after payment":     {fault: simulator.LostAnswer, first: "unknown/connection_lost" + doubt, later: "succeeded", moved: 1},
		"reset after payment":           {fault: simulator.ResetAfter, first: "unknown/connection_lost" + doubt, later: "succeeded", moved: 1},
		"502 after payment":             {fault: simulator.ServerErrorAfter, first: "unknown/server_error" + doubt, later: "succeeded", moved: 1},
		"504 after payment":             {fault: simulator.ServerErrorAfter, rule: status(504), first: "unknown/server_error" + doubt, later: "succeeded", moved: 1},
		"408 after payment":             {fault: simulator.ServerErrorAfter, rule: status(408), first: "unknown/server_error" + doubt, later: "succeeded", moved: 1},
		"internal error after payment":  {fault: simulator.ServerErrorAfter, rule: status(500), first: "unknown/server_error" + doubt, later: "succeeded", moved: 1},
		"garbage after payment":         {fault: simulator.Garbage, first: "unknown/unreadable_answer" + doubt, later: "succeeded", moved: 1},
		"paid, and not found for long":  {fault: simulator.LookupBlind, rule: minutes, first: "unknown/connection_lost" + doubt, later: "succeeded", moved: 1},
		"timeout, and not paid":         {fault: simulator.TimeoutBefore, first: "unknown/timeout" + doubt, later: "succeeded", moved: 1},
		"reset before payment":          {fault: simulator.ResetBefore, first: "unknown/connection_lost" + doubt, later: "succeeded", moved: 1},
		"503 before payment":            {fault: simulator.ServerErrorBefore, first: "unknown/server_error" + doubt, later: "succeeded", moved: 1},
		"internal error before payment": {fault: simulator.ServerErrorBefore, rule: status(500), first: "unknown/server_error" + doubt, later: "succeeded", moved: 1},
		"pending, then paid":            {fault: simulator.PendingSuccess, rule: seconds, first: pending, later: "succeeded", moved: 1},
		"pending, then failed":          {fault: simulator.PendingFailed, rule: seconds, first: pending, later: "failed/approval_rejected", counts: true},
		"pending for ever":              {fault: simulator.PendingForever, first: pending, later: "processing/pending"},
		"a status nobody knows":         {fault: simulator.UnknownStatus, rule: seconds, first: pending, later: "succeeded", moved: 1},
		"no such payee, later":          {fault: simulator.Failed, rule: because("PAYEE_NOT_FOUND"), first: pending, later: "failed/payee_not_found", counts: true},
		"no such payee, at once":        {fault: simulator.Failed, rule: refused("PAYEE_NOT_FOUND"), first: "failed/payee_not_found REJECTED_FINAL payee", later: "failed/payee_not_found", counts: true},
		"expired":                       {fault: simulator.Failed, rule: because("EXPIRED"), first: pending, later: "succeeded", moved: 1, counts: true},
		"no float, later":               {fault: simulator.Failed, rule: because("NOT_ENOUGH_FUNDS"), first: pending, later: "succeeded", moved: 1, counts: true},
		"no float, at once":             {fault: simulator.Failed, rule: refused("NOT_ENOUGH_FUNDS"), first: "held/insufficient_float REJECTED_RETRYABLE float", later: "succeeded", moved: 1},
		"our limit":                     {fault: simulator.Failed, rule: refused("PAYER_LIMIT_REACHED"), first: "held/payer_limit_reached REJECTED_RETRYABLE float", later: "succeeded", moved: 1},
		"another currency":              {fault: simulator.Failed, rule: refused("INVALID_CURRENCY"), first: "held/currency_refused REJECTED_RETRYABLE provider", later: "held/currency_refused", stops: true},
		"our address may not call":      {fault: simulator.NotSubscribed, first: "held/access_forbidden REJECTED_RETRYABLE provider", later: "held/access_forbidden", stops: true},
		"the token expired in the run":  {fault: simulator.Unauthorized, first: pending, later: "succeeded", moved: 1},
		"the gateway lost the path":     {fault: simulator.NotActivated, first: "unknown/unrecognised_answer AMBIGUOUS payment", later: "succeeded", moved: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.NewOf(t, sending.MTN())
			s := e.Sender()
			if c.fault != "" {
				var change []func(*simulator.Rule)
				if c.rule != nil {
					change = append(change, c.rule)
				}
				e.Cashin(c.fault, 1, change...)
			}
			e.Send(s, 1)
			if got := e.One() + " " + attemptOf(t, e); got != c.first {
				t.Fatalf("at first %q, want %q", got, c.first)
			}
			e.Check()
			for range 45 { // 22 minutes, longer than any pause of the configuration
				e.Clock.Advance(30 * time.Second)
				e.Pass(s)
				e.Sweep(s)
			}
			e.Clock.Advance(20 * time.Second)
			e.Pass(s)
			if got := e.One(); got != c.later {
				t.Errorf("later %s, want %s", got, c.later)
			}
			moved := 0
			for _, entry := range e.Book() {
				moved += entry.Moved
			}
			if moved != c.moved {
				t.Errorf("money moved %d times, want %d", moved, c.moved)
			}
			if n := e.Count("SELECT counted FROM payouts"); (n > 0) != c.counts {
				t.Errorf("%d attempts count", n)
			}
			if got := stopped(t, e); got != c.stops {
				t.Errorf("the connector stopped: %v, want %v", got, c.stops)
			}
			e.Check()
		})
	}
}

// attemptOf is class and scope of the only attempt.
func attemptOf(t *testing.T, e *sending.Env) (s string) {
	t.Helper()
	if err := e.Pool.QueryRow(t.Context(), "SELECT class || ' ' || scope FROM attempts").Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func stopped(t *testing.T, e *sending.Env) bool {
	t.Helper()
	st, err := e.States.Get(t.Context(), e.Pool, provider.Connector{Tenant: payoutstest.Tenant, Provider: "mtn", Kind: "mtn_momo"})
	if err != nil {
		t.Fatal(err)
	}
	return st.State == provider.Stopped
}

// An account that runs dry in the middle of a run: where the answer tells it, the rest is held and goes when there is money again.
func TestFloatRunsDry(t *testing.T) {
	t.Parallel()
	float := int64(10 * 24000)
	e := sending.NewOf(t, sending.MTN(), func(c *simulator.Config) {
		c.MTN = simulator.MTNConfig{Float: &float, RefuseWithoutFloat: true, Processing: -1}
	})
	s := e.Sender()
	e.Send(s, 30)
	states(t, e, map[string]int64{"processing": 10, "held": 20})
	e.Clock.Advance(2 * time.Second)
	e.Pass(s)
	states(t, e, map[string]int64{"succeeded": 10, "held": 20})
	if b, err := s.Connector.Balance.Balance(t.Context()); err != nil || b.Minor != 0 {
		t.Errorf("balance %+v, %v", b, err)
	}
	e.Check()
	if err := e.Sim.Fill(simulator.MTN, 100*24000); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(11 * time.Minute)
	e.Sweep(s)
	e.Clock.Advance(2 * time.Second)
	e.Pass(s)
	states(t, e, map[string]int64{"succeeded": 30})
	if n := e.Count("SELECT COALESCE(max(counted), 0) FROM payouts"); n != 0 {
		t.Error("a lack of float was counted against payouts")
	}
	e.Check()
}

// Wrong credentials stop the connector before anything is sent, for all replicas, until a person says otherwise.
func TestWrongCredentialsStopTheConnector(t *testing.T) {
	t.Parallel()
	e := sending.NewOf(t, sending.MTN(), func(c *simulator.Config) { c.MTN = simulator.MTNConfig{APIKey: "new-key"} })
	s, other := e.Sender(), e.Sender()
	run := e.Send(s, 20)
	e.Dispatch(other, run)
	states(t, e, map[string]int64{"held": 20})
	if !stopped(t, e) || len(e.Book()) != 0 {
		t.Errorf("stopped %v, asked for %d transfers", stopped(t, e), len(e.Book()))
	}
	e.Check()
	e.Config.APIKey = "new-key" // mended, and a person says so
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.States.ResumeStopped(e.Ctx(), tx, payoutstest.Tenant, provider.Reason{Code: "by_person"})
		return err
	})
	mended := e.Sender()
	e.Sweep(mended)
	e.Clock.Advance(2 * time.Second)
	e.Pass(mended)
	states(t, e, map[string]int64{"succeeded": 20})
	e.Check()
}

// Whatever 429 says, each payout goes under its first reference, once.
func TestBurstOf429(t *testing.T) {
	t.Parallel()
	e := sending.NewOf(t, sending.MTN())
	e.Cashin(simulator.TooMany, 25, func(r *simulator.Rule) { r.RetryAfter = 3 * time.Second })
	s := e.Sender()
	run := e.Plan(20)
	e.DispatchMoving(s, run)
	e.Clock.Advance(5 * time.Second)
	e.Pass(s)
	states(t, e, map[string]int64{"succeeded": 20})
	if n := e.Count("SELECT count(*) FROM attempts WHERE number <> 1"); n != 0 {
		t.Errorf("%d attempts have a new reference", n)
	}
	e.Check()
}

// A reference that MTN has already: for our own transfer it is followed to its end; for anybody else's it goes to people, and is
// never a failure.
func TestDuplicateReference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amount int64
		first  string
		later  string
		moved  int64
	}{
		"our own transfer":   {24000, "processing/pending", "succeeded", 24000},
		"a transfer of less": {23999, "unknown/exists_for_another", "manual_review/amount_differs", 23999},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.NewOf(t, sending.MTN())
			s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
				before := tr // as from before a restore: nothing here knows of it
				before.Amount.Minor = c.amount
				if res := real.Submit(ctx, before); res.Class != provider.Accepted {
					t.Errorf("the first: %+v", res)
				}
				return real.Submit(ctx, tr)
			}})
			e.Send(s, 1)
			if got := e.One(); got != c.first {
				t.Fatalf("at first %s, want %s", got, c.first)
			}
			for range 20 {
				e.Clock.Advance(20 * time.Second)
				e.Pass(s)
				e.Sweep(s)
			}
			if got := e.One(); got != c.later {
				t.Errorf("later %s, want %s", got, c.later)
			}
			for _, entry := range e.Book() {
				if entry.MovedMinor != c.moved || entry.Requests != 2 {
					t.Errorf("book %+v", entry)
				}
			}
			var unlike []string
			if c.amount != 24000 {
				for reference := range e.Book() {
					unlike = append(unlike, reference)
				}
			}
			e.Check(unlike...)
		})
	}
}

// In any weather, and whoever dies in it, every payout is paid once or refused once, and nothing is left to people.
func TestAnyWeather(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	e := sending.NewOf(t, sending.MTN())
	e.Rules().PauseAboveFailureRate = 0 // people are not at hand
	e.States.Health.DegradeAfter = 1000
	e.ShortLeases(300 * time.Millisecond)
	weather := simulator.Plan{Seed: int64(seed >> 1)}
	for _, f := range []simulator.Fault{
		simulator.LostAnswer, simulator.ServerErrorAfter, simulator.ServerErrorBefore, simulator.ResetBefore, simulator.ResetAfter, simulator.Garbage,
		simulator.PendingSuccess, simulator.PendingFailed, simulator.Failed, simulator.LookupBlind, simulator.TooMany, simulator.UnknownStatus,
	} {
		weather.Rules = append(weather.Rules, simulator.Rule{
			Provider: simulator.MTN, Operation: "transfer", Fault: f, Times: 1 + random.IntN(4), Duration: time.Duration(random.IntN(20)) * time.Second,
			Blind: time.Duration(random.IntN(30)) * time.Second, Match: simulator.Match{Probability: 0.2},
		})
	}
	// Once: a token that is refused twice in a row is a wrong credential, which people have to mend.
	weather.Rules = append(weather.Rules, simulator.Rule{Provider: simulator.MTN, Operation: "transfer", Fault: simulator.Unauthorized, Times: 1})
	for _, f := range []simulator.Fault{simulator.ServerErrorBefore, simulator.WrongShape} {
		weather.Rules = append(weather.Rules, simulator.Rule{Provider: simulator.MTN, Operation: "status", Fault: f, Times: 20, Match: simulator.Match{Probability: 0.3}})
	}
	if err := e.Sim.Plan(weather); err != nil {
		t.Fatal(err)
	}
	run := e.Plan(60)
	for range 3 { // generations of senders
		e.DyingPair(run, random)
	}
	e.NoFaults()
	e.ShortLeases(time.Minute)
	heir := e.Sender()
	e.TakeOver(heir)
	e.Check()
	for range 40 {
		e.Clock.Advance(30 * time.Second)
		e.Pass(heir)
		e.SweepMoving(heir)
	}
	for range 4 { // by now most are asked about once a day
		e.Clock.Advance(24 * time.Hour)
		e.Pass(heir)
		e.SweepMoving(heir)
	}
	e.Check()
	for state, n := range e.PayoutStates() {
		if state != "succeeded" && state != "failed" {
			t.Errorf("%d payouts are left in %s", n, state)
		}
	}
}

func states(t *testing.T, e *sending.Env, want map[string]int64) {
	t.Helper()
	got := e.PayoutStates()
	for state, n := range want {
		if got[state] != n {
			t.Errorf("got %v, want %v", got, want)
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Nothing that MTN is told or tells about people stays in what is logged and told on.
func TestEventsAreDiscreet(t *testing.T) {
	t.Parallel()
	e := sending.NewOf(t, sending.MTN())
	e.Cashin(simulator.Failed, 1, func(r *simulator.Rule) { r.Message = "Compte 2250700000001 de Livreur" })
	s := e.Sender()
	e.Send(s, 1)
	e.Clock.Advance(2 * time.Second)
	e.Pass(s)
	if got := e.One(); got != "failed/failed" {
		t.Fatal(got)
	}
	for _, ev := range e.Events() {
		if strings.Contains(string(ev.Body), "0700000001") || strings.Contains(string(ev.Body), "de Livreur") {
			t.Errorf("%s: %s", ev.Type, ev.Body)
		}
	}
}
