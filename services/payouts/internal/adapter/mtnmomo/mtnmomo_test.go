package mtnmomo

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

var version4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// MTN takes UUIDs of version 4 only: a reference always becomes the same one, two never become one, and those that we make can
// be told from it again.
func TestReferencesBecomeUUIDsOfVersion4(t *testing.T) {
	t.Parallel()
	made := rapid.Custom(func(t *rapid.T) string {
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(rapid.String().Draw(t, "name"))).String()
	})
	anything := rapid.OneOf(made, rapid.String(), rapid.Just(strings.ToUpper(uuid.NewString())), rapid.Just("urn:uuid:"+uuid.NewString()))
	rapid.Check(t, func(t *rapid.T) {
		a, b := anything.Draw(t, "a"), anything.Draw(t, "b")
		if id := referenceID(a); !version4.MatchString(id) || id != referenceID(a) {
			t.Fatalf("%q becomes %q", a, id)
		}
		if a != b && referenceID(a) == referenceID(b) {
			t.Fatalf("%q and %q become one", a, b)
		}
		ours := made.Draw(t, "ours")
		if id := referenceID(ours); id[:14]+"5"+id[15:] != ours {
			t.Fatalf("%q becomes %q", ours, id)
		}
	})
}

func TestNotesHaveOnlyWhatMTNTakes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"payout 2025-01-24": "payout 2025-01-24", "l'argent d’Awa": "l argent d Awa", " <b>\n\"x\" ": "b x", "": "", "été": "t",
		strings.Repeat("a", 200): strings.Repeat("a", 160),
	} {
		if got := note(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// What is sent, as a strict provider reads it, through a token that was asked for without a body.
func TestPaysAsDocumented(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{
		APIUser: "api-user-of-test", APIKey: "api-key-of-test", SubscriptionKey: "subscription-key-of-test", Target: "mtnivorycoast",
		Processing: -1, CallbackHost: "pay.example.com",
	}}, func(c *config.Provider) { c.CallbackURL = "https://pay.example.com/webhooks/payouts/lebenis/mtn/" })
	tr := transferOf(uuid.NewSHA1(uuid.NameSpaceURL, []byte("p")).String(), 24000)
	tr.Description = "l'argent"
	if res := r.Submit(t.Context(), tr); res.Class != provider.Accepted || res.Alarm != "" {
		t.Fatalf("got %+v", res)
	}
	f, err := r.Lookup(t.Context(), tr)
	if err != nil || !f.Exists || f.Result.Class != provider.Succeeded || f.Result.ProviderID == "" || f.Amount == nil || *f.Amount != tr.Amount ||
		"+"+f.Destination != tr.Destination {
		t.Fatalf("lookup: %+v, %v", f, err)
	}
	if e := r.entry(t, tr.Reference); e.Moved != 1 || e.Requests != 1 || e.Peer != "2250500000101" {
		t.Errorf("book: %+v", e)
	}
	if r.calls("token") != 1 {
		t.Errorf("%d tokens for two calls", r.calls("token"))
	}
}

func TestANumberThatIsNoneIsNotSent(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for _, wallet := range []string{"", "+", "0500000101", "+0500000101", "+22505000001 01", "+225", "+22505000001010000", "+225٠٥"} {
		tr := transferOf("ref-1", 24000)
		tr.Destination = wallet
		if res := r.Submit(t.Context(), tr); res.Class != provider.RejectedFinal || res.Scope != provider.ScopePayee || r.calls("transfer") != 0 {
			t.Errorf("%q: %+v", wallet, res)
		}
	}
}

// 409 proves that the transfer exists: its state is what counts, and a transfer that is not ours is for people.
func TestADuplicateIsFollowedAndNeverAFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   provider.Class
		resend provider.Class // when it was sent again
		alarm  bool
	}{
		"paid":            {200, string(said("ref-1", "SUCCESSFUL", "")), provider.Succeeded, provider.Succeeded, false},
		"pending":         {200, string(said("ref-1", "PENDING", "")), provider.Accepted, provider.Accepted, false},
		"failed":          {200, string(said("ref-1", "FAILED", `,"reason":"EXPIRED"`)), provider.RejectedRetryable, provider.Ambiguous, false},
		"unknown word":    {200, string(said("ref-1", "ONGOING", "")), provider.Accepted, provider.Accepted, true},
		"another's":       {200, string(said("ref-2", "SUCCESSFUL", "")), provider.Ambiguous, provider.Ambiguous, false},
		"another amount":  {200, strings.Replace(string(said("ref-1", "FAILED", "")), "24000", "23999", 1), provider.Ambiguous, provider.Ambiguous, true},
		"another payee":   {200, strings.Replace(string(said("ref-1", "FAILED", "")), "0000101", "0000102", 1), provider.Ambiguous, provider.Ambiguous, true},
		"not found":       {404, `{"code":"RESOURCE_NOT_FOUND"}`, provider.Ambiguous, provider.Ambiguous, false},
		"not to be asked": {503, ``, provider.Ambiguous, provider.Ambiguous, false},
	} {
		a := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusConflict)
				_, _ = w.Write([]byte(`{"code":"RESOURCE_ALREADY_EXIST","message":"Duplicated reference id."}`))
				return
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		for resend, want := range map[bool]provider.Class{false: c.want, true: c.resend} {
			tr := transferOf("ref-1", 24000)
			tr.Resend = resend
			if res := a.Submit(t.Context(), tr); res.Class != want || (res.Alarm != "") != c.alarm {
				t.Errorf("%s, resend %v: got %+v, want %s", name, resend, res, want)
			}
		}
	}
}

// A refused token is renewed once; when the next one is refused too, the connector stops. A 401 that is not MTN's own has no
// transfer sent again: it may hide an acceptance.
func TestTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		transfers int64
		class     provider.Class
	}{
		`{"message":"Access denied. The token is invalid or has expired."}`: {2, provider.RejectedRetryable},
		``:       {1, provider.Ambiguous},
		`<html>`: {1, provider.Ambiguous},
	} {
		var transfers atomic.Int64
		a := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			transfers.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(body))
		})
		if res := a.Submit(t.Context(), transferOf("ref-1", 24000)); !res.Stop || res.Scope != provider.ScopeProvider || res.Class != want.class || transfers.Load() != want.transfers {
			t.Errorf("%q: got %+v after %d transfers", body, res, transfers.Load())
		}
	}
}

func TestNothingIsSentWithoutAToken(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany, simulator.NotSubscribed, simulator.NotActivated} {
		r := newRig(t, simulator.Config{})
		plan(t, r.sim, simulator.Rule{Operation: "token", Fault: fault})
		res := r.Submit(t.Context(), transferOf("ref-1", 24000))
		want := provider.NotSent
		if fault == simulator.NotSubscribed {
			want = provider.RejectedRetryable
		}
		if res.Class != want || r.calls("transfer") != 0 || res.Stop != (fault == simulator.NotSubscribed) || res.SlowDown != (fault == simulator.TooMany) {
			t.Errorf("%s: got %+v after %d transfers", fault, res, r.calls("transfer"))
		}
	}
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{APIKey: "another"}})
	if res := r.Submit(t.Context(), transferOf("ref-1", 24000)); !res.Stop || res.Code != "credentials_refused" || r.calls("transfer") != 0 {
		t.Errorf("wrong credentials: got %+v", res)
	}
}

// Numbers as texts and texts as numbers are read alike.
func TestCarelessTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{Processing: -1}})
	plan(t, r.sim, simulator.Rule{Operation: "token", Fault: simulator.WrongShape}, simulator.Rule{Operation: "status", Fault: simulator.WrongShape},
		simulator.Rule{Operation: "balance", Fault: simulator.WrongShape})
	tr := transferOf("ref-1", 24000)
	r.Submit(t.Context(), tr)
	f, err := r.Lookup(t.Context(), tr)
	if err != nil || f.Result.Class != provider.Succeeded || f.Amount == nil || *f.Amount != tr.Amount || f.Result.ProviderID == "" {
		t.Errorf("got %+v, %v", f, err)
	}
	if b, err := r.Balance(t.Context()); err != nil || b.Currency != "XOF" {
		t.Errorf("balance %+v, %v", b, err)
	}
}

func TestUnknownStatusIsPendingAndAlarms(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{Processing: -1}})
	plan(t, r.sim, simulator.Rule{Operation: "status", Fault: simulator.UnknownStatus, Message: "SETTLED FOR 2250500000101 api-key-of-test"})
	tr := transferOf("ref-1", 24000)
	r.Submit(t.Context(), tr)
	f, err := r.Lookup(t.Context(), tr)
	if err != nil || f.Result.Class != provider.Accepted || f.Result.Alarm == "" {
		t.Errorf("got %+v, %v", f, err)
	}
	if text := f.Result.Alarm + f.Result.ProviderCode; strings.Contains(text, "0000101") || strings.Contains(text, "api-key") {
		t.Errorf("personal or secret: %q", text)
	}
}

func TestBalance(t *testing.T) {
	t.Parallel()
	float := int64(50_000)
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{Float: &float, Processing: -1}})
	r.Submit(t.Context(), transferOf("ref-1", 24000))
	if b, err := r.Balance(t.Context()); err != nil || b != (money.Amount{Minor: 26_000, Currency: "XOF"}) {
		t.Errorf("got %+v, %v", b, err)
	}
	for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany, simulator.NotSubscribed, simulator.NotActivated} {
		plan(t, r.sim, simulator.Rule{Operation: "balance", Fault: fault})
		if b, err := r.Balance(t.Context()); err == nil {
			t.Errorf("%s was read as %+v", fault, b)
		}
	}
}

// A name that MTN does not tell is unknown, which is neither a match nor an unanswered question.
func TestNamesThatAreNotTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for _, rule := range []simulator.Rule{{Fault: simulator.NotSubscribed}, {Fault: simulator.ServerErrorBefore, Status: 500}} {
		rule.Operation = "userinfo"
		plan(t, r.sim, rule)
		if got, err := r.VerifyRecipient(t.Context(), "+2250500000101", "Awa Koné", money.Amount{}); err == nil {
			t.Errorf("%s was read as %+v", rule.Fault, got)
		}
	}
	a := answering(t, func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/active") {
			_, _ = w.Write([]byte(`{"result":true}`))
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"code":"NOT_ALLOWED"}`))
	})
	if got, err := a.VerifyRecipient(t.Context(), "+2250500000101", "Awa Koné", money.Amount{}); err != nil || got != (provider.Recipient{Receives: true, Name: provider.NameUnknown}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCompareNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ours, theirs string
		want         provider.NameMatch
	}{
		{"Awa Koné", "KONE AWA", provider.NameMatches},
		{"Awa Koné", "Kone Awa Mariam", provider.NameMatches},
		{"Kouassi-Yao Jean", "YAO KOUASSI JEAN", provider.NameMatches},
		{"Awa", "AWA", provider.NameMatches},
		{"Koné", "Awa Koné", provider.NamePartly},
		{"Awa Koné", "Koné Ibrahim", provider.NamePartly},
		{"Koné Koné", "Koné Ibrahim", provider.NamePartly},
		{"Awa Koné", "Yao Kouassi", provider.NameDiffers},
		{"Awa", "Awatif", provider.NameDiffers},
		{"", "Awa", provider.NameUnknown},
		{"Awa", " 42 ", provider.NameUnknown},
	} {
		if got := compareNames(c.ours, c.theirs); got != c.want {
			t.Errorf("%q and %q: %s, want %s", c.ours, c.theirs, got, c.want)
		}
		if there, back := compareNames(c.ours, c.theirs), compareNames(c.theirs, c.ours); there != back {
			t.Errorf("%q and %q: %s one way, %s the other", c.ours, c.theirs, there, back)
		}
	}
}

func TestCallbackNeedsTheSecretOfTheAddress(t *testing.T) {
	t.Parallel()
	a := New(configure("http://127.0.0.1:1"), clock.Real())
	for given, want := range map[string]bool{callbackKey: true, "": false, "x": false, callbackKey + "x": false} {
		refs, err := a.Verify(http.Header{provider.AddressKey: {given}}, said("ref-1", "SUCCESSFUL", ""))
		if ok := err == nil && len(refs) == 1 && refs[0] == "ref-1"; ok != want {
			t.Errorf("%q: %v, %v", given, refs, err)
		}
	}
	open := New(configure("http://127.0.0.1:1", func(c *config.Provider) { c.CallbackKey = "" }), clock.Real())
	for _, given := range []string{"", "x"} {
		if _, err := open.Verify(http.Header{provider.AddressKey: {given}}, said("ref-1", "SUCCESSFUL", "")); !errors.Is(err, provider.ErrForged) {
			t.Errorf("without a secret nobody may be let in: %v", err)
		}
	}
}

// A callback is understood when it says all of its transfer, and not at all otherwise.
func TestCallbackIsUnderstoodWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	a := New(configure("http://127.0.0.1:1"), clock.Real())
	whole := string(said("ref-1", "SUCCESSFUL", ""))
	got := a.Read([]byte(whole))["ref-1"]
	if !got.Exists || got.Result.Class != provider.Succeeded || got.Result.ProviderID != "1" || got.Destination != "2250500000101" ||
		got.Amount == nil || *got.Amount != (money.Amount{Minor: 24000, Currency: "XOF"}) {
		t.Errorf("%s\nis read as %+v", whole, got)
	}
	for _, part := range []string{`"externalId":"ref-1",`, `"amount":"24000",`, `"currency":"XOF",`, `,"partyId":"2250500000101"`, `,"status":"SUCCESSFUL"`} {
		if got := a.Read([]byte(strings.Replace(whole, part, "", 1))); len(got) != 0 {
			t.Errorf("without %s: read as %+v", part, got)
		}
	}
}
