package disburse_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

// Each fault that Wave can show while it is asked to pay, what becomes of the payout at once, and what becomes of it when time
// passes and Wave is well again. Unlike with a provider that may pay a reference twice, nothing of this needs people: what was
// proven never to have been created goes again under its reference.
func TestFaultsOfWave(t *testing.T) {
	t.Parallel()
	soon := 3 * time.Second
	for name, c := range map[string]struct {
		rule   simulator.Rule
		first  string
		later  string
		moved  int
		counts bool // toward max_attempts
	}{
		"read timeout but paid":       {simulator.Rule{Fault: simulator.TimeoutAfter}, "unknown/timeout", "succeeded", 1, false},
		"answer lost after payment":   {simulator.Rule{Fault: simulator.LostAnswer}, "unknown/connection_lost", "succeeded", 1, false},
		"reset after payment":         {simulator.Rule{Fault: simulator.ResetAfter}, "unknown/connection_lost", "succeeded", 1, false},
		"502 after payment":           {simulator.Rule{Fault: simulator.ServerErrorAfter}, "unknown/server_error", "succeeded", 1, false},
		"504 after payment":           {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 504}, "unknown/server_error", "succeeded", 1, false},
		"408 after payment":           {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 408}, "unknown/server_error", "succeeded", 1, false},
		"garbage after payment":       {simulator.Rule{Fault: simulator.Garbage}, "unknown/unreadable_answer", "succeeded", 1, false},
		"lookup blind for a while":    {simulator.Rule{Fault: simulator.LookupBlind, Duration: soon}, "unknown/connection_lost", "succeeded", 1, false},
		"lookup blind for long":       {simulator.Rule{Fault: simulator.LookupBlind, Duration: 10 * time.Minute}, "unknown/connection_lost", "succeeded", 1, false},
		"timeout before payment":      {simulator.Rule{Fault: simulator.TimeoutBefore}, "unknown/timeout", "succeeded", 1, false},
		"reset before payment":        {simulator.Rule{Fault: simulator.ResetBefore}, "unknown/connection_lost", "succeeded", 1, false},
		"503 before payment":          {simulator.Rule{Fault: simulator.ServerErrorBefore}, "unknown/server_error", "succeeded", 1, false},
		"503 with Retry-After":        {simulator.Rule{Fault: simulator.ServerErrorBefore, RetryAfter: time.Minute}, "unknown/server_error", "succeeded", 1, false},
		"slow down":                   {simulator.Rule{Fault: simulator.TooMany}, "succeeded", "succeeded", 1, false},
		"slow down, with Retry-After": {simulator.Rule{Fault: simulator.TooMany, RetryAfter: time.Minute}, "approved/rate_limited", "succeeded", 1, false},
		"pending, then paid":          {simulator.Rule{Fault: simulator.PendingSuccess, Duration: soon}, "processing/pending", "succeeded", 1, false},
		"pending, then failed":        {simulator.Rule{Fault: simulator.PendingFailed, Duration: soon}, "processing/pending", "failed/payee_blocked", 0, true},
		"pending for ever":            {simulator.Rule{Fault: simulator.PendingForever}, "processing/pending", "processing/pending", 0, false},
		"a status nobody knows":       {simulator.Rule{Fault: simulator.UnknownStatus, Duration: soon}, "processing/unknown_status", "succeeded", 1, false},
		"the payee is blocked":        {simulator.Rule{Fault: simulator.Failed}, "failed/payee_blocked", "failed/payee_blocked", 0, true},
		"the payee may get no more":   {simulator.Rule{Fault: simulator.Failed, Message: "recipient-limit-exceeded"}, "failed/limit_exceeded", "failed/limit_exceeded", 0, true},
		"the request is refused":      {simulator.Rule{Fault: simulator.Failed, Message: "request-validation-error"}, "failed/request_refused", "failed/request_refused", 0, true},
		"no float":                    {simulator.Rule{Fault: simulator.Failed, Message: "insufficient-funds"}, "held/insufficient_float", "succeeded", 1, false},
		"the key is revoked":          {simulator.Rule{Fault: simulator.Unauthorized}, "held/credentials_refused", "held/credentials_refused", 0, false},
		"the wallet is disabled":      {simulator.Rule{Fault: simulator.NotSubscribed}, "held/wallet_refused", "held/wallet_refused", 0, false},
		"amounts as numbers":          {simulator.Rule{Fault: simulator.WrongShape}, "succeeded", "succeeded", 1, false},
	} {
		for _, failures := range []string{"http", "payout"} {
			if failures == "payout" && c.rule.Fault != simulator.Failed {
				continue // told in one way only
			}
			t.Run(name+" "+failures, func(t *testing.T) {
				t.Parallel()
				e := waveEnv(t, failures)
				s := e.Sender()
				e.Cashin(c.rule.Fault, 1, func(r *simulator.Rule) {
					r.Duration, r.Status, r.RetryAfter, r.Message = c.rule.Duration, c.rule.Status, c.rule.RetryAfter, c.rule.Message
				})
				run := e.Plan(1)
				if c.rule.Fault == simulator.TooMany { // a page waits for what is over in a moment
					e.DispatchMoving(s, run)
				} else {
					e.Dispatch(s, run)
				}
				if got := e.One(); got != c.first {
					t.Fatalf("at first %s, want %s", got, c.first)
				}
				e.Check()
				for range 20 { // 24 minutes, longer than any pause
					e.Clock.Advance(72 * time.Second)
					e.Pass(s)
					e.SweepMoving(s)
				}
				if got := e.One(); got != c.later {
					t.Errorf("later %s, want %s", got, c.later)
				}
				if n := moved(e); n != c.moved {
					t.Errorf("money moved %d times, want %d", n, c.moved)
				}
				if n := e.Count("SELECT counted FROM payouts"); (n > 0) != c.counts {
					t.Errorf("%d attempts count", n)
				}
				e.Check()
			})
		}
	}
}

// waveEnv has lookups that go on for the hours that these tests take, as nobody waits for "daily" in them.
func waveEnv(t *testing.T, failures string) *sending.Env {
	e := sending.NewOf(t, sending.Wave(), func(c *simulator.Config) {
		c.Wave.APIKey, c.Wave.SigningSecret, c.Wave.Failures = sending.WaveKey, sending.WaveSecret, failures
	})
	e.Config.LookupAfter = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}
	for i := range 60 {
		e.Config.LookupAfter = append(e.Config.LookupAfter, time.Duration(i+1)*10*time.Second)
	}
	return e
}

// Many payouts at once over everything that Wave can do wrong, again and again: each is paid once in the end.
func TestAnEveningOfFaultsOfWave(t *testing.T) {
	t.Parallel()
	e := waveEnv(t, "")
	faults := []simulator.Fault{
		simulator.LostAnswer, simulator.TimeoutAfter, simulator.ServerErrorAfter, simulator.ServerErrorBefore, simulator.ResetBefore,
		simulator.ResetAfter, simulator.Garbage, simulator.PendingSuccess, simulator.TooMany, simulator.LookupBlind, simulator.UnknownStatus,
	}
	for i, f := range faults {
		for peer := i + 1; peer <= 30; peer += len(faults) {
			e.Cashin(f, 1+i%2, sending.ForPeer(peer), func(r *simulator.Rule) { r.Duration = time.Minute })
		}
	}
	e.Lookups(simulator.ServerErrorBefore, 10)
	s := e.Sender()
	run := e.Plan(30)
	e.DispatchMoving(s, run)
	timePasses(e, s, 100)
	if got := e.PayoutStates(); got["succeeded"] != 30 {
		t.Errorf("got %v", got)
	}
	if n := moved(e); n != 30 {
		t.Errorf("money moved %d times for 30 payouts", n)
	}
	if n := e.Count("SELECT count(*) FROM attempts WHERE number <> 1"); n != 0 {
		t.Errorf("%d second references, though nothing was refused", n)
	}
	e.Check()
}

// The float runs out in the middle: what was refused is held and not failed, and goes when there is float again. Fees count.
func TestWavesFloatRunsOut(t *testing.T) {
	t.Parallel()
	for _, failures := range []string{"http", "payout"} {
		e := waveEnv(t, failures)
		if err := e.Sim.Fill(simulator.Wave, 3*24_240+24_239); err != nil { // one unit short of four
			t.Fatal(err)
		}
		s := e.Sender()
		e.Send(s, 6)
		if got := e.PayoutStates(); got["succeeded"] != 3 || got["failed"] != 0 || moved(e) != 3 {
			t.Errorf("%s: got %v, money moved %d times", failures, got, moved(e))
		}
		if err := e.Sim.Fill(simulator.Wave, 3*24_240); err != nil {
			t.Fatal(err)
		}
		timePasses(e, s, 100)
		if got := e.PayoutStates(); got["succeeded"] != 6 || moved(e) != 6 {
			t.Errorf("%s: with float again %v, money moved %d times", failures, got, moved(e))
		}
		if fees := e.Count("SELECT sum(fee) FROM attempts WHERE state = 'succeeded'"); fees != 6*240 {
			t.Errorf("%s: fees of %d are booked", failures, fees)
		}
		e.Check()
	}
}

// A key that is refused stops the connector for all after what was under way; when people have mended it, each is paid once.
func TestWavesRefusedKeyStopsTheConnector(t *testing.T) {
	t.Parallel()
	e := waveEnv(t, "")
	e.Cashin(simulator.NotSubscribed, 0)
	s := e.Sender()
	e.Send(s, 12)
	if n := e.Count("SELECT count(*) FROM provider_states WHERE state = 'stopped'"); n != 1 {
		t.Fatal("the connector is not stopped")
	}
	if got := e.PayoutStates(); got["held"] != 12 {
		t.Errorf("got %v", got)
	}
	calls := int64(0)
	for _, c := range e.Sim.Calls() {
		if c.Operation == "payout" {
			calls += c.Calls
		}
	}
	if calls == 0 || calls > int64(e.Config.Concurrency) {
		t.Errorf("%d payouts were sent into the refusal, with %d slots", calls, e.Config.Concurrency)
	}
	e.NoFaults()
	resume(e)
	timePasses(e, s, 20)
	if got := e.PayoutStates(); got["succeeded"] != 12 || moved(e) != 12 {
		t.Errorf("afterwards %v, money moved %d times", got, moved(e))
	}
	e.Check()
}

// A reference that Wave has had before, from a process that is lost with all it knew, is told again and not paid again. With
// another amount it is somebody's mistake, and people decide.
func TestAReferenceThatWaveHasHadBefore(t *testing.T) {
	t.Parallel()
	for amount, c := range map[int64]struct{ first, later string }{
		24_000: {"succeeded", "succeeded"},
		23_999: {"unknown/idempotency_mismatch", "manual_review/amount_differs"},
	} {
		e := waveEnv(t, "")
		s := e.Sender()
		run := e.Plan(1)
		var id uuid.UUID
		if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&id); err != nil {
			t.Fatal(err)
		}
		earlier := wave.New(e.Config, e.Clock).Submit(t.Context(), provider.Transfer{
			Reference: payout.Reference(id, 1), Amount: money.Amount{Minor: amount, Currency: "XOF"}, Destination: sending.Phone(1),
		})
		if earlier.Class != provider.Succeeded {
			t.Fatalf("earlier: %+v", earlier)
		}
		e.Dispatch(s, run)
		if got := e.One(); got != c.first {
			t.Errorf("%d: at first %s, want %s", amount, got, c.first)
		}
		timePasses(e, s, 20)
		if got := e.One(); got != c.later || moved(e) != 1 {
			t.Errorf("%d: later %s, money moved %d times", amount, got, moved(e))
		}
		e.Check()
	}
}
