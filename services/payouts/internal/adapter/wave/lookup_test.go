package wave

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

func TestLookupSaysAbsentOnlyOnAnEmptyList(t *testing.T) {
	t.Parallel()
	for body, absent := range map[string]bool{
		`{"result":[]}`: true, `{"result":[],"next":null}`: true,
		`{"result":null}`: false, `{}`: false, `[]`: false, `null`: false, ``: false, `<html>`: false, `{"result":{}}`: false, `{"result":[]}{}`: false,
		`{"result":[{"id":"pt-1","status":"succeeded","client_reference":"other"}]}`: false,
		`{"result":[{"id":"pt-1","status":"succeeded"}]}`:                            false,
		`{"result":[{"id":"","status":"succeeded","client_reference":"ref-1"}]}`:     false,
		`{"result":[{"id":"pt-1","client_reference":"ref-1"}]}`:                      false,
	} {
		f, err := answering(t, http.StatusOK, body).Lookup(t.Context(), transfer("ref-1", 24000))
		if f.Exists || (err == nil) != absent {
			t.Errorf("%s: got %+v, %v", body, f, err)
		}
	}
	for status, body := range map[int]string{404: `{"code":"not-found"}`, 400: `{"result":[]}`, 302: `{"result":[]}`, 503: `{"result":[]}`} {
		if f, err := answering(t, status, body).Lookup(t.Context(), transfer("ref-1", 24000)); err == nil {
			t.Errorf("%d: got %+v", status, f)
		}
	}
}

// The search may lag behind a payout that Wave has told the id of: then the id finds it, and only when that is not found
// either is it absent.
func TestWhatHasAnIdIsAskedForByIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.WaveConfig{})
	tr := transfer("ref-1", 24000)
	tr.ProviderID = r.Submit(t.Context(), tr).ProviderID
	plan(t, r.sim, simulator.Rule{Provider: simulator.Wave, Operation: "search", Fault: simulator.LookupBlind})
	if f, err := r.Lookup(t.Context(), tr); err != nil || !f.Exists || f.Result.Class != provider.Succeeded || f.Amount == nil || *f.Amount != tr.Amount {
		t.Errorf("got %+v, %v", f, err)
	}
	tr.ProviderID = "pt-none"
	if f, err := r.Lookup(t.Context(), tr); err != nil || f.Exists {
		t.Errorf("neither: %+v, %v", f, err)
	}
	for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany, simulator.NotSubscribed} {
		plan(t, r.sim,
			simulator.Rule{Provider: simulator.Wave, Operation: "search", Fault: simulator.LookupBlind},
			simulator.Rule{Provider: simulator.Wave, Operation: "get", Fault: fault})
		if f, err := r.Lookup(t.Context(), tr); err == nil {
			t.Errorf("%s was read as an answer: %+v", fault, f)
		}
	}
}

// A reference that was paid twice, for Wave had forgotten its key, is never one payment: the sum differs, and people look.
func TestSeveralPayoutsOfOneReference(t *testing.T) {
	t.Parallel()
	one := func(id, status, rest string) string {
		return `{"id":"` + id + `","currency":"XOF","receive_amount":"24000","fee":"240","mobile":"+2250700000101","client_reference":"ref-1","status":"` + status + `"` + rest + `}`
	}
	blocked := `,"payout_error":{"error_code":"recipient-account-blocked"}`
	for name, c := range map[string]struct {
		payouts []string
		class   provider.Class
		code    string
		amount  int64
		alarm   bool
	}{
		"paid twice":              {[]string{one("pt-1", "succeeded", ""), one("pt-2", "succeeded", "")}, provider.Succeeded, "", 48000, true},
		"paid and under way":      {[]string{one("pt-1", "processing", ""), one("pt-2", "succeeded", "")}, provider.Succeeded, "", 48000, true},
		"failed, then paid":       {[]string{one("pt-1", "failed", blocked), one("pt-2", "succeeded", "")}, provider.Succeeded, "", 24000, false},
		"paid, then failed":       {[]string{one("pt-1", "succeeded", ""), one("pt-2", "failed", blocked)}, provider.Succeeded, "", 24000, false},
		"reversed, then paid":     {[]string{one("pt-1", "reversed", ""), one("pt-2", "succeeded", "")}, provider.Succeeded, "", 24000, false},
		"failed, then under way":  {[]string{one("pt-1", "failed", blocked), one("pt-2", "processing", "")}, provider.Accepted, "pending", 24000, false},
		"failed twice":            {[]string{one("pt-1", "failed", blocked), one("pt-2", "failed", blocked)}, provider.RejectedFinal, "payee_blocked", 24000, false},
		"failed, and came back":   {[]string{one("pt-1", "failed", blocked), one("pt-2", "reversed", "")}, provider.RejectedFinal, "reversed", 24000, true},
		"reversed":                {[]string{one("pt-1", "reversed", "")}, provider.RejectedFinal, "reversed", 24000, true},
		"contradicts, and failed": {[]string{one("pt-1", "succeeded", blocked), one("pt-2", "failed", blocked)}, provider.Ambiguous, "contradiction", 24000, true},
	} {
		body := `{"result":[` + strings.Join(c.payouts, ",") + `]}`
		f, err := answering(t, http.StatusOK, body).Lookup(t.Context(), transfer("ref-1", 24000))
		if err != nil || !f.Exists || f.Result.Class != c.class || f.Result.Code != c.code || f.Amount == nil || f.Amount.Minor != c.amount || (f.Result.Alarm != "") != c.alarm {
			t.Errorf("%s: got %+v, %v", name, f, err)
		}
	}
}

// What a reference has in it does not lead the question elsewhere.
func TestReferencesAreEscaped(t *testing.T) {
	t.Parallel()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.URL.Query().Get("client_reference"))
		_, _ = w.Write([]byte(`{"result":[]}`))
	}))
	defer srv.Close()
	a := New(config.Provider{BaseURL: srv.URL, APIKey: testKey, Timeout: time.Second}, clock.Real())
	if _, err := a.Lookup(t.Context(), transfer("a&b=/../c#d", 1)); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0] != "/v1/payouts/search a&b=/../c#d" {
		t.Errorf("asked %q", asked)
	}
}
