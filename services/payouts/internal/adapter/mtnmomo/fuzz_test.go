package mtnmomo

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/provider"
)

// Whatever MTN answers to a transfer, only what is documented is an acceptance or a refusal.
func FuzzAnswer(f *testing.F) {
	f.Add(202, []byte(""))
	f.Add(202, []byte("{}"))
	f.Add(500, []byte(`{"code":"NOT_ENOUGH_FUNDS","message":"x"}`))
	f.Add(400, []byte(`{"code":42}`))
	f.Add(409, []byte(`{"code":"RESOURCE_ALREADY_EXIST"}`))
	a := New(configure("http://127.0.0.1:1"), clock.Real())
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		reply := provider.Reply{Status: status, Body: body, Sent: true}
		res := a.classify(reply)
		switch res.Class {
		case provider.Accepted:
			if status != http.StatusAccepted || strings.TrimSpace(string(body)) != "" {
				t.Errorf("%d %q became an acceptance", status, body)
			}
		case provider.RejectedFinal, provider.RejectedRetryable:
			_, named := refusals[codeOf(reply)]
			named = named && (status == 400 || status == 500)
			if !unauthorised(reply) && (status != http.StatusForbidden || codeOf(reply) != codeForbidden) && !named {
				t.Errorf("%d %q became %+v", status, body, res)
			}
		case provider.Ambiguous, provider.NotSent:
		default:
			t.Errorf("%d %q became %+v", status, body, res)
		}
	})
}

// Whatever a status or a callback says, money counts as moved only by MTN's word for it, and no text of theirs leaves unredacted.
func FuzzTransfer(f *testing.F) {
	f.Add(said("ref-1", "SUCCESSFUL", ""))
	f.Add(said("ref-1", "FAILED", `,"reason":{"code":"EXPIRED","message":"x"}`))
	f.Add(said("ref-1", "FAILED", `,"reason":"PAYEE_NOT_FOUND"`))
	f.Add(said("ref-1", "FAILED", `,"reason":["x"]`))
	f.Add([]byte(`{"amount":24000.0,"currency":"XOF","financialTransactionId":1,"externalId":7,"status":"2250500000101"}`))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"status":"SUCCESSFUL"}{"status":"FAILED"}`))
	a := New(configure("http://127.0.0.1:1"), clock.Real())
	key := http.Header{provider.AddressKey: {callbackKey}}
	f.Fuzz(func(t *testing.T, body []byte) {
		tx, err := parseTransfer(body)
		if err == nil {
			res := a.found(tx).Result
			if (res.Class == provider.Succeeded) != (tx.Status == "SUCCESSFUL") {
				t.Errorf("%q became %s", body, res.Class)
			}
			if rejected := res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable; rejected && tx.Status != "FAILED" {
				t.Errorf("%q became %s", body, res.Class)
			}
			if strings.Contains(res.ProviderCode+res.Alarm, "0500000101") {
				t.Errorf("a number is in %+v", res)
			}
		}
		refs, verr := a.Verify(key, body)
		if verr == nil && (err != nil || len(refs) != 1 || refs[0] == "") || verr != nil && !errors.Is(verr, provider.ErrUnreadable) {
			t.Errorf("%q named %v, %v", body, refs, verr)
		}
		if _, err := a.Verify(http.Header{}, body); !errors.Is(err, provider.ErrForged) {
			t.Errorf("%q was let in without a secret: %v", body, err)
		}
		for ref, said := range a.Read(body) {
			if len(refs) != 1 || ref != refs[0] || said.Amount == nil || said.Destination == "" {
				t.Errorf("%q was read as %+v", body, said)
			}
		}
	})
}

// The small answers: a token, a balance, an account holder.
func FuzzSmallAnswers(f *testing.F) {
	f.Add([]byte(`{"access_token":"x","token_type":"access_token","expires_in":"3600"}`))
	f.Add([]byte(`{"availableBalance":"1000.00","currency":"EUR"}`))
	f.Add([]byte(`{"result":true}`))
	f.Add([]byte(`{"name":"Sand Box","given_name":"Sand","family_name":"Box"}`))
	f.Add([]byte(`{"expires_in":-1,"result":"yes","availableBalance":-5,"name":7}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if token, err := parseToken(body); err == nil && (token.Value == "" || token.Life < 0 || strings.ContainsAny(token.Value, "\r\n")) {
			t.Errorf("%q is the token %+v", body, token)
		}
		if b, err := parseBalance(body); err == nil && (b.Minor < 0 || b.Currency == "") {
			t.Errorf("%q is the balance %+v", body, b)
		}
		if active, err := parseActive(body); err != nil && active {
			t.Errorf("%q is active", body)
		}
		if name, err := parseUserInfo(body); err == nil {
			compareNames("Awa Koné", name)
		}
	})
}
