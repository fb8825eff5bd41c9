package disburse_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

func senegal(t *testing.T, change ...func(*simulator.Config)) *sending.Env {
	t.Helper()
	return sending.NewOf(t, sending.Sonatel(), append([]func(*simulator.Config){sending.SonatelAccount}, change...)...)
}

func lasting(d time.Duration) func(*simulator.Rule) {
	return func(r *simulator.Rule) { r.Duration = d }
}

func saying(message string) func(*simulator.Rule) {
	return func(r *simulator.Rule) { r.Message = message }
}

// An evening at Sonatel with something of everything: the book says who was paid, and nobody is paid twice.
func TestAnEveningAtSonatel(t *testing.T) {
	t.Parallel()
	e := senegal(t)
	e.Cashin(simulator.PendingSuccess, 0, sending.ForPeer(3), lasting(3*time.Second))
	e.Cashin(simulator.LostAnswer, 0, sending.ForPeer(4))
	e.Cashin(simulator.Problem, 0, sending.ForPeer(5), saying("2000"))
	e.Cashin(simulator.PendingFailed, 0, sending.ForPeer(6), lasting(3*time.Second))
	e.Cashin(simulator.UnknownStatus, 0, sending.ForPeer(7), lasting(3*time.Second))
	e.Cashin(simulator.ResetBefore, 0, sending.ForPeer(8))
	e.Cashin(simulator.KeyRevoked, 1, sending.ForPeer(9))
	e.Cashin(simulator.Unauthorized, 1, sending.ForPeer(10))
	e.Cashin(simulator.LookupBlind, 0, sending.ForPeer(11), lasting(4*time.Second))
	s := e.Sender()
	run := e.Plan(20)
	e.DispatchMoving(s, run)
	timePasses(e, s, 15)
	for payee, want := range map[int]string{
		1: "succeeded", 3: "succeeded", 4: "succeeded", 5: "failed/no_account", 6: "failed/failed", 7: "succeeded",
		8: "manual_review/not_resendable", 9: "succeeded", 10: "succeeded", 11: "succeeded", 20: "succeeded",
	} {
		if got := e.Of(payee); got != want {
			t.Errorf("payee %d: %s, want %s", payee, got, want)
		}
	}
	for reference, entry := range e.Book() {
		if entry.Moved > 1 || entry.Requests > 1 {
			t.Errorf("%s was asked for %d times and moved money %d times", reference, entry.Requests, entry.Moved)
		}
	}
	if n := e.Count("SELECT count(*) FROM provider_states WHERE state <> 'open'"); n != 0 {
		t.Error("the connector did not come through the evening")
	}
	e.Check()
}

// Every fault of the provider, and what becomes of the payout: at once, and when time passes and the provider is well again.
func TestFaultsOfSonatel(t *testing.T) {
	t.Parallel()
	type row struct {
		fault        simulator.Fault
		rule         func(*simulator.Rule)
		class, scope string // of the attempt
		first, later string
		moved        int
	}
	for name, c := range map[string]row{
		"lost answer":          {simulator.LostAnswer, nil, "AMBIGUOUS", "provider", "unknown/connection_lost", "succeeded", 1},
		"time-out, paid":       {simulator.TimeoutAfter, nil, "AMBIGUOUS", "provider", "unknown/timeout", "succeeded", 1},
		"reset, paid":          {simulator.ResetAfter, nil, "AMBIGUOUS", "provider", "unknown/connection_lost", "succeeded", 1},
		"502, paid":            {simulator.ServerErrorAfter, nil, "AMBIGUOUS", "provider", "unknown/server_error", "succeeded", 1},
		"504, paid":            {simulator.ServerErrorAfter, func(r *simulator.Rule) { r.Status = 504 }, "AMBIGUOUS", "provider", "unknown/server_error", "succeeded", 1},
		"408, paid":            {simulator.ServerErrorAfter, func(r *simulator.Rule) { r.Status = 408 }, "AMBIGUOUS", "provider", "unknown/server_error", "succeeded", 1},
		"500 code 50, paid":    {simulator.ServerErrorAfter, func(r *simulator.Rule) { r.Status = 500 }, "AMBIGUOUS", "provider", "unknown/server_error", "succeeded", 1},
		"garbage, paid":        {simulator.Garbage, nil, "AMBIGUOUS", "provider", "unknown/unreadable_answer", "succeeded", 1},
		"blind search, paid":   {simulator.LookupBlind, lasting(3 * time.Second), "AMBIGUOUS", "provider", "unknown/connection_lost", "succeeded", 1},
		"reset before":         {simulator.ResetBefore, nil, "AMBIGUOUS", "provider", "unknown/connection_lost", "manual_review/not_resendable", 0},
		"503 before":           {simulator.ServerErrorBefore, nil, "AMBIGUOUS", "provider", "unknown/server_error", "manual_review/not_resendable", 0},
		"403 without a code":   {simulator.NotSubscribed, nil, "AMBIGUOUS", "payment", "unknown/unrecognised_answer", "manual_review/not_resendable", 0},
		"an unknown code":      {simulator.Problem, saying("7777"), "AMBIGUOUS", "payment", "unknown/unrecognised_answer", "manual_review/not_resendable", 0},
		"pending, paid":        {simulator.PendingSuccess, lasting(3 * time.Second), "ACCEPTED", "", "processing/pending", "succeeded", 1},
		"pending, failed":      {simulator.PendingFailed, lasting(3 * time.Second), "ACCEPTED", "", "processing/pending", "failed/failed", 0},
		"pending for ever":     {simulator.PendingForever, nil, "ACCEPTED", "", "processing/pending", "processing/pending", 0},
		"unknown status":       {simulator.UnknownStatus, lasting(3 * time.Second), "ACCEPTED", "", "processing/unknown_status", "succeeded", 1},
		"failed":               {simulator.Failed, nil, "REJECTED_FINAL", "payment", "failed/failed", "failed/failed", 0},
		"no account":           {simulator.Problem, saying("2000"), "REJECTED_FINAL", "payee", "failed/no_account", "failed/no_account", 0},
		"payee's ceiling":      {simulator.Problem, saying("2025"), "REJECTED_RETRYABLE", "payee", "failed/payee_ceiling", "succeeded", 1},
		"no float":             {simulator.Problem, saying("2021"), "REJECTED_RETRYABLE", "float", "held/insufficient_float", "succeeded", 1},
		"our ceiling":          {simulator.Problem, saying("2024"), "REJECTED_RETRYABLE", "float", "held/partner_ceiling", "succeeded", 1},
		"wrong PIN":            {simulator.Problem, saying("2011"), "REJECTED_RETRYABLE", "provider", "held/pin_wrong", "held/pin_wrong", 0},
		"PIN to be changed":    {simulator.Problem, saying("2010"), "REJECTED_RETRYABLE", "provider", "held/pin_must_change", "held/pin_must_change", 0},
		"partner not allowed":  {simulator.Problem, saying("2042"), "REJECTED_RETRYABLE", "provider", "held/partner_not_allowed", "held/partner_not_allowed", 0},
		"token withdrawn":      {simulator.Unauthorized, nil, "SUCCEEDED", "", "succeeded", "succeeded", 1},
		"key revoked":          {simulator.KeyRevoked, nil, "SUCCEEDED", "", "succeeded", "succeeded", 1},
		"amounts with a point": {simulator.WrongShape, nil, "SUCCEEDED", "", "succeeded", "succeeded", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := senegal(t)
			if c.fault == simulator.TimeoutAfter {
				e.Config.Timeout = 4 * time.Second // long enough for the simulator to make a key
			}
			var change []func(*simulator.Rule)
			if c.rule != nil {
				change = append(change, c.rule)
			}
			e.Cashin(c.fault, 1, change...)
			s := e.Sender()
			e.Send(s, 1)
			var class, scope string
			if err := e.Pool.QueryRow(t.Context(), "SELECT class, scope FROM attempts WHERE number = 1").Scan(&class, &scope); err != nil {
				t.Fatal(err)
			}
			if class != c.class || scope != c.scope || e.One() != c.first {
				t.Errorf("%s %q, %s; want %s %q, %s", class, scope, e.One(), c.class, c.scope, c.first)
			}
			for range 2 {
				timePasses(e, s, 4)
				e.Clock.Advance(10 * time.Minute)
			}
			timePasses(e, s, 2)
			if e.One() != c.later || moved(e) != c.moved {
				t.Errorf("later %s, money moved %d times; want %s, %d", e.One(), moved(e), c.later, c.moved)
			}
			e.Check()
		})
	}
}

// A wrong PIN is used exactly once, by two replicas with 16 slots and several pages each, and nobody's account is blocked.
// Mended, everything goes.
func TestAWrongPINAtSonatelIsUsedOnce(t *testing.T) {
	t.Parallel()
	e := senegal(t)
	e.Config.Concurrency, e.Config.PIN = 16, "000000"
	a, b := e.Sender(), e.Sender()
	run := e.Plan(120)
	together := func() {
		t.Helper()
		e.Moving(func() {
			var wg sync.WaitGroup
			for _, s := range []*sending.Sender{a, b} {
				wg.Go(func() { e.Dispatch(s, run) })
			}
			wg.Wait()
		})
	}
	together()
	e.SweepMoving(a)
	e.SweepMoving(b)
	if n := calls(e, "cashin"); n != 1 {
		t.Fatalf("%d cash-ins with a wrong PIN, want exactly one", n)
	}
	want(t, e, map[string]int64{"held": 120})
	if got := e.EventTypes("provider"); len(got) != 1 || got[0] != "provider.stopped" {
		t.Errorf("events %v", got)
	}
	e.Check()

	e.Config.PIN = sending.SonatelPIN // mended, restarted, and a person says so
	a, b = e.Sender(), e.Sender()
	resume(e)
	e.SweepOnly()
	e.Moving(func() {
		var wg sync.WaitGroup
		wg.Go(func() { e.Commands(a) })
		wg.Wait()
	})
	e.SweepMoving(b)
	want(t, e, map[string]int64{"succeeded": 120})
	e.Check()
}

// Wrong API credentials stop the connector before a PIN is used at all.
func TestRefusedCredentialsAtSonatel(t *testing.T) {
	t.Parallel()
	e := senegal(t, func(c *simulator.Config) { c.Sonatel.ClientSecret = "another" })
	s := e.Sender()
	e.Send(s, 10)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"held": 10})
	if n := calls(e, "cashin"); n != 0 {
		t.Errorf("%d cash-ins without a token", n)
	}
	e.Check()
}

// The float runs dry: the rest is held in order and goes when it is filled.
func TestFloatRunsDryAtSonatel(t *testing.T) {
	t.Parallel()
	float := int64(10 * 24000)
	e := senegal(t, func(c *simulator.Config) { c.Sonatel.Float = &float })
	s := e.Sender()
	e.Send(s, 30)
	want(t, e, map[string]int64{"succeeded": 10, "held": 20})
	if err := e.Sim.Fill(simulator.Sonatel, 20*24000); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(11 * time.Minute)
	e.SweepMoving(s)
	want(t, e, map[string]int64{"succeeded": 30})
	e.Check()
}

// A callback goes through the receiver: stored, matched, read again. The same bytes again, and what is forged or old, change
// nothing.
func TestCallbacksOfSonatelAreReadAgain(t *testing.T) {
	t.Parallel()
	e := senegal(t)
	e.Cashin(simulator.PendingSuccess, 1, lasting(time.Second))
	s := e.Sender()
	e.Send(s, 1)
	hook := webhook.New("payouts", s.Connectors.Sources(), webhook.Deps{
		Pool: e.Pool, Clock: e.Clock, Logger: slog.New(slog.DiscardHandler), Match: s.Worker.Match,
	})
	mux := http.NewServeMux()
	mux.Handle(hook.Pattern(), hook)
	var reference string
	if err := e.Pool.QueryRow(t.Context(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		t.Fatal(err)
	}
	post := func(secret string, age time.Duration) int {
		body := fmt.Sprintf(`{"transactionId":"CI1","reference":%q,"status":"SUCCESS","amount":{"value":24000,"unit":"XOF"},"customer":{"idType":"MSISDN","id":"770000001"}}`, reference)
		at := e.Clock.Now().Add(-age).Unix()
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = fmt.Fprintf(mac, "%d,%s", at, body)
		r := httptest.NewRequest(http.MethodPost, "/webhooks/payouts/"+payoutstest.Tenant+"/sonatel", strings.NewReader(body))
		r.Header.Set("Authorization", "Basic callback-key")
		r.Header.Set("X-Sonatel-Signature", fmt.Sprintf("t=%d,v1=%s", at, hex.EncodeToString(mac.Sum(nil))))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	if post("wrong", 0) != http.StatusUnauthorized || post("callback-secret", time.Hour) != http.StatusUnauthorized {
		t.Error("a forged or an old callback was taken")
	}
	e.Clock.Advance(2 * time.Second)
	for range 3 {
		if code := post("callback-secret", 0); code != http.StatusOK {
			t.Fatalf("got %d", code)
		}
	}
	if n := e.Count("SELECT count(*) FROM webhooks"); n != 1 {
		t.Errorf("%d callbacks are stored of one", n)
	}
	if _, err := hook.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Pass(s)
	if got := e.One(); got != "succeeded" || calls(e, "status") != 1 {
		t.Errorf("%s after %d reads of its state", got, calls(e, "status"))
	}
	e.Check()
}

// Secrets: after an evening with everything that can go wrong, neither the PIN nor what it was encrypted to is in a log, an event,
// a command, or any row.
func TestThePINOfSonatelIsKept(t *testing.T) {
	t.Parallel()
	e := senegal(t)
	seen := &eavesdropper{}
	front := httptest.NewServer(seen.before(e.Sim))
	t.Cleanup(front.Close)
	e.Config.BaseURL = front.URL + "/sonatel"
	for i, fault := range []simulator.Fault{
		simulator.LostAnswer, simulator.Garbage, simulator.ServerErrorAfter, simulator.Failed, simulator.UnknownStatus, simulator.KeyRevoked, simulator.Problem,
	} {
		e.Cashin(fault, 1, sending.ForPeer(i+2), saying("PIN "+sending.SonatelPIN), lasting(time.Second))
	}
	e.Cashin(simulator.Problem, 0, sending.ForPeer(12), saying("2012"))
	var log syncBuffer
	s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		res := real.Submit(ctx, tr)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("submitted", "result", res, "text", fmt.Sprintf("%+v", res))
		return res
	}})
	s.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	run := e.Plan(12)
	e.DispatchMoving(s, run)
	timePasses(e, s, 3)
	if len(seen.all()) < 9 {
		t.Fatalf("%d PINs were seen: the test sees too little", len(seen.all()))
	}
	text := log.String() + dump(t, e)
	for _, secret := range append(seen.all(), sending.SonatelPIN) {
		if strings.Contains(text, secret) || strings.Contains(text, secret[:min(len(secret), 40)]) {
			t.Errorf("%.8s… is written down", secret)
		}
	}
	if !strings.Contains(text, "pin_wrong") {
		t.Error("what is searched has nothing of the evening in it")
	}
}

// dump is every row of every table, as text.
func dump(t *testing.T, e *sending.Env) string {
	t.Helper()
	rows, err := e.Pool.Query(t.Context(), "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, err := e.Pool.Query(t.Context(), "SELECT to_jsonb(x)::text FROM "+pgx.Identifier{table}.Sanitize()+" x")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(strings.Join(lines, "\n"))
	}
	return all.String()
}

// eavesdropper notes the encrypted PINs that pass.
type eavesdropper struct {
	mu   sync.Mutex
	pins []string
}

func (v *eavesdropper) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.pins...)
}

func (v *eavesdropper) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q struct {
			Partner struct {
				PIN string `json:"encryptedPinCode"`
			} `json:"partner"`
		}
		if json.Unmarshal(body, &q) == nil && q.Partner.PIN != "" {
			v.mu.Lock()
			v.pins = append(v.pins, q.Partner.PIN)
			v.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
