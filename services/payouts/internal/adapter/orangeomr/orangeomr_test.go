package orangeomr

import (
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

const callbackSecret = "Basic Y2FsbGJhY2s6c2VjcmV0"

// rig is an adapter before a simulated provider.
type rig struct {
	*Adapter
	sim *simulator.Simulator
	srv *httptest.Server
}

func newRig(t testing.TB, sim simulator.Config, change ...func(*config.Provider)) *rig {
	t.Helper()
	s, err := simulator.New(sim)
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
		Name: "orange", Kind: Kind, BaseURL: srv.URL + "/orange-money-b2b/v1/ci", TokenURL: srv.URL + "/oauth/v3/token",
		ClientID: "client-id-of-test", ClientSecret: "client-secret-of-test", PosID: "pos-of-test", CallbackAuthorization: callbackSecret,
		Timeout: 30 * time.Second, Concurrency: 4, FormsStep: true,
	}
	for _, f := range change {
		f(&c)
	}
	return &rig{Adapter: New(c, clock.Real()), sim: s, srv: srv}
}

// quick makes calls time out soon, once there is a token.
func (r *rig) quick(t testing.TB, d time.Duration) {
	t.Helper()
	if _, err := r.bearer.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.caller = provider.NewCaller(provider.CallerConfig{Timeout: d, Conns: 4})
}

func transfer(reference string, minor int64) provider.Transfer {
	return provider.Transfer{Tenant: "lebenis", Reference: reference, Amount: money.Amount{Minor: minor, Currency: "XOF"}, Destination: "+2250700000101"}
}

func (r *rig) moved(t *testing.T, reference string) int {
	t.Helper()
	b, err := r.sim.Book(simulator.Orange)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == reference {
			return e.Moved
		}
	}
	return 0
}

func (r *rig) calls(operation string) (n int64) {
	for _, c := range r.sim.Calls() {
		if c.Operation == operation {
			n += c.Calls
		}
	}
	return n
}

func (r *rig) requests(t *testing.T) (n int64) {
	t.Helper()
	b, err := r.sim.Book(simulator.Orange)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Entries {
		n += int64(e.Requests)
	}
	return n
}

func plan(t testing.TB, s *simulator.Simulator, rules ...simulator.Rule) {
	t.Helper()
	if err := s.Plan(simulator.Plan{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

func TestPaysInEveryDocumentedShape(t *testing.T) {
	t.Parallel()
	for _, shape := range []string{"nested", "flat"} {
		for _, expiry := range []string{"number", "string"} {
			for _, forms := range []bool{true, false} {
				t.Run(shape+" "+expiry, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, simulator.Config{Orange: simulator.OrangeConfig{Shape: shape, Expiry: expiry, SkipForms: !forms}}, func(c *config.Provider) { c.FormsStep = forms })
					res := r.Submit(t.Context(), transfer("ref-1", 24000))
					if res.Class != provider.Succeeded || res.ProviderID == "" || res.Alarm != "" {
						t.Fatalf("got %+v", res)
					}
					f, err := r.Lookup(t.Context(), transfer("ref-1", 24000))
					if err != nil || !f.Exists || f.Result.Class != provider.Succeeded || f.Amount == nil || f.Amount.Minor != 24000 {
						t.Fatalf("lookup: %+v, %v", f, err)
					}
					if n := r.moved(t, "ref-1"); n != 1 {
						t.Errorf("moved %d times", n)
					}
				})
			}
		}
	}
}

// DESIGN 6: phone numbers lost their leading zero in normalisation.
func TestLeadingZeroOfTheLocalNumberIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.Submit(t.Context(), transfer("ref-1", 24000))
	b, err := r.sim.Book(simulator.Orange)
	if err != nil || len(b.Entries) != 1 || b.Entries[0].Peer != "0700000101" {
		t.Errorf("paid %+v, %v; want the ten digits 0700000101", b.Entries, err)
	}
}

func TestFaultsOfTheProvider(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule  simulator.Rule
		class provider.Class
		scope provider.Scope
		code  string
		stop  bool
		alarm bool
		moved int
	}{
		"lost answer":         {rule: simulator.Rule{Fault: simulator.LostAnswer}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeConnectionLost, moved: 1},
		"timeout":             {rule: simulator.Rule{Fault: simulator.TimeoutAfter}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeTimeout, moved: 1},
		"5xx after payment":   {rule: simulator.Rule{Fault: simulator.ServerErrorAfter}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeServerError, moved: 1},
		"5xx before payment":  {rule: simulator.Rule{Fault: simulator.ServerErrorBefore}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeServerError},
		"reset before":        {rule: simulator.Rule{Fault: simulator.ResetBefore}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeConnectionLost},
		"reset after":         {rule: simulator.Rule{Fault: simulator.ResetAfter}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeConnectionLost, moved: 1},
		"garbage":             {rule: simulator.Rule{Fault: simulator.Garbage}, class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeUnreadable, moved: 1},
		"pending":             {rule: simulator.Rule{Fault: simulator.PendingForever}, class: provider.Accepted, code: "pending"},
		"unknown status":      {rule: simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Hour}, class: provider.Accepted, code: "unknown_status", alarm: true},
		"failed":              {rule: simulator.Rule{Fault: simulator.Failed}, class: provider.RejectedFinal, scope: provider.ScopePayment, code: "failed"},
		"no float":            {rule: simulator.Rule{Fault: simulator.Failed, Message: "Solde insuffisant."}, class: provider.RejectedRetryable, scope: provider.ScopeFloat, code: "insufficient_float"},
		"identical":           {rule: simulator.Rule{Fault: simulator.Identical}, class: provider.RejectedRetryable, scope: provider.ScopePayment, code: "identical_transaction"},
		"not subscribed":      {rule: simulator.Rule{Fault: simulator.NotSubscribed}, class: provider.RejectedRetryable, scope: provider.ScopeProvider, code: "not_subscribed", stop: true},
		"slow down":           {rule: simulator.Rule{Fault: simulator.TooMany}, class: provider.NotSent, code: provider.CodeRateLimited},
		"amount written 10.0": {rule: simulator.Rule{Fault: simulator.WrongShape}, class: provider.Succeeded, moved: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Config{})
			c.rule.Provider, c.rule.Operation = simulator.Orange, "cashin"
			plan(t, r.sim, c.rule)
			if c.code == provider.CodeTimeout {
				r.quick(t, 2*time.Second)
			}
			res := r.Submit(t.Context(), transfer("ref-1", 24000))
			if res.Class != c.class || res.Scope != c.scope || res.Code != c.code || res.Stop != c.stop || (res.Alarm != "") != c.alarm {
				t.Errorf("got %+v", res)
			}
			if n := r.moved(t, "ref-1"); n != c.moved {
				t.Errorf("the book moved money %d times, want %d", n, c.moved)
			}
			// The book counts requests as they come; a call that hangs is counted only when it ends.
			if n := max(r.calls("cashin"), r.requests(t)); n != 1 {
				t.Errorf("%d cash-ins were made, want exactly one", n)
			}
		})
	}
}

// An identical-looking refusal after our own resend may be about our own first call.
func TestIdenticalAfterOwnResendProvesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Identical})
	again := transfer("ref-1", 24000)
	again.Resend = true
	if res := r.Submit(t.Context(), again); res.Class != provider.Ambiguous || res.Alarm == "" {
		t.Errorf("got %+v", res)
	}
}

// A refusal as identical is only believed when the transfer itself is known as failed: otherwise the next reference might pay
// what this one paid already.
func TestIdenticalIsConfirmedByALookup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lookup string
		status int
		want   provider.Class
	}{
		"failed":      {`{"transactionId":"ref-1","status":"FAILED","message":"Transaction identique."}`, http.StatusOK, provider.RejectedRetryable},
		"not there":   {`{"code":60,"message":"Resource not found"}`, http.StatusNotFound, provider.RejectedRetryable},
		"paid":        {`{"transactionId":"ref-1","status":"SUCCESS","reference":"MP1"}`, http.StatusOK, provider.Succeeded},
		"pending":     {`{"transactionId":"ref-1","status":"PENDING"}`, http.StatusOK, provider.Accepted},
		"no answer":   {`oops`, http.StatusBadGateway, provider.Ambiguous},
		"not reached": {``, 0, provider.Ambiguous},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case strings.HasSuffix(req.URL.Path, "/token"):
					_, _ = w.Write([]byte(`{"access_token":"t","expires_in":3600}`))
				case req.Method == http.MethodPost:
					_, _ = w.Write([]byte(`{"transactionId":"ref-1","status":"FAILED","message":"Transaction identique."}`))
				case strings.HasSuffix(req.URL.Path, "/services"):
					_, _ = w.Write([]byte(`{"services":[],"token":{"value":"s","expiresIn":3600}}`))
				case c.status == 0:
					panic(http.ErrAbortHandler)
				default:
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(c.lookup))
				}
			}))
			defer srv.Close()
			a := New(config.Provider{BaseURL: srv.URL, TokenURL: srv.URL + "/token", Timeout: time.Second}, clock.Real())
			if res := a.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != c.want {
				t.Errorf("got %+v, want %s", res, c.want)
			}
		})
	}
}

// The lookup of a reference that was sent twice cannot say which of the two was refused as identical.
func TestIdenticalInALookupAfterOwnResendProvesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Identical})
	tr := transfer("ref-1", 24000)
	r.Submit(t.Context(), tr)
	tr.Resend = true
	if f, err := r.Lookup(t.Context(), tr); err != nil || !f.Exists || f.Result.Class != provider.Ambiguous {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestExpiredTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Unauthorized, Times: 1})
	if res := r.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.Succeeded || r.moved(t, "ref-1") != 1 {
		t.Fatalf("got %+v", res)
	}
}

func TestTokenRefusedAgainStopsTheConnector(t *testing.T) {
	t.Parallel()
	cashins := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/token") {
			_, _ = w.Write([]byte(`{"access_token":"t","expires_in":3600}`))
			return
		}
		cashins++
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"code":42,"message":"Expired credentials"}`))
	}))
	defer srv.Close()
	a := New(config.Provider{BaseURL: srv.URL, TokenURL: srv.URL + "/token", Timeout: time.Second}, clock.Real())
	if res := a.Submit(t.Context(), transfer("ref-1", 24000)); res.Scope != provider.ScopeProvider || !res.Stop || cashins != 2 {
		t.Errorf("got %+v after %d cash-ins", res, cashins)
	}
}

// Something between us and Orange refuses, after Orange has paid perhaps: only the platform's own words prove anything, and the
// connector stops whoever it was.
func TestARefusalInOtherWordsProvesNothing(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]provider.Class{
		``: provider.Ambiguous, `<html>403 Forbidden</html>`: provider.Ambiguous, `{"message":"no"}`: provider.Ambiguous,
		`{"code":50,"message":"Access denied"}`: provider.RejectedRetryable,
	} {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if strings.HasSuffix(req.URL.Path, "/token") {
					_, _ = w.Write([]byte(`{"access_token":"t","expires_in":3600}`))
					return
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}))
			defer srv.Close()
			a := New(config.Provider{BaseURL: srv.URL, TokenURL: srv.URL + "/token", Timeout: time.Second}, clock.Real())
			for _, again := range []bool{false, true} {
				class := want
				if again && want != provider.Ambiguous {
					class = provider.NotSent // this call; what became of the one before is looked up
				}
				tr := transfer("ref-1", 24000)
				tr.Resend = again
				if res := a.Submit(t.Context(), tr); res.Class != class || !res.Stop || res.Scope != provider.ScopeProvider {
					t.Errorf("%d %q, again: %t: got %+v, want %s", status, body, again, res, class)
				}
			}
		}
	}
}

func TestWrongCredentialsStopBeforeAnyPayment(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Orange: simulator.OrangeConfig{ClientID: "other", ClientSecret: "other"}})
	res := r.Submit(t.Context(), transfer("ref-1", 24000))
	if res.Class != provider.RejectedRetryable || res.Scope != provider.ScopeProvider || !res.Stop || r.calls("cashin") != 0 {
		t.Errorf("got %+v", res)
	}
}

func TestLimitsOfTheFormHoldBeforeSending(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Orange: simulator.OrangeConfig{Minimum: 500, Maximum: 1000}})
	for minor, want := range map[int64]provider.Class{499: provider.RejectedFinal, 500: provider.Succeeded, 1000: provider.Succeeded, 1001: provider.RejectedFinal} {
		ref := "ref-" + (money.Amount{Minor: minor, Currency: "XOF"}).Decimal()
		if res := r.Submit(t.Context(), transfer(ref, minor)); res.Class != want {
			t.Errorf("%d: got %+v, want %s", minor, res, want)
		}
	}
	if n := r.calls("cashin"); n != 2 {
		t.Errorf("%d cash-ins, want 2", n)
	}
}

func TestNothingIsSentWhenAStepBeforeItFails(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"token", "services", "forms"} {
		for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany} {
			t.Run(operation+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, simulator.Config{})
				plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: operation, Fault: fault})
				if res := r.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.NotSent || r.calls("cashin") != 0 {
					t.Errorf("got %+v after %d cash-ins", res, r.calls("cashin"))
				}
			})
		}
	}
}

func TestProviderAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.srv.Close()
	if res := r.Submit(t.Context(), transfer("ref-1", 24000)); res.Class != provider.NotSent || res.Scope != provider.ScopeProvider {
		t.Errorf("got %+v", res)
	}
	if _, err := r.Lookup(t.Context(), transfer("ref-1", 24000)); err == nil {
		t.Error("a lookup without an answer must not say that the payment is absent")
	}
}

func TestLookupSaysAbsentOnlyOnTheProvidersWord(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	if f, err := r.Lookup(t.Context(), transfer("ref-none", 1)); err != nil || f.Exists {
		t.Errorf("absent: %+v, %v", f, err)
	}
	r.Submit(t.Context(), transfer("ref-1", 24000))
	for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany, simulator.NotSubscribed} {
		plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: "lookup", Fault: fault})
		if f, err := r.Lookup(t.Context(), transfer("ref-1", 24000)); err == nil {
			t.Errorf("%s was read as an answer: %+v", fault, f)
		}
	}
}

func TestCallbackNeedsTheAgreedSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	body := []byte(`{"status":"SUCCESS","transactionData":{"transactionId":"ref-1"}}`)
	for given, want := range map[string]bool{callbackSecret: true, "": false, "Basic wrong": false, callbackSecret + "x": false} {
		refs, err := r.Verify(http.Header{"Authorization": {given}}, body)
		if ok := err == nil && len(refs) == 1 && refs[0] == "ref-1"; ok != want {
			t.Errorf("%q: %v, %v", given, refs, err)
		}
	}
	open := newRig(t, simulator.Config{}, func(c *config.Provider) { c.CallbackAuthorization = "" })
	if _, err := open.Verify(http.Header{}, body); err == nil {
		t.Error("without a configured secret nobody may be let in")
	}
}

// A callback is understood in both shapes when it says all of its transaction, and not at all otherwise.
func TestCallbackIsUnderstoodWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	a := New(config.Provider{}, clock.Real())
	for _, body := range []string{
		`{"status":"SUCCESS","transactionData":{"transactionId":"ref-1","peerId":"0700000101","amount":24000.0,"currency":"XOF","txnId":"MP1"}}`,
		`{"status":"SUCCESS","transactionId":"ref-1","peerId":"0700000101","amount":"24000","currency":"XOF","reference":"MP1"}`,
	} {
		said := a.Read([]byte(body))["ref-1"]
		if !said.Exists || said.Result.Class != provider.Succeeded || said.Result.ProviderID != "MP1" || said.Destination != "0700000101" ||
			said.Amount == nil || *said.Amount != (money.Amount{Minor: 24000, Currency: "XOF"}) {
			t.Errorf("%s\nis read as %+v", body, said)
		}
	}
	for _, body := range []string{
		`{"status":"SUCCESS","peerId":"0700000101","amount":24000,"currency":"XOF"}`,
		`{"status":"SUCCESS","transactionId":"ref-1","amount":24000,"currency":"XOF"}`,
		`{"status":"SUCCESS","transactionId":"ref-1","peerId":"0700000101","currency":"XOF"}`,
		`{"status":"SUCCESS","transactionId":"ref-1","peerId":"0700000101","amount":24000}`,
		`{"status":"SUCCESS","transactionId":"ref-1","peerId":"0700000101","amount":24000.5,"currency":"XOF"}`,
		`<html>`,
	} {
		if said := a.Read([]byte(body)); len(said) != 0 {
			t.Errorf("%s\nis read as %+v", body, said)
		}
	}
}

func TestResultsCarryNothingPersonalOrSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for message, want := range map[string]string{
		"Compte +225 07 00 00 01 01 refuse par client-secret-of-test": "FAILED",
		"Le compte de Awa Kone est suspendu":                          "FAILED",
		"Solde insuffisant. Compte de Awa Kone":                       "Solde insuffisant.",
		"Transaction identique. Beneficiaire Awa Kone":                "Transaction identique.",
	} {
		plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Failed, Message: message})
		if res := r.Submit(t.Context(), transfer("ref-"+message[:4], 24000)); res.ProviderCode != want {
			t.Errorf("%s: provider code %q", message, res.ProviderCode)
		}
	}
}

func FuzzTransaction(f *testing.F) {
	f.Add([]byte(`{"status":"SUCCESS","transactionData":{"transactionId":"a","amount":10.0,"txnId":"CI1"}}`))
	f.Add([]byte(`{"transactionId":"a","status":"FAILED","message":"Transaction identique.","amount":"10"}`))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"status":"SUCCESS"}{"status":"FAILED"}`))
	a := New(config.Provider{CallbackAuthorization: callbackSecret}, clock.Real())
	f.Fuzz(func(t *testing.T, body []byte) {
		res := a.classify(provider.Reply{Status: http.StatusOK, Body: body, Sent: true}, provider.Transfer{Reference: "a"})
		tx, err := parseTransaction(body)
		if err != nil && res.Class != provider.Ambiguous {
			t.Errorf("an unreadable answer became %s", res.Class)
		}
		if res.Class == provider.Succeeded && (tx.Status != "SUCCESS" || tx.TransactionID != "" && tx.TransactionID != "a") {
			t.Errorf("%q became a success", body)
		}
		if refs, err := a.Verify(http.Header{"Authorization": {callbackSecret}}, body); err == nil && (len(refs) != 1 || refs[0] == "") {
			t.Errorf("%q named %v", body, refs)
		}
	})
}
