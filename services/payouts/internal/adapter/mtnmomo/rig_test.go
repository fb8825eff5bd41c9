package mtnmomo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

const callbackKey = "callback-key-of-test-0123456789-X"

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
	return &rig{Adapter: New(configure(srv.URL, change...), clock.Real()), sim: s, srv: srv}
}

func configure(url string, change ...func(*config.Provider)) config.Provider {
	c := config.Provider{
		Name: "mtn", Kind: Kind, BaseURL: url + "/disbursement", APIUser: "api-user-of-test", APIKey: "api-key-of-test",
		SubscriptionKey: "subscription-key-of-test", TargetEnvironment: "mtnivorycoast", CallbackKey: callbackKey,
		Timeout: 30 * time.Second, Concurrency: 4, Deduplicates: true,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// answering is an adapter before somebody who gives out tokens and answers everything else with one answer.
func answering(t testing.TB, answer func(w http.ResponseWriter, r *http.Request)) *Adapter {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/disbursement/token/" {
			_, _ = w.Write([]byte(`{"access_token":"t","token_type":"access_token","expires_in":3600}`))
			return
		}
		answer(w, r)
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return New(configure(srv.URL), clock.Real())
}

func transferOf(reference string, minor int64) provider.Transfer {
	return provider.Transfer{
		Tenant: "lebenis", Reference: reference, Amount: money.Amount{Minor: minor, Currency: "XOF"}, Destination: "+2250500000101",
		Description: "payout 2025-01-24",
	}
}

// entry is what the provider's book has of one of our references.
func (r *rig) entry(t testing.TB, reference string) simulator.Entry {
	t.Helper()
	b, err := r.sim.Book(simulator.MTN)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == referenceID(reference) {
			return e
		}
	}
	return simulator.Entry{}
}

func (r *rig) calls(operation string) (n int64) {
	for _, c := range r.sim.Calls() {
		if c.Operation == operation {
			n += c.Calls
		}
	}
	return n
}

func plan(t testing.TB, s *simulator.Simulator, rules ...simulator.Rule) {
	t.Helper()
	for i := range rules {
		rules[i].Provider = simulator.MTN
	}
	if err := s.Plan(simulator.Plan{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

// said is a status or a callback in MTN's words.
func said(reference, status, more string) []byte {
	return fmt.Appendf(nil, `{"amount":"24000","currency":"XOF","financialTransactionId":"1","externalId":%q,`+
		`"payee":{"partyIdType":"MSISDN","partyId":"2250500000101"},"status":%q%s}`, reference, status, more)
}
