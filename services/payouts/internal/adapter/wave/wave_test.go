package wave

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

const (
	testKey    = "wave_ci_test_key-of-test"
	testSecret = "wave_ci_AKS_secret-of-test"
)

// rig is an adapter before a simulated provider that wants every request signed.
type rig struct {
	*Adapter
	sim *simulator.Simulator
	srv *httptest.Server
}

func newRig(t testing.TB, w simulator.WaveConfig, change ...func(*config.Provider)) *rig {
	t.Helper()
	w.APIKey, w.SigningSecret = testKey, testSecret
	s, err := simulator.New(simulator.Config{Wave: w})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := config.Provider{
		Name: "wave", Kind: Kind, BaseURL: srv.URL + "/wave", APIKey: testKey, SigningSecret: testSecret, Timeout: 30 * time.Second, Concurrency: 4,
	}
	for _, f := range change {
		f(&c)
	}
	return &rig{Adapter: New(c, clock.Real()), sim: s, srv: srv}
}

// answering is an adapter before a server that always says the same.
func answering(t testing.TB, status int, body string) *Adapter {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return New(config.Provider{BaseURL: srv.URL, APIKey: testKey, Timeout: time.Second}, clock.Real())
}

func xof(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "XOF"} }

func transfer(reference string, minor int64) provider.Transfer {
	return provider.Transfer{Tenant: "lebenis", Reference: reference, Amount: xof(minor), Destination: "+2250700000101"}
}

func (r *rig) entry(t testing.TB, reference string) simulator.Entry {
	t.Helper()
	b, err := r.sim.Book(simulator.Wave)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == reference {
			return e
		}
	}
	return simulator.Entry{}
}

func plan(t testing.TB, s *simulator.Simulator, rules ...simulator.Rule) {
	t.Helper()
	if err := s.Plan(simulator.Plan{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

func TestPaysAndFindsAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.WaveConfig{})
	res := r.Submit(t.Context(), transfer("ref-1", 24000))
	if res.Class != provider.Succeeded || !strings.HasPrefix(res.ProviderID, "pt-") || res.Fee == nil || *res.Fee != xof(240) {
		t.Fatalf("got %+v", res)
	}
	f, err := r.Lookup(t.Context(), transfer("ref-1", 24000))
	if err != nil || !f.Exists || f.Result.Class != provider.Succeeded || f.Result.ProviderID != res.ProviderID || f.Amount == nil ||
		*f.Amount != xof(24000) || f.Destination != "+2250700000101" || f.Result.Fee == nil || *f.Result.Fee != xof(240) {
		t.Fatalf("lookup: %+v, %v", f, err)
	}
	if e := r.entry(t, "ref-1"); e.Moved != 1 || e.MovedMinor != 24000 || e.Peer != "+2250700000101" {
		t.Errorf("the book says %+v", e)
	}
}

// The same reference is paid once however often it is sent; what came of it first is told again.
func TestARepeatedReferenceIsPaidOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.WaveConfig{})
	plan(t, r.sim, simulator.Rule{Provider: simulator.Wave, Operation: "payout", Fault: simulator.LostAnswer, Times: 1})
	if res := r.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.Ambiguous {
		t.Fatalf("got %+v", res)
	}
	again := transfer("ref-1", 24000)
	again.Resend = true
	for range 3 {
		if res := r.Submit(t.Context(), again); res.Class != provider.Succeeded {
			t.Errorf("got %+v", res)
		}
	}
	if e := r.entry(t, "ref-1"); e.Moved != 1 || e.Requests != 4 {
		t.Errorf("the book says %+v", e)
	}
}

// A reference with another content than before says that there was another request: nothing is known of this one.
func TestAReferenceWithOtherContentIsInDoubt(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.WaveConfig{})
	r.Submit(t.Context(), transfer("ref-1", 24000))
	res := r.Submit(t.Context(), transfer("ref-1", 25000))
	if res.Class != provider.Ambiguous || res.Code != "idempotency_mismatch" || res.Alarm == "" {
		t.Errorf("got %+v", res)
	}
	if f, err := r.Lookup(t.Context(), transfer("ref-1", 25000)); err != nil || f.Amount == nil || *f.Amount != xof(24000) {
		t.Errorf("the lookup hides whose it is: %+v, %v", f, err)
	}
}

// docs/providers/wave.md, row by row: every documented code, in both places where it can be told.
func TestEveryDocumentedAnswer(t *testing.T) {
	t.Parallel()
	const (
		final     = provider.RejectedFinal
		retryable = provider.RejectedRetryable
		ambiguous = provider.Ambiguous
	)
	type want struct {
		class provider.Class
		scope provider.Scope
		code  string
		stop  bool
		alarm bool
	}
	stops := func(code string) want { return want{retryable, provider.ScopeProvider, code, true, false} }
	payee := func(code string) want { return want{final, provider.ScopePayee, code, false, false} }
	malformed := want{final, provider.ScopePayment, "request_refused", false, true}
	for code, w := range map[string]want{
		"insufficient-funds":       {retryable, provider.ScopeFloat, "insufficient_float", false, false},
		"recipient-limit-exceeded": payee("limit_exceeded"), "recipient-minor": payee("payee_minor"),
		"recipient-account-blocked": payee("payee_blocked"), "recipient-account-inactive": payee("payee_inactive"),
		"country-mismatch": payee("country_mismatch"), "currency-mismatch": stops("currency_mismatch"),
		"aggregated-merchant-required": stops("aggregated_merchant"), "invalid-aggregated-merchant-id": stops("aggregated_merchant"),
		"missing-auth-header": stops("credentials_refused"), "invalid-auth": stops("credentials_refused"), "api-key-not-provided": stops("credentials_refused"),
		"no-matching-api-key": stops("credentials_refused"), "api-key-revoked": stops("credentials_refused"),
		"invalid-wallet": stops("wallet_refused"), "disabled-wallet": stops("wallet_refused"),
		"request-not-json": malformed, "request-parsing-error": malformed, "request-validation-error": malformed,
		"idempotency-mismatch": {ambiguous, provider.ScopePayment, "idempotency_mismatch", false, true},
		"too-many-requests":    {provider.NotSent, provider.ScopeNone, provider.CodeRateLimited, false, false},
	} {
		for _, body := range []string{`{"code":%q,"message":"m","details":[{"loc":["body"],"msg":"m"}]}`, `{"error_code":%q,"error_message":"m"}`} {
			for _, status := range []int{400, 422} { // codes decide, not the status
				res := answering(t, status, fmt.Sprintf(body, code)).Submit(t.Context(), transfer("ref-1", 24000))
				if got := (want{res.Class, res.Scope, res.Code, res.Stop, res.Alarm != ""}); got != w {
					t.Errorf("%d %s: got %+v, want %+v", status, code, got, w)
				}
			}
			// After a server error a payout may exist, whatever the body says.
			for _, status := range []int{408, 500, 502, 503} {
				if res := answering(t, status, fmt.Sprintf(body, code)).Submit(t.Context(), transfer("ref-1", 24000)); res.Class != ambiguous || res.Stop {
					t.Errorf("%d %s: got %+v", status, code, res)
				}
			}
		}
		inside := fmt.Sprintf(`{"id":"pt-1","currency":"XOF","receive_amount":"24000","fee":"0","mobile":"+2250700000101","client_reference":"ref-1",
			"status":"failed","payout_error":{"error_code":%q,"error_message":"m"}}`, code)
		if w.class == ambiguous || w.class == provider.NotSent {
			w = want{final, provider.ScopePayment, "failed", false, true} // a payout that failed did fail
		}
		res := answering(t, 200, inside).Submit(t.Context(), transfer("ref-1", 24000))
		if got := (want{res.Class, res.Scope, res.Code, res.Stop, res.Alarm != ""}); got != w || res.ProviderID != "pt-1" {
			t.Errorf("in a payout, %s: got %+v, want %+v", code, got, w)
		}
	}
}

func TestOtherAnswers(t *testing.T) {
	t.Parallel()
	payout := func(change string) string {
		return `{"id":"pt-1","currency":"XOF","receive_amount":"24000","fee":"240","mobile":"+2250700000101","client_reference":"ref-1","status":"succeeded"` + change + `}`
	}
	for name, c := range map[string]struct {
		status int
		body   string
		class  provider.Class
		code   string
		stop   bool
		alarm  bool
	}{
		"paid":                           {200, payout(``), provider.Succeeded, "", false, false},
		"paid, numbers":                  {200, payout(`,"receive_amount":24000.00,"fee":240`), provider.Succeeded, "", false, false},
		"paid, no error":                 {200, payout(`,"payout_error":null`), provider.Succeeded, "", false, false},
		"processing":                     {200, payout(`,"status":"processing"`), provider.Accepted, "pending", false, false},
		"reversed":                       {200, payout(`,"status":"reversed"`), provider.RejectedFinal, "reversed", false, true},
		"failed, unknown reason":         {200, payout(`,"status":"failed","payout_error":{"error_code":"new-reason"}`), provider.RejectedFinal, "failed", false, true},
		"failed, no reason":              {200, payout(`,"status":"failed"`), provider.RejectedFinal, "failed", false, true},
		"paid, and an error":             {200, payout(`,"payout_error":{"error_code":"recipient-minor"}`), provider.Ambiguous, "contradiction", false, true},
		"a new status":                   {200, payout(`,"status":"on_hold"`), provider.Accepted, "unknown_status", false, true},
		"of another reference":           {200, payout(`,"client_reference":"ref-2"`), provider.Ambiguous, "answer_of_another", false, true},
		"of another amount":              {200, payout(`,"receive_amount":"2400"`), provider.Ambiguous, "answer_of_another", false, true},
		"of a fraction":                  {200, payout(`,"receive_amount":"24000.5"`), provider.Ambiguous, "answer_of_another", false, true},
		"of another currency":            {200, payout(`,"currency":"GMD"`), provider.Ambiguous, "answer_of_another", false, true},
		"no id":                          {200, `{"status":"succeeded"}`, provider.Ambiguous, provider.CodeUnreadable, false, false},
		"no status":                      {200, `{"id":"pt-1"}`, provider.Ambiguous, provider.CodeUnreadable, false, false},
		"empty":                          {200, ``, provider.Ambiguous, provider.CodeUnreadable, false, false},
		"two values":                     {200, payout(``) + payout(``), provider.Ambiguous, provider.CodeUnreadable, false, false},
		"an undocumented code":           {422, `{"code":"recipient-on-holiday"}`, provider.Ambiguous, provider.CodeUnrecognised, false, false},
		"a 4xx that is no JSON":          {400, `<html>`, provider.Ambiguous, provider.CodeUnrecognised, false, false},
		"a 404":                          {404, `{"code":"not-found"}`, provider.Ambiguous, provider.CodeUnrecognised, false, false},
		"an address that is not allowed": {403, `<html>`, provider.Ambiguous, "access_refused", true, false},
		"a new code of access":           {401, `{"code":"api-key-expired"}`, provider.Ambiguous, "access_refused", true, false},
		"a redirect":                     {302, ``, provider.Ambiguous, provider.CodeUnrecognised, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := answering(t, c.status, c.body).Submit(t.Context(), transfer("ref-1", 24000))
			if res.Class != c.class || res.Code != c.code || res.Stop != c.stop || (res.Alarm != "") != c.alarm {
				t.Errorf("got %+v", res)
			}
		})
	}
}

// Whatever a repetition is refused with, the first call may have paid: a lookup decides, never the refusal.
func TestARefusedRepetitionProvesNothing(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]provider.Class{
		`{"code":"insufficient-funds"}`:        provider.Ambiguous,
		`{"code":"recipient-account-blocked"}`: provider.Ambiguous,
		`{"code":"request-validation-error"}`:  provider.Ambiguous,
		`{"code":"disabled-wallet"}`:           provider.NotSent,
		`{"code":"api-key-revoked"}`:           provider.NotSent,
		`{"code":"too-many-requests"}`:         provider.NotSent,
	} {
		tr := transfer("ref-1", 24000)
		tr.Resend = true
		if res := answering(t, 422, body).Submit(t.Context(), tr); res.Class != want {
			t.Errorf("%s: got %+v", body, res)
		}
	}
	failed := `{"id":"pt-2","status":"failed","client_reference":"ref-1","payout_error":{"error_code":"recipient-account-blocked"}}`
	tr := transfer("ref-1", 24000)
	tr.Resend = true
	if res := answering(t, 200, failed).Submit(t.Context(), tr); res.Class != provider.Ambiguous {
		t.Errorf("a failed payout after a resend: got %+v", res)
	}
}

// A body that differs from the first one is refused by Wave: nothing may be in it that is not committed with the attempt.
func TestTheBodyIsTheAttemptsAlone(t *testing.T) {
	t.Parallel()
	var bodies, keys []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(b)
		bodies, keys = append(bodies, string(b)), append(keys, r.Header.Get("Idempotency-Key"))
	}))
	defer srv.Close()
	a := New(config.Provider{BaseURL: srv.URL, APIKey: testKey, Timeout: time.Second}, clock.Real())
	for i := range 2 {
		tr := transfer("ref-1", 24000)
		tr.Description, tr.Resend, tr.ProviderID = fmt.Sprintf("payout %d", i), i > 0, "pt-1"
		a.Submit(t.Context(), tr)
	}
	want := `{"currency":"XOF","receive_amount":"24000","mobile":"+2250700000101","client_reference":"ref-1"}`
	if len(bodies) != 2 || bodies[0] != want || bodies[1] != want || keys[0] != "ref-1" || keys[1] != "ref-1" {
		t.Errorf("sent %q with keys %q", bodies, keys)
	}
}

// The signature is the HMAC of seconds and body with nothing between them; these values are computed by openssl.
func TestSignature(t *testing.T) {
	t.Parallel()
	const want = "t=1737763145,v1=7cc6843fd624798c62a164b93e9bc45a4b7747af9d8ecc5acade354c4e9a424d"
	if got := sign("wave_ci_AKS_example", 1737763145, []byte(`{"currency":"XOF"}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A wrong signature, a wrong key and a clock that is off are refused before anything is paid, and stop the connector.
func TestWrongCredentialsStop(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Provider){
		"another key":    func(c *config.Provider) { c.APIKey = "wave_ci_test_other-key" },
		"another secret": func(c *config.Provider) { c.SigningSecret = "other" },
		"unsigned":       func(c *config.Provider) { c.SigningSecret = "" },
	} {
		r := newRig(t, simulator.WaveConfig{}, change)
		res := r.Submit(t.Context(), transfer("ref-1", 24000))
		if res.Class != provider.RejectedRetryable || res.Scope != provider.ScopeProvider || !res.Stop || r.entry(t, "ref-1").Moved != 0 {
			t.Errorf("%s: got %+v", name, res)
		}
		if _, err := r.Lookup(t.Context(), transfer("ref-1", 24000)); err == nil {
			t.Errorf("%s: a refused lookup was read as absence", name)
		}
	}
	r := newRig(t, simulator.WaveConfig{})
	r.clock = clock.NewVirtual(time.Now().Add(-6 * time.Minute))
	if res := r.Submit(t.Context(), transfer("ref-1", 24000)); !res.Stop {
		t.Errorf("a stale signature: got %+v", res)
	}
}
