package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/agogopay/agogo/simulator"
)

func TestTokenRequestsAreHeldToTheDocumentation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"good":               {nil, ""},
		"no accept":          {func(r *http.Request) { r.Header.Del("Accept") }, "406/62"},
		"accept anything":    {func(r *http.Request) { r.Header.Set("Accept", "*/*") }, "406/62"},
		"json body":          {func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, "415/68"},
		"no credentials":     {func(r *http.Request) { r.Header.Del("Authorization") }, "401/40"},
		"another's":          {func(r *http.Request) { r.SetBasicAuth("client", "guess") }, "401/41"},
		"another grant type": {func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, "400/24"},
		"older path":         {func(r *http.Request) { r.URL.Path = "/oauth/v2/token" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, simulator.Config{Orange: simulator.OrangeConfig{ClientID: "client", ClientSecret: "secret"}})
			if got := saw(w.token(c.change)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestExpiresInIsANumberAndAString(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	var seen []string
	for range 4 {
		var token struct {
			ExpiresIn json.RawMessage `json:"expires_in"`
		}
		w.want(w.token(nil), http.StatusOK, &token)
		seen = append(seen, string(token.ExpiresIn))
	}
	if got := fmt.Sprint(seen); got != `[3600 "3600" 3600 "3600"]` {
		t.Error(got)
	}
}

func TestTokenEndpointAllowsFiftyAMinute(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	for i := range 50 {
		if r := w.token(nil); r.status != 200 {
			t.Fatalf("request %d: %s", i, saw(r))
		}
	}
	if got := saw(w.token(nil)); got != "429/53" {
		t.Errorf("request 51: %s", got)
	}
	w.clock.advance(time.Minute)
	if got := saw(w.token(nil)); got != "" {
		t.Errorf("a minute later: %s", got)
	}
}

func TestTokensExpireAndSurviveARestart(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{Seed: 7})
	again := start(t, simulator.Config{Seed: 7})
	again.bearer, again.forms = w.bearer, w.forms
	if got := saw(again.cashin("ref-1", peer, amount)); got != "SUCCESS" {
		t.Errorf("after a restart: %s", got)
	}
	stranger := start(t, simulator.Config{Seed: 8})
	stranger.bearer = w.bearer
	if got := saw(stranger.lookup("ref-1")); got != "401/41" {
		t.Errorf("at another provider: %s", got)
	}
	w.clock.advance(time.Hour)
	if got := saw(w.lookup("ref-1")); got != "401/42" {
		t.Errorf("an hour later: %s", got)
	}
	w.bearer = ""
	if got := saw(w.lookup("ref-1")); got != "401/40" {
		t.Errorf("without a token: %s", got)
	}
}

func TestAWithdrawnTokenStaysWithdrawn(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Unauthorized})
	for range 2 {
		if got := saw(w.cashin("ref-1", peer, amount)); got != "401/42" {
			t.Errorf("with the withdrawn token: %s", got)
		}
	}
	w.login()
	if got := saw(w.cashin("ref-1", peer, amount)); got != "SUCCESS" {
		t.Errorf("with a new one: %s", got)
	}
}

func TestFormsTokenIsRequired(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	body := cashinBody("ref-1", peer, amount)
	for name, header := range map[string]map[string]string{
		"none":              nil,
		"no version":        {"x-omr-forms-token": w.forms},
		"an old version":    {"x-omr-forms-token": w.forms, "x-omr-forms-version": "1.1"},
		"the wrong token":   {"x-omr-forms-token": w.bearer, "x-omr-forms-version": "1.2"},
		"a made-up token":   {"x-omr-forms-token": "AAAA", "x-omr-forms-version": "1.2"},
		"a token cut short": {"x-omr-forms-token": w.forms[:20], "x-omr-forms-version": "1.2"},
	} {
		if got := saw(w.call("POST", base+"/transactions/cashin", body, header)); got != "400/26" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := saw(w.call("GET", base+"/forms/cashin", "", nil)); got != "400/26" {
		t.Errorf("forms without services: %s", got)
	}
	lenient := ready(t, simulator.Config{Orange: simulator.OrangeConfig{SkipForms: true}})
	if got := saw(lenient.call("POST", base+"/transactions/cashin", body, nil)); got != "SUCCESS" {
		t.Errorf("where forms are skipped: %s", got)
	}
}

func TestFaultsOfTheOtherOperations(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"token", "services", "forms", "lookup"} {
		for fault, want := range map[simulator.Fault]string{
			simulator.ServerErrorBefore: "503/5", simulator.ResetBefore: "reset", simulator.Garbage: "garbage",
			simulator.TooMany: "429/53", simulator.NotSubscribed: "403/50", simulator.NotActivated: "404/60", simulator.Unauthorized: "401/42",
		} {
			t.Run(operation+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				w := ready(t, simulator.Config{})
				// On a connection that was used before, net/http itself repeats a GET that was cut.
				w.client.Transport.(*http.Transport).DisableKeepAlives = true
				w.cashin("ref-1", peer, amount)
				rule := simulator.Rule{Provider: simulator.Orange, Operation: operation, Fault: fault, Times: 1, RetryAfter: 1500 * time.Millisecond}
				if err := w.sim.AddRule(rule); err != nil {
					t.Fatal(err)
				}
				ask := map[string]func() reply{
					"token":    func() reply { return w.token(nil) },
					"services": func() reply { return w.call("GET", base+"/services", "", nil) },
					"forms":    func() reply { return w.call("GET", base+"/forms/cashin", "", nil) },
					"lookup":   func() reply { return w.lookup("ref-1") },
				}[operation]
				r := ask()
				if got := saw(r); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if fault == simulator.TooMany && r.header.Get("Retry-After") != "2" {
					t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
				}
				w.login() // the rule is used up: everything works again
			})
		}
	}
}

func TestLookupRules(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{},
		simulator.Rule{Provider: simulator.Orange, Operation: "lookup", Match: simulator.Match{Reference: "blind"}, Fault: simulator.LookupBlind, Duration: time.Minute},
		simulator.Rule{Provider: simulator.Orange, Operation: "lookup", Match: simulator.Match{Peer: "0700000102"}, Fault: simulator.LookupBlind, Times: 2},
		simulator.Rule{Provider: simulator.Orange, Operation: "lookup", Match: simulator.Match{Reference: "odd*"}, Fault: simulator.UnknownStatus, Message: "MAYBE", Times: 1})
	w.cashin("blind", peer, amount)
	w.cashin("twice", "0700000102", amount)
	w.cashin("odd-1", "0700000103", amount)
	for _, c := range []struct{ reference, want string }{
		{"blind", "404/60"},
		{"twice", "404/60"},
		{"twice", "404/60"},
		{"twice", "SUCCESS"},
		{"odd-1", "MAYBE"},
		{"odd-1", "SUCCESS"},
		{"nobody", "404/60"},
	} {
		if got := saw(w.lookup(c.reference)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.reference, got, c.want)
		}
	}
	w.clock.advance(time.Minute)
	if got := saw(w.lookup("blind")); got != "SUCCESS" {
		t.Errorf("a minute later: %s", got)
	}
}

func TestPathsThatAreNotThere(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	for _, c := range [][2]string{{"GET", base + "/transactions"}, {"POST", base + "/transactions/bulk"}, {"DELETE", base + "/transactions/x"}, {"GET", "/oauth/v3/token"}} {
		if got := saw(w.call(c[0], c[1], "", nil)); got != "404/60" {
			t.Errorf("%s %s: %s", c[0], c[1], got)
		}
	}
}
