package orangeomr

import (
	"net/http"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
)

// Whatever comes back under whatever status: money is reported as moved only in the platform's words, and as not moved only where
// the platform itself has said so.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"status":"SUCCESS","transactionData":{"transactionId":"a","amount":10.0,"txnId":"CI1"}}`), false)
	f.Add(200, []byte(`{"status":"FAILED","message":"Solde insuffisant."}`), true)
	f.Add(401, []byte(`{"code":42,"message":"Expired credentials"}`), false)
	f.Add(403, []byte(`{"code":53}`), false)
	f.Add(404, []byte(`{"code":60}`), true)
	f.Add(503, []byte(`{"status":"FAILED"}`), false)
	f.Add(408, []byte(`<html>`), false)
	a := New(config.Provider{CallbackAuthorization: callbackSecret}, clock.Real())
	f.Fuzz(func(t *testing.T, status int, body []byte, resend bool) {
		reply := provider.Reply{Status: status, Body: body, Sent: true}
		res := a.classify(reply, provider.Transfer{Reference: "a", Resend: resend})
		tx, err := parseTransaction(body)
		own := problemOf(reply).Code != 0
		switch res.Class {
		case provider.Succeeded:
			if status < 200 || status > 299 || err != nil || tx.Status != "SUCCESS" {
				t.Errorf("%d %q became a success", status, body)
			}
		case provider.RejectedFinal, provider.RejectedRetryable:
			if !own && (status < 200 || status > 299 || err != nil || tx.Status != "FAILED") {
				t.Errorf("%d %q became %+v", status, body, res)
			}
		case provider.NotSent:
			if status != http.StatusTooManyRequests && status != http.StatusForbidden {
				t.Errorf("%d %q became %+v", status, body, res)
			}
		case provider.Accepted, provider.Ambiguous:
		default:
			t.Errorf("%d %q became the class %q", status, body, res.Class)
		}
	})
}

// What a callback says is read whole or not at all, and only with the agreed secret.
func FuzzCallback(f *testing.F) {
	f.Add(`{"status":"SUCCESS","transactionId":"a","peerId":"0700000101","amount":10,"currency":"XOF"}`, callbackSecret)
	f.Add(`{"transactionData":{"transactionId":"a"}}`, "Basic other")
	f.Add(`[]`, "")
	a := New(config.Provider{CallbackAuthorization: callbackSecret}, clock.Real())
	f.Fuzz(func(t *testing.T, body, secret string) {
		refs, err := a.Verify(http.Header{"Authorization": {secret}}, []byte(body))
		if err == nil && (secret != callbackSecret || len(refs) != 1 || refs[0] == "") {
			t.Errorf("%q with %q named %v", body, secret, refs)
		}
		for ref, said := range a.Read([]byte(body)) {
			if ref == "" || !said.Exists || said.Amount == nil || said.Destination == "" {
				t.Errorf("%q is read as %+v", body, said)
			}
		}
	})
}

// A token's life, however it is written, never becomes one without end or one that is over.
func FuzzSeconds(f *testing.F) {
	for _, s := range []string{`3600`, `"3600"`, `-1`, `1e999`, `"x"`, `null`, `9223372036854775807`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s seconds
		if err := s.UnmarshalJSON(text); err != nil {
			return
		}
		if d := s.duration(); d < 0 || d > 400*24*time.Hour {
			t.Errorf("%q is a life of %v", text, d)
		}
	})
}
