package orangeomr

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

// in makes a rig of a country.
func in(t *testing.T, segment string, change ...func(*config.Provider)) *rig {
	t.Helper()
	return newRig(t, simulator.Config{}, append([]func(*config.Provider){func(c *config.Provider) {
		c.BaseURL = strings.TrimSuffix(c.BaseURL, "/ci") + "/" + segment
	}}, change...)...)
}

func national(c *config.Provider) { c.MSISDNFormat = "national" }

// Each documented country is paid in its own money, to its own numbers, written as its people's wallets are.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		segment  string
		change   func(*config.Provider)
		to       string
		currency money.Currency
		minor    int64
		peer     string
		amount   int64
		refused  string // code, "" is paid
	}{
		"Côte d'Ivoire":                {"ci", nil, "+2250700000101", "XOF", 24000, "0700000101", 24000, ""},
		"Côte d'Ivoire, as dialled":    {"ci", national, "+2250700000101", "XOF", 24000, "0700000101", 24000, ""},
		"Guinea":                       {"gn", nil, "+224620000101", "GNF", 500000, "620000101", 500000, ""},
		"Congo":                        {"cd", nil, "+243800000101", "CDF", 2400000, "800000101", 24000, ""},
		"Congo, as dialled":            {"cd", national, "+243800000101", "CDF", 2400000, "0800000101", 24000, ""},
		"the sandbox is nobody's":      {"sx", nil, "+2250700000101", "XOF", 24000, "0700000101", 24000, ""},
		"the sandbox takes any money":  {"sx", nil, "+224620000101", "GNF", 24000, "620000101", 24000, ""},
		"an Ivorian number in Guinea":  {"gn", nil, "+2250700000101", "GNF", 24000, "", 0, "wallet_of_another_country"},
		"a Guinean number in Ivory":    {"ci", nil, "+224620000101", "XOF", 24000, "", 0, "wallet_of_another_country"},
		"Guinean francs in Ivory":      {"ci", nil, "+2250700000101", "GNF", 24000, "", 0, "currency_not_served"},
		"no number":                    {"ci", nil, "0700000101", "XOF", 24000, "", 0, "wallet_number_invalid"},
		"money that a contract names":  {"cd", func(c *config.Provider) { c.Currency = "USD" }, "+243800000101", "CDF", 24000, "", 0, "currency_not_served"},
		"a country that a key names":   {"sx", func(c *config.Provider) { c.Country = "ci" }, "+224620000101", "XOF", 24000, "", 0, "wallet_of_another_country"},
		"a country with its own money": {"ml", nil, "+22370000101", "XOF", 24000, "70000101", 24000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := in(t, c.segment)
			if c.change != nil {
				r = in(t, c.segment, c.change)
			}
			tr := transfer("ref-1", c.minor)
			tr.Destination, tr.Amount.Currency = c.to, c.currency
			res := r.Submit(t.Context(), tr)
			if c.refused != "" {
				if res.Class != provider.RejectedFinal || res.Code != c.refused || r.calls("cashin") != 0 {
					t.Errorf("got %+v after %d cash-ins", res, r.calls("cashin"))
				}
				return
			}
			b, err := r.sim.Book(simulator.Orange)
			if err != nil || len(b.Entries) != 1 || b.Entries[0].Peer != c.peer || b.Entries[0].Amount != c.amount || b.Entries[0].Currency != string(c.currency) {
				t.Fatalf("%+v: the book has %+v, %v", res, b.Entries, err)
			}
			f, err := r.Lookup(t.Context(), tr)
			if err != nil || f.Result.Class != provider.Succeeded || f.Amount == nil || *f.Amount != tr.Amount {
				t.Errorf("lookup: %+v, %v", f, err)
			}
		})
	}
}

// What the words of a contract mean is its own; the documented ones stand, and a word that nobody has explained is pending.
func TestStatusesOfAContract(t *testing.T) {
	t.Parallel()
	statuses := map[string]string{"EN_COURS": "pending", "PAYE": "succeeded", "REFUSE": "failed", "SUCCESS": "failed"}
	a := New(config.Provider{Statuses: statuses}, clock.Real())
	for word, want := range map[string]provider.Class{
		"EN_COURS": provider.Accepted, "PAYE": provider.Succeeded, "REFUSE": provider.RejectedFinal, "PENDING": provider.Accepted, "SUCCESS": provider.Succeeded, "INCONNU": provider.Accepted,
	} {
		res := a.classify(provider.Reply{Status: http.StatusOK, Sent: true, Body: fmt.Appendf(nil, `{"status":%q,"transactionId":"a"}`, word)}, provider.Transfer{Reference: "a"})
		if res.Class != want || (res.Alarm != "") != (word == "INCONNU") {
			t.Errorf("%s: got %+v", word, res)
		}
	}
}

// Where nobody asks whether the service is activated, "not found" is never taken for absence, and nothing else is asked.
func TestWithoutActivationCheckNothingIsAbsent(t *testing.T) {
	t.Parallel()
	r := in(t, "ci", func(c *config.Provider) { c.SkipActivationCheck = true })
	if f, err := r.Lookup(t.Context(), transfer("ref-none", 24000)); err == nil || f.Exists {
		t.Errorf("got %+v, %v", f, err)
	}
	if n := r.calls("services"); n != 0 {
		t.Errorf("asked %d times all the same", n)
	}
}

// An amount of a currency with decimals is written without those it does not need.
func TestAmountsAreWrittenShort(t *testing.T) {
	t.Parallel()
	for minor, want := range map[int64]string{2400000: `"amount":24000,`, 2400050: `"amount":24000.50,`} {
		var body strings.Builder
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.HasSuffix(req.URL.Path, "/token") {
				_, _ = w.Write([]byte(`{"access_token":"t","expires_in":3600}`))
				return
			}
			b := make([]byte, 4096)
			n, _ := req.Body.Read(b)
			body.Write(b[:n])
			_, _ = w.Write([]byte(`{"status":"SUCCESS"}`))
		}))
		a := New(config.Provider{BaseURL: srv.URL + "/v1/cd", TokenURL: srv.URL + "/token", Timeout: time.Second}, clock.Real())
		tr := transfer("ref-1", minor)
		tr.Destination, tr.Amount.Currency = "+243800000101", "CDF"
		a.Submit(t.Context(), tr)
		srv.Close()
		if !strings.Contains(body.String(), want) {
			t.Errorf("sent %s, want %s", &body, want)
		}
	}
}
