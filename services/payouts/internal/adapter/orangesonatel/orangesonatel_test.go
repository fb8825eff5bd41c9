package orangesonatel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

// What is on the wire is what is documented: nine digits, an encrypted PIN of 344 characters, whole numbers, JSON on a GET too.
func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	inner := newRig(t)
	var mu sync.Mutex
	seen := map[string][]*http.Request{}
	var cashin map[string]any
	var clear []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		seen[r.URL.Path] = append(seen[r.URL.Path], r.Clone(context.WithoutCancel(r.Context())))
		if strings.HasSuffix(r.URL.Path, "/cashins") {
			clear = body
			_ = json.Unmarshal(body, &cashin)
		}
		mu.Unlock()
		inner.sim.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	c := inner.cfg
	c.BaseURL, c.TokenURL, c.CallbackURL = srv.URL+"/sonatel", srv.URL+"/sonatel/oauth/v1/token", "https://agogo.example/webhooks/payouts/lebenis/sonatel"
	c.ReviewAfter = time.Hour
	a := New(c, clock.Real())
	for i := range 3 {
		if res := a.Submit(t.Context(), transfer(fmt.Sprintf("ref-%d", i), 24000)); res.Class != provider.Succeeded || !strings.HasPrefix(res.ProviderID, "CI") {
			t.Fatalf("got %+v", res)
		}
	}
	if f, err := a.Lookup(t.Context(), transfer("ref-1", 24000)); err != nil || !f.Exists || f.Result.Class != provider.Succeeded || f.Amount == nil || f.Amount.Minor != 24000 || f.Destination != "770000101" {
		t.Errorf("lookup: %+v, %v", f, err)
	}
	if n := len(seen["/sonatel/oauth/v1/token"]) + len(seen["/sonatel/api/account/v1/publicKeys"]); n != 2 {
		t.Errorf("%d calls for a token and a key, want one of each", n)
	}
	for path, requests := range seen {
		for _, r := range requests {
			if !strings.HasSuffix(path, "/token") && r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s has content type %q: 415", r.Method, path, r.Header.Get("Content-Type"))
			}
			if q := r.URL.Query(); strings.HasSuffix(path, "/transactions") && (len(q) != 1 || q.Get("reference") != "ref-1") {
				t.Errorf("searched with %v", q)
			}
		}
	}
	partner, _ := cashin["partner"].(map[string]any)
	encrypted, _ := partner["encryptedPinCode"].(string)
	if len(encrypted) != 344 || bytes.Contains(clear, []byte(pin)) {
		t.Errorf("the PIN went as %d characters", len(encrypted))
	}
	delete(partner, "encryptedPinCode")
	got, err := json.Marshal(cashin)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"amount":{"unit":"XOF","value":24000},"customer":{"id":"770000101","idType":"MSISDN"},"partner":{"id":"770000000","idType":"MSISDN"},"receiveNotification":true,"reference":"ref-2"}`
	if string(got) != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	if got := seen["/sonatel/api/eWallet/v1/cashins"][0].Header.Get("X-Callback-Url"); got != c.CallbackURL {
		t.Errorf("callbacks are to go to %q", got)
	}
}

// Every documented error, as the table has it: none of them moves money, and whom it concerns is what follows.
func TestEveryDocumentedError(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	type want struct {
		class provider.Class
		scope provider.Scope
		code  string
		stop  bool
	}
	final, later := provider.RejectedFinal, provider.RejectedRetryable
	for code, w := range map[string]want{
		"2000": {final, provider.ScopePayee, "no_account", false},
		"2001": {final, provider.ScopePayee, "wallet_number_invalid", false},
		"2010": {later, provider.ScopeProvider, "pin_must_change", true},
		"2011": {later, provider.ScopeProvider, "pin_wrong", true},
		"2012": {later, provider.ScopeProvider, "pin_wrong", true},
		"2013": {later, provider.ScopeProvider, "pin_blocked", true},
		"2020": {later, provider.ScopeFloat, "insufficient_float", false},
		"2021": {later, provider.ScopeFloat, "insufficient_float", false},
		"2022": {final, provider.ScopePayee, "payee_balance", false},
		"2023": {later, provider.ScopePayment, "account_ceiling", false},
		"2024": {later, provider.ScopeFloat, "partner_ceiling", false},
		"2025": {later, provider.ScopePayee, "payee_ceiling", false},
		"2041": {final, provider.ScopePayment, "not_allowed", false},
		"2042": {later, provider.ScopeProvider, "partner_not_allowed", true},
		"2043": {final, provider.ScopePayee, "payee_not_allowed", false},
		"4004": {final, provider.ScopePayment, "qr_code_expired", false},
		"4099": {final, provider.ScopePayment, "bad_request", false},
		"10":   {later, provider.ScopeProvider, "credentials_refused", true},
		"60":   {later, provider.ScopeProvider, "not_found_or_not_configured", true},
		"50":   {provider.Ambiguous, provider.ScopeProvider, provider.CodeServerError, false},
		"9999": {provider.Ambiguous, provider.ScopePayment, provider.CodeUnrecognised, false},
	} {
		r.plan(t, "cashin", simulator.Rule{Fault: simulator.Problem, Message: code})
		reference := "ref-" + code
		res := r.Submit(t.Context(), transfer(reference, 24000))
		if got := (want{res.Class, res.Scope, res.Code, res.Stop}); got != w {
			t.Errorf("%s: got %+v, want %+v", code, got, w)
		}
		if (code == "4099" || strings.HasPrefix(code, "201") && code != "2010") != (res.Alarm != "") {
			t.Errorf("%s: alarm %q", code, res.Alarm)
		}
		again := transfer(reference, 24000)
		again.Resend = true
		if res := r.Submit(t.Context(), again); res.Class != provider.Ambiguous && res.Class != provider.NotSent || w.stop != res.Stop {
			t.Errorf("%s to a repetition, which proves nothing: %+v", code, res)
		}
	}
}

// The same code says the same with whatever 4xx, as a number too; of 408 and 5xx only what is looked at before a payment is believed; without a code nothing is final.
func TestCodesAndStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   provider.Class
		stop   bool
	}{
		{400, `{"code":"2000"}`, provider.RejectedFinal, false},
		{404, `{"code":2000,"status":404}`, provider.RejectedFinal, false},
		{409, `{"code":"2021"}`, provider.RejectedRetryable, false},
		{408, `{"code":"2000"}`, provider.Ambiguous, false},
		{500, `{"code":"2021"}`, provider.Ambiguous, false},
		{502, `{"code":"2041"}`, provider.Ambiguous, false},
		{503, `{"code":"60"}`, provider.Ambiguous, false},
		{504, `{"code":"4099"}`, provider.Ambiguous, false},
		{500, `{"code":"10"}`, provider.Ambiguous, false},
		{408, `{"code":"2010"}`, provider.RejectedRetryable, true},
		{500, `{"code":"2011"}`, provider.RejectedRetryable, true},
		{502, `{"code":"2012"}`, provider.RejectedRetryable, true},
		{503, `{"code":"2013"}`, provider.RejectedRetryable, true},
		{504, `{"code":"4003"}`, provider.RejectedRetryable, true},
		{401, `{"code":"2011"}`, provider.RejectedRetryable, true}, // and not: a new token, and another try
		{401, `{"error":"invalid_token"}`, provider.RejectedRetryable, true},
		{401, `{"code":"10"}`, provider.RejectedRetryable, true},
		{401, ``, provider.Ambiguous, true}, // of something in between, perhaps: nothing is sent again
		{401, `<html>`, provider.Ambiguous, true},
		{401, `{"error":"access_denied"}`, provider.Ambiguous, true},
		{401, `{"code":"77"}`, provider.Ambiguous, true},
		{403, `{"code":""}`, provider.Ambiguous, false},
		{429, `{"code":"2011"}`, provider.NotSent, false},
		{400, `<html>`, provider.Ambiguous, false},
		{500, `{"code":"50"}`, provider.Ambiguous, false},
		{200, `{"code":"2000"}`, provider.Ambiguous, false},
		{200, `{"status":"SUCCESS","reference":"another"}`, provider.Ambiguous, false},
		{200, `{"status":"SUCCESS"} {}`, provider.Ambiguous, false},
		{200, `{"status":"CANCELLED","reference":"ref-1","description":"+221 77 000 01 01 Awa Diop"}`, provider.RejectedFinal, false},
		{200, `{"status":"REJECTED"}`, provider.RejectedFinal, false},
		{200, `{"status":"PRE_INITIATED"}`, provider.Accepted, false},
		{200, `{"status":"INITIATED"}`, provider.Accepted, false},
		{201, `{"status":"ACCEPTED"}`, provider.Accepted, false},
		{302, ``, provider.Ambiguous, false},
	} {
		cashins := 0
		a := newStub(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/cashins") {
				cashins++
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}
		})
		res := a.Submit(t.Context(), transfer("ref-1", 24000))
		if res.Class != c.want || res.Stop != c.stop || strings.Contains(res.ProviderCode, "01 01") || strings.Contains(res.ProviderCode, "Awa") {
			t.Errorf("%d %s: got %+v", c.status, c.body, res)
		}
		most := 1
		if c.body == `{"error":"invalid_token"}` || c.status == 401 && c.body == `{"code":"10"}` {
			most = 2
		}
		if cashins != most {
			t.Errorf("%d %s: %d cash-ins, want %d", c.status, c.body, cashins, most)
		}
	}
}

// stubKey is a key that nobody can decrypt with; made once, for it takes long.
var stubKey = sync.OnceValue(func() string {
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		panic(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	a := New(config.Provider{BaseURL: srv.URL + "/sonatel", TokenURL: srv.URL + "/sonatel/oauth/v1/token", ClientID: "c", ClientSecret: "s", Timeout: time.Minute}, clock.Real())
	key, err := a.keys.Get(context.Background())
	if err != nil {
		panic(err)
	}
	return key
})

// newStub is an adapter before answers that a test makes; token and key are there unless the test answers for them.
func newStub(t testing.TB, h http.HandlerFunc) *Adapter {
	t.Helper()
	key := stubKey()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			_, _ = io.WriteString(w, `{"access_token":"t","expires_in":299}`)
		case strings.HasSuffix(r.URL.Path, "/publicKeys") && r.Header.Get("X-Test") == "":
			rec := httptest.NewRecorder()
			h(rec, r)
			if rec.Body.Len() == 0 {
				_, _ = fmt.Fprintf(rec.Body, `{"keyId":"1","keyType":"RSA","keySize":2048,"key":%q}`, key)
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		default:
			h(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return New(config.Provider{
		BaseURL: srv.URL, TokenURL: srv.URL + "/token", ClientID: "c", ClientSecret: "s", RetailerNumber: retailer, PIN: pin,
		CallbackKey: callbackKey, CallbackSecret: callbackSecret, Timeout: 5 * time.Second,
	}, clock.Real())
}

// A revoked key is fetched anew and the cash-in, which was refused for it, made once more; the PIN was not read, and is not
// tried.
func TestARevokedKeyIsFetchedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.plan(t, "cashin", simulator.Rule{Fault: simulator.KeyRevoked})
	if res := r.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.Succeeded || r.entry(t, "ref-1").Moved != 1 {
		t.Fatalf("got %+v", res)
	}
	if r.calls("cashin", "code_4003") != 1 || r.calls("key") != 2 {
		t.Errorf("%d refusals, %d keys", r.calls("cashin", "code_4003"), r.calls("key"))
	}
	r.plan(t, "cashin", simulator.Rule{Fault: simulator.KeyRevoked, Times: 100})
	if res := r.Submit(t.Context(), transfer("ref-2", 24000)); res.Class != provider.RejectedRetryable || res.Code != "key_revoked" || !res.Stop {
		t.Errorf("a key that is revoked as soon as it is fetched: %+v", res)
	}
	if n := r.calls("cashin", "code_4003"); n != 3 {
		t.Errorf("%d refusals in all, want 1 and 2", n)
	}
}

// Only a whole refusal with that code lets the cash-in go again; the same key again does not, nor does a doubt.
func TestAKeyIsNotFetchedOnADoubt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   provider.Class
	}{
		"the same key again": {400, `{"code":"4003"}`, provider.RejectedRetryable},
		"cut short":          {400, `{"code":"4003"`, provider.Ambiguous},
		"in a good answer":   {200, `{"code":"4003","status":"PENDING"}`, provider.Accepted},
		"in words only":      {500, `{"code":"50","detail":"4003"}`, provider.Ambiguous},
	} {
		cashins := 0
		a := newStub(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/cashins") {
				cashins++
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}
		})
		if res := a.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != c.want || cashins != 1 {
			t.Errorf("%s: got %+v after %d cash-ins", name, res, cashins)
		}
	}
}

func TestNothingIsSentWhenAStepBeforeItFails(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"token", "key"} {
		for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany, simulator.NotSubscribed} {
			t.Run(operation+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(*simulator.Config, *config.Provider) {})
				r.bearer, r.keys = provider.NewTokens(r.clock, r.fetchBearer), provider.NewTokens(r.clock, r.fetchKey)
				r.plan(t, operation, simulator.Rule{Fault: fault})
				if res := r.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.NotSent || r.calls("cashin") != 0 {
					t.Errorf("got %+v after %d cash-ins", res, r.calls("cashin"))
				}
			})
		}
	}
	for _, key := range []string{`{"key":"AAAA","keyType":"RSA"}`, `{"key":"","keyType":"RSA"}`, `{"keyType":"EC","key":"` + stubKey() + `"}`, `[]`, `{"key":"not base64"}`} {
		a := newStub(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/publicKeys") {
				_, _ = io.WriteString(w, key)
			} else {
				t.Error("sent without a key")
			}
		})
		if res := a.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.NotSent || res.Scope != provider.ScopeProvider {
			t.Errorf("%s: got %+v", key, res)
		}
	}
}

func TestWrongCredentialsStopBeforeAnyPayment(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"error":"invalid_client","error_description":"x"}`:      "credentials_refused",
		`{"error":"unauthorized_client","error_description":"x"}`: "not_provisioned",
		`<html>`: "credentials_refused",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/token") {
				t.Error("called without a token")
			}
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		a := New(config.Provider{BaseURL: srv.URL, TokenURL: srv.URL + "/token", PIN: pin, Timeout: time.Second}, clock.Real())
		if res := a.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.RejectedRetryable || res.Scope != provider.ScopeProvider || !res.Stop || res.Code != want {
			t.Errorf("%s: got %+v", body, res)
		}
	}
}

// A token lives 299 seconds; a provider may write that as a text.
func TestATokenIsRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	for _, shape := range []simulator.Fault{"", simulator.WrongShape} {
		r := newRig(t, func(*simulator.Config, *config.Provider) {})
		if shape != "" {
			r.plan(t, "token", simulator.Rule{Fault: shape})
		}
		vc := clock.NewVirtual(time.Now())
		r.bearer = provider.NewTokens(vc, r.fetchBearer)
		before := r.calls("token")
		for _, step := range []time.Duration{0, 200 * time.Second, 65 * time.Second, 10 * time.Second} {
			vc.Advance(step)
			if _, err := r.bearer.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.calls("token") - before; n != 2 {
			t.Errorf("%d tokens in 275 s, want a second one after 269", n)
		}
	}
}

// What is to be paid elsewhere or in other money is not sent at all.
func TestWhatIsNotServed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for destination, want := range map[string]string{
		"+2250700000101": "wallet_number_invalid", "+237670000101": "wallet_number_invalid", "+22177000010": "wallet_number_invalid",
		"770000101": "wallet_number_invalid", "": "wallet_number_invalid",
	} {
		tr := transfer("ref-1", 24000)
		tr.Destination = destination
		if res := r.Submit(t.Context(), tr); res.Class != provider.RejectedFinal || res.Scope != provider.ScopePayee || res.Code != want {
			t.Errorf("%s: got %+v", destination, res)
		}
	}
	tr := transfer("ref-1", 24000)
	tr.Amount.Currency = "GNF"
	if res := r.Submit(t.Context(), tr); res.Class != provider.RejectedFinal || res.Code != "currency_not_served" {
		t.Errorf("got %+v", res)
	}
	if n := r.calls("cashin"); n != 0 {
		t.Errorf("%d cash-ins", n)
	}
}

// A search answers only when it is about the reference, and the platform's answer by its own id counts more than the list.
func TestSearches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list, status string
		second       string         // what is said of CI2
		class        provider.Class // "" is absent
		failed       bool
		alarm        bool
	}{
		"none":                    {list: `[]`},
		"no list":                 {list: `null`, failed: true},
		"an object":               {list: `{"content":[]}`, failed: true},
		"about others":            {list: `[{"reference":"ref-2","status":"SUCCESS"}]`, failed: true},
		"among others":            {list: `[{"reference":"ref-2","status":"FAILED"},{"reference":"ref-1","status":"SUCCESS","transactionId":"CI1"}]`, class: provider.Succeeded},
		"the id knows better":     {list: `[{"reference":"ref-1","status":"PENDING","transactionId":"CI1"}]`, status: `{"status":"SUCCESS"}`, class: provider.Succeeded},
		"the id knows worse":      {list: `[{"reference":"ref-1","status":"SUCCESS","transactionId":"CI1"}]`, status: `{"status":"FAILED"}`, class: provider.RejectedFinal},
		"the id says nothing":     {list: `[{"reference":"ref-1","status":"ACCEPTED","transactionId":"CI1"}]`, status: `{}`, class: provider.Accepted},
		"the id is not read":      {list: `[{"reference":"ref-1","status":"REJECTED","transactionId":"CI1"}]`, status: `<html>`, class: provider.RejectedFinal},
		"unknown word":            {list: `[{"reference":"ref-1","status":"EN_COURS","transactionId":"CI1"}]`, class: provider.Accepted, alarm: true},
		"paid beside failed":      {list: `[{"reference":"ref-1","status":"FAILED"},{"reference":"ref-1","status":"SUCCESS"}]`, class: provider.Succeeded},
		"paid twice":              {list: `[{"reference":"ref-1","status":"SUCCESS"},{"reference":"ref-1","status":"SUCCESS"}]`, class: provider.Ambiguous, alarm: true},
		"paid, and one under way": {list: `[{"reference":"ref-1","status":"PENDING"},{"reference":"ref-1","status":"SUCCESS"}]`, class: provider.Ambiguous, alarm: true},
		"two, of which the first has failed since": {
			list:   `[{"reference":"ref-1","status":"SUCCESS","transactionId":"CI1"},{"reference":"ref-1","status":"PENDING","transactionId":"CI2"}]`,
			status: `{"status":"FAILED"}`, second: `{"status":"SUCCESS"}`, class: provider.Succeeded,
		},
		"two, of which one is under way still": {
			list:   `[{"reference":"ref-1","status":"SUCCESS","transactionId":"CI1"},{"reference":"ref-1","status":"PENDING","transactionId":"CI2"}]`,
			status: `{"status":"FAILED"}`, second: `{"status":"PENDING"}`, class: provider.Accepted,
		},
		"failed in the list, and paid since": {
			list:   `[{"reference":"ref-1","status":"PENDING","transactionId":"CI1"},{"reference":"ref-1","status":"FAILED","transactionId":"CI2"}]`,
			status: `{"status":"FAILED"}`, second: `{"status":"SUCCESS"}`, class: provider.Succeeded,
		},
		"both have failed": {
			list:   `[{"reference":"ref-1","status":"PENDING","transactionId":"CI1"},{"reference":"ref-1","status":"SUCCESS","transactionId":"CI2"}]`,
			status: `{"status":"FAILED"}`, second: `{"status":"REJECTED"}`, class: provider.RejectedFinal,
		},
	} {
		a := newStub(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/transactions"):
				_, _ = io.WriteString(w, c.list)
			case c.second != "" && strings.HasSuffix(r.URL.Path, "/CI2/status"):
				_, _ = io.WriteString(w, c.second)
			case c.status == "":
				w.WriteHeader(http.StatusNotFound)
			default:
				_, _ = io.WriteString(w, c.status)
			}
		})
		f, err := a.Lookup(t.Context(), transfer("ref-1", 24000))
		if (err != nil) != c.failed || f.Exists != (c.class != "") || f.Result.Class != c.class || (f.Result.Alarm != "") != c.alarm {
			t.Errorf("%s: got %+v, %v", name, f, err)
		}
	}
}

// The simulator's search has the platform's defects; ours is not caught by them.
func TestSearchAvoidsTheKnownDefects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Submit(t.Context(), transfer("ref-1", 24000))
	tr := transfer("ref-1", 24000)
	tr.SubmittedAt = time.Now()
	if f, err := r.Lookup(t.Context(), tr); err != nil || !f.Exists {
		t.Errorf("got %+v, %v", f, err)
	}
	for _, query := range []string{"&type=CASHIN", "&fromDateTime=" + time.Now().UTC().Format(time.RFC3339)} {
		reply, err := r.call(t.Context(), provider.Request{Method: http.MethodGet, URL: "/api/eWallet/v1/transactions?reference=ref-1" + query})
		if err != nil || string(reply.Body) != "[]" {
			t.Errorf("%s finds %s, %v: the defect is not played", query, reply.Body, err)
		}
	}
}

func TestBalance(t *testing.T) {
	t.Parallel()
	float := int64(75_000)
	r := newRig(t, func(c *simulator.Config, _ *config.Provider) { c.Sonatel.Float = &float })
	for _, fault := range []simulator.Fault{"", simulator.WrongShape, simulator.KeyRevoked} {
		if fault != "" {
			r.plan(t, "balance", simulator.Rule{Fault: fault})
		}
		if a, err := r.Balance(t.Context()); err != nil || a != (money.Amount{Minor: 75_000, Currency: "XOF"}) {
			t.Errorf("%s: got %v, %v", fault, a, err)
		}
	}
	for fault, want := range map[simulator.Fault]provider.Class{simulator.ServerErrorBefore: provider.Ambiguous, simulator.Garbage: provider.Ambiguous, simulator.TooMany: provider.NotSent} {
		r.plan(t, "balance", simulator.Rule{Fault: fault})
		_, err := r.Balance(t.Context())
		var f *provider.Failure
		if !errors.As(err, &f) || f.Result.Class != want {
			t.Errorf("%s: %v", fault, err)
		}
	}
	r.plan(t, "balance", simulator.Rule{Fault: simulator.Problem, Message: "2012"})
	_, err := r.Balance(t.Context())
	var f *provider.Failure
	if !errors.As(err, &f) || !f.Result.Stop || f.Result.Code != "pin_wrong" {
		t.Errorf("a wrong PIN: %v", err)
	}
	for body, want := range map[string]int64{`{"value":10.0,"unit":"XOF"}`: 10, `{"balance":{"value":"10","unit":"XOF"}}`: 10, `{"value":10}`: -1, `{"value":10.5,"unit":"XOF"}`: -1, `[]`: -1, ``: -1} {
		a, err := parseBalance([]byte(body))
		if want < 0 && err == nil || want >= 0 && (err != nil || a.Minor != want) {
			t.Errorf("%s: %v, %v", body, a, err)
		}
	}
}

// A wrong PIN is used once by the adapter itself, at whatever it is used for.
func TestAWrongPINIsNotRepeatedByTheAdapter(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *simulator.Config, c *config.Provider) { c.PIN = "000000" })
	if res := r.Submit(t.Context(), transfer("ref-1", 24000)); !res.Stop || res.Code != "pin_wrong" || r.calls("cashin") != 1 {
		t.Errorf("got %+v after %d cash-ins", res, r.calls("cashin"))
	}
	if _, err := r.Balance(t.Context()); err == nil || r.calls("balance", "code_2012") != 1 || r.calls("balance") != 1 {
		t.Errorf("a balance with a wrong PIN is a try too: %v after %d", err, r.calls("balance"))
	}
	if res := r.Submit(t.Context(), transfer("ref-2", 24000)); res.Code != "pin_blocked" {
		t.Errorf("the third: %+v", res)
	}
}

func TestCallbacksNeedBothCredentials(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := time.Now()
	h, body := signed(`{"reference":"ref-1","status":"SUCCESS"}`, now)
	if refs, err := r.Verify(h, body); err != nil || !slices.Equal(refs, []string{"ref-1"}) {
		t.Fatalf("got %v, %v", refs, err)
	}
	for name, change := range map[string]func(http.Header){
		"no key":            func(h http.Header) { h.Del("Authorization") },
		"another key":       func(h http.Header) { h.Set("Authorization", "Basic other") },
		"the key alone":     func(h http.Header) { h.Del("X-Sonatel-Signature") },
		"the key in base64": func(h http.Header) { h.Set("Authorization", "Basic Y2FsbGJhY2sta2V5LW9mLXRlc3Q=") },
		"a signature of yore": func(h http.Header) {
			old, _ := signed(string(body), now.Add(-6*time.Minute))
			h.Set("X-Sonatel-Signature", old.Get("X-Sonatel-Signature"))
		},
		"a signature of tomorrow": func(h http.Header) {
			old, _ := signed(string(body), now.Add(6*time.Minute))
			h.Set("X-Sonatel-Signature", old.Get("X-Sonatel-Signature"))
		},
		"another body's": func(h http.Header) {
			o, _ := signed(`{}`, now)
			h.Set("X-Sonatel-Signature", o.Get("X-Sonatel-Signature"))
		},
	} {
		forged := h.Clone()
		change(forged)
		if refs, err := r.Verify(forged, body); !errors.Is(err, provider.ErrForged) || len(refs) != 0 {
			t.Errorf("%s: %v, %v", name, refs, err)
		}
	}
	none := New(config.Provider{}, clock.Real())
	if _, err := none.Verify(http.Header{"Authorization": {"Basic "}}, body); !errors.Is(err, provider.ErrForged) {
		t.Errorf("nothing is registered, and somebody is let in: %v", err)
	}
}

func TestCallbackIsUnderstoodWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	a := New(config.Provider{}, clock.Real())
	whole := `{"reference":"ref-1","transactionId":"CI1","status":"SUCCESS","amount":{"value":24000.0,"unit":"XOF"},"customer":{"idType":"MSISDN","id":"770000101"}}`
	said := a.Read([]byte(whole))["ref-1"]
	if !said.Exists || said.Result.Class != provider.Succeeded || said.Result.ProviderID != "CI1" || said.Destination != "770000101" || said.Amount == nil || said.Amount.Minor != 24000 {
		t.Errorf("read as %+v", said)
	}
	for _, part := range []string{`"reference":"ref-1",`, `"status":"SUCCESS",`, `"amount":{"value":24000.0,"unit":"XOF"},`, `,"customer":{"idType":"MSISDN","id":"770000101"}`} {
		if said := a.Read([]byte(strings.Replace(whole, part, "", 1))); len(said) != 0 {
			t.Errorf("without %s it is read as %+v", part, said)
		}
	}
}

// The simulator's callbacks are what the adapter takes, in every mode but the forged and the stale one.
func TestCallbacksOfTheSimulator(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][]bool{"normal": {true}, "duplicated": {true, true}, "early": {true}, "forged": {false, true}, "stale": {false}} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			got := make(chan bool, 10)
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				refs, err := r.Verify(req.Header, body)
				if err != nil {
					w.WriteHeader(http.StatusUnauthorized) // the last word: it does not come again
				} else if said := r.Read(body)["ref-1"]; !said.Exists || refs[0] != "ref-1" || req.Header.Get("X-Sonatel-Idempotency-Key") == "" {
					t.Errorf("read as %+v of %v", said, refs)
				}
				got <- err == nil
			}))
			t.Cleanup(hook.Close)
			if err := r.sim.SetSonatelCallback(simulator.SonatelCallback{URL: hook.URL, Key: callbackKey, Secret: callbackSecret, Mode: mode}); err != nil {
				t.Fatal(err)
			}
			r.Submit(t.Context(), transfer("ref-1", 24000))
			good := 0
			for range want {
				if <-got {
					good++
				}
			}
			if n := len(slices.DeleteFunc(slices.Clone(want), func(ok bool) bool { return !ok })); good != n {
				t.Errorf("%d were taken, want %d", good, n)
			}
		})
	}
}

// Secrets: neither the PIN nor what it is encrypted to is in a result, an error, or anything that can be printed of them.
func TestThePINIsNowhere(t *testing.T) {
	t.Parallel()
	for fault := range map[simulator.Fault]bool{simulator.Problem: true, simulator.Failed: true, simulator.Garbage: true, simulator.ResetAfter: true, simulator.ServerErrorAfter: true} {
		var encrypted string
		inner := newRig(t)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var q struct {
				Partner party `json:"partner"`
			}
			if json.Unmarshal(body, &q) == nil && q.Partner.EncryptedPINCode != "" {
				encrypted = q.Partner.EncryptedPINCode
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			inner.sim.ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		c := inner.cfg
		c.BaseURL, c.TokenURL = srv.URL+"/sonatel", srv.URL+"/sonatel/oauth/v1/token"
		a := New(c, clock.Real())
		inner.plan(t, "cashin", simulator.Rule{Fault: fault, Message: "PIN " + pin + " of 770000000"})
		res := a.Submit(t.Context(), transfer("ref-1", 24000))
		inner.plan(t, "balance", simulator.Rule{Fault: simulator.ServerErrorBefore})
		_, err := a.Balance(t.Context())
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("answered", "result", res, "error", err, "text", fmt.Sprintf("%+v %v", res, err))
		if encrypted == "" {
			t.Fatal("nothing was sent: the test sees nothing")
		}
		for _, secret := range []string{pin, encrypted, encrypted[:40], retailer} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s: a secret is in %s", fault, &out)
			}
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"transactionId":"CI1","reference":"a","status":"SUCCESS"}`))
	f.Add(400, []byte(`{"code":"2011"}`))
	f.Add(401, []byte(`{"code":10}`))
	f.Add(500, []byte(`{"code":"50"}`))
	f.Add(200, []byte(`{"status":"SUCCESS"}{"status":"FAILED"}`))
	a := New(config.Provider{}, clock.Real())
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		reply := provider.Reply{Status: status, Body: body, Sent: true}
		res := a.classify(reply, provider.Transfer{Reference: "a"})
		tx, err := parseTransaction(body)
		good := status >= 200 && status <= 299
		switch {
		case res.Class == provider.Succeeded && (!good || err != nil || tx.Status != "SUCCESS" || tx.Reference != "" && tx.Reference != "a"):
			t.Errorf("%d %q became a success", status, body)
		case res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable:
			if _, named := meanings[codeOf(reply)]; !named && !tokenRefused(http.MethodPost, reply) && (!good || rank(tx.Status) != 0) {
				t.Errorf("%d %q became %s", status, body, res.Class)
			}
		case strings.HasPrefix(codeOf(reply), "201") && len(codeOf(reply)) == 4 && codeOf(reply) <= "2013" && status != 429 && !res.Stop:
			t.Errorf("%d %q does not stop", status, body)
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte(`[{"reference":"a","status":"SUCCESS","amount":{"value":10.0,"unit":"XOF"}}]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[{"reference":"b"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var list []transaction
		if whole(body, &list) != nil {
			return
		}
		tx, _ := choose(list, "a")
		for _, other := range list {
			if other.Reference == "a" && (tx.Reference != "a" || rank(other.Status) > rank(tx.Status)) {
				t.Errorf("%q: chose %+v", body, tx)
			}
		}
		if amount := tx.paid(); amount != nil && amount.Minor < 0 && !strings.Contains(string(body), "-") {
			t.Errorf("%q is %v", body, amount)
		}
	})
}

func FuzzKeyAndBalance(f *testing.F) {
	f.Add(stubKey())
	f.Add(`{"value":10.0,"unit":"XOF"}`)
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if key, err := parseKey(s); err == nil && key.N.BitLen() < smallestKey {
			t.Errorf("a key of %d bits", key.N.BitLen())
		}
		if a, err := parseBalance([]byte(s)); err == nil && a.Currency == "" {
			t.Errorf("%q is %v", s, a)
		}
		if encrypted, err := encrypt(s, pin); err == nil && strings.Contains(encrypted, pin) {
			t.Error("the PIN can be read")
		}
	})
}

func FuzzCallback(f *testing.F) {
	f.Add([]byte(`{"reference":"a","status":"SUCCESS","amount":{"value":1,"unit":"XOF"},"customer":{"id":"770000101"}}`))
	f.Add([]byte(`{"reference":1}`))
	f.Add([]byte(`[]`))
	a := New(config.Provider{CallbackKey: callbackKey, CallbackSecret: callbackSecret}, clock.Real())
	f.Fuzz(func(t *testing.T, body []byte) {
		h, b := signed(string(body), time.Now())
		if refs, err := a.Verify(h, b); err == nil && (len(refs) != 1 || refs[0] == "") {
			t.Errorf("%q named %v", body, refs)
		}
		for ref, said := range a.Read(body) {
			if ref == "" || !said.Exists || said.Amount == nil || said.Destination == "" {
				t.Errorf("%q is read as %+v", body, said)
			}
		}
	})
}
