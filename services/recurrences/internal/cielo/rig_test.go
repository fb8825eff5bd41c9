package cielo

import (
	"net"
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

const (
	merchantID    = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
	merchantKey   = "KEYOFTEST0KEYOFTEST1KEYOFTEST2KEYOFTEST3"
	webhookSecret = "secret of the webhook"
	okToken       = "tok_ok_of_the_test"
)

// rig is an adapter before a simulated gateway.
type rig struct {
	*Adapter
	sim *simulator.Simulator
	srv *httptest.Server
}

func settings(base, query string) config.Provider {
	return config.Provider{
		Name: "cielo", Kind: Kind, BaseURL: base, QueryURL: query, MerchantID: merchantID, MerchantKey: merchantKey,
		WebhookHeader: "X-Shop", WebhookSecret: webhookSecret, SoftDescriptor: "WALLCLUB", Timeout: 500 * time.Millisecond, Concurrency: 4,
	}
}

func newRig(t testing.TB, rules ...simulator.Rule) *rig {
	t.Helper()
	s, err := simulator.New(simulator.Config{Cielo: simulator.CieloConfig{MerchantID: merchantID, MerchantKey: merchantKey}})
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
	r := &rig{Adapter: New(settings(srv.URL+"/cielo", srv.URL+"/cielo-query/"), clock.Real()), sim: s, srv: srv}
	r.plan(t, rules...)
	return r
}

func (r *rig) plan(t testing.TB, rules ...simulator.Rule) {
	t.Helper()
	for i := range rules {
		rules[i].Provider = simulator.Cielo
		if rules[i].Operation == "" {
			rules[i].Operation = "sale"
		}
	}
	if err := r.sim.Plan(simulator.Plan{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

// entry is what the gateway's book knows of an order.
func (r *rig) entry(t testing.TB, order string) simulator.Entry {
	t.Helper()
	b, err := r.sim.Book(simulator.Cielo)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == order {
			return e
		}
	}
	return simulator.Entry{}
}

// up has somebody listen at the gateway's address again.
func (r *rig) up(t testing.TB) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", r.srv.Listener.Addr().String())
	if err != nil {
		return // it listens still
	}
	srv := httptest.NewUnstartedServer(r.sim)
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
}

func transfer(reference, brand, token string) provider.Transfer {
	return provider.Transfer{
		Tenant: "wallclub", Reference: reference, Amount: money.Amount{Minor: 4990, Currency: "BRL"}, Destination: brand + "/" + token,
	}
}

// stub is an adapter before a gateway that answers what it is told to.
func stub(t testing.TB, answer http.HandlerFunc) *Adapter {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	return New(settings(srv.URL, srv.URL+"/query"), clock.Real())
}

// says is a gateway whose every sale and every transaction is this one.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/query/1/sales") {
			_, _ = w.Write([]byte(`{"Payments":[{"PaymentId":"` + paymentID + `"}]}`))
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const paymentID = "0a0b0c0d-0000-4000-8000-000000000001"

// tells is the body of a transaction with a status and whatever else there is.
func tells(status, more string) string {
	return `{"MerchantOrderId":"ref1","Payment":{"PaymentId":"` + paymentID + `","Status":` + status + `,"Amount":4990` + more + `}}`
}
