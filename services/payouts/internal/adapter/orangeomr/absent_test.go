package orangeomr

import (
	"errors"
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

// 404 code 60 is also what an application gets that the service is not activated for. Then "not found" is said of everything,
// of what was paid too, and must not pass for an answer.
func TestNotFoundIsAbsentOnlyWhileTheServiceIsActivated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		off    []string // operations that the service is not activated for
		forms  bool     // the contract has the forms step
		absent bool
	}{
		"unknown":                             {forms: true, absent: true},
		"unknown, without forms":              {absent: true},
		"the whole service is off":            {off: []string{"lookup", "services", "forms"}, forms: true},
		"cash-in is off":                      {off: []string{"lookup", "forms"}, forms: true},
		"the service is off, without forms":   {off: []string{"lookup", "services"}},
		"forms are off where nobody has them": {off: []string{"lookup", "forms"}, absent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Config{Orange: simulator.OrangeConfig{SkipForms: !c.forms}}, func(p *config.Provider) { p.FormsStep = c.forms })
			if res := r.Submit(t.Context(), transfer("paid", 24000)); res.Class != provider.Succeeded {
				t.Fatalf("got %+v", res)
			}
			var rules []simulator.Rule
			for _, operation := range c.off {
				rules = append(rules, simulator.Rule{Provider: simulator.Orange, Operation: operation, Fault: simulator.NotActivated})
			}
			plan(t, r.sim, rules...)
			reference := "paid"
			if c.absent {
				reference = "never heard of"
			}
			f, err := r.Lookup(t.Context(), transfer(reference, 24000))
			if f.Exists || (err == nil) != c.absent {
				t.Errorf("%s: got %+v, %v", reference, f, err)
			}
		})
	}
}

// A refusal of us, at whatever step, leaves a reference that may have arrived before what it is: not sent now, never
// rejected, for a rejection would have the money sent again under the next one.
func TestARefusalOfUsKeepsTheReferenceOfAResend(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"token", "services", "forms", "cashin"} {
		for _, fault := range []simulator.Fault{simulator.NotActivated, simulator.NotSubscribed} {
			for _, resend := range []bool{false, true} {
				r := newRig(t, simulator.Config{Orange: simulator.OrangeConfig{TokensPerMinute: -1}})
				plan(t, r.sim, simulator.Rule{Provider: simulator.Orange, Operation: operation, Fault: fault})
				tr := transfer("ref-1", 24000)
				tr.Resend = resend
				want := provider.RejectedRetryable
				if resend {
					want = provider.NotSent
				}
				if res := r.Submit(t.Context(), tr); res.Class != want || !res.Stop {
					t.Errorf("%s of %s, resend %v: got %+v", fault, operation, resend, res)
				}
			}
		}
	}
}

// Whatever a repetition is refused with, the first call may have paid: a lookup decides, never the refusal.
func TestARefusedRepetitionProvesNothing(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"Transaction already processed", "Solde insuffisant", "Transaction identique."} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch {
			case strings.HasSuffix(req.URL.Path, "/token"):
				_, _ = w.Write([]byte(`{"access_token":"t","expires_in":3600}`))
			case strings.HasSuffix(req.URL.Path, "/services"):
				_, _ = w.Write([]byte(`{"services":[],"token":{"value":"s","expiresIn":3600}}`))
			default:
				_, _ = w.Write([]byte(`{"transactionId":"ref-1","status":"FAILED","message":"` + message + `"}`))
			}
		}))
		t.Cleanup(srv.Close)
		a := New(config.Provider{BaseURL: srv.URL, TokenURL: srv.URL + "/token", Timeout: time.Second}, clock.Real())
		tr := transfer("ref-1", 24000)
		tr.Resend = true
		if res := a.Submit(t.Context(), tr); res.Class != provider.Ambiguous {
			t.Errorf("%q: got %+v", message, res)
		}
	}
}

// A question about the activation answers for all lookups whose answers came before it, and for none that came after.
func TestActivationIsAskedAfterTheAnswer(t *testing.T) {
	t.Parallel()
	var p activation
	asked := 0
	ask := func() error { asked++; return nil }
	for range 2 {
		if err := p.prove(ask); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times for answers that came one after the other", asked)
	}
	off := errors.New("off")
	if err := p.prove(func() error { return off }); !errors.Is(err, off) {
		t.Errorf("an older proof answers for a later lookup: %v", err)
	}
}
