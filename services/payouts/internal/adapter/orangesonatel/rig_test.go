package orangesonatel

import (
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

const (
	callbackKey    = "callback-key-of-test"
	callbackSecret = "callback-secret-of-test"
	retailer       = "770000000"
	pin            = "135792"
)

// rig is an adapter before a simulated provider.
type rig struct {
	*Adapter
	sim *simulator.Simulator
	srv *httptest.Server
}

func newRig(t testing.TB, change ...func(*simulator.Config, *config.Provider)) *rig {
	t.Helper()
	sc := simulator.Config{Sonatel: simulator.SonatelConfig{
		ClientID: "client-id-of-test", ClientSecret: "client-secret-of-test", Retailer: retailer, PIN: pin, TokensPerMinute: -1,
	}}
	c := config.Provider{
		Name: "sonatel", Kind: Kind, ClientID: "client-id-of-test", ClientSecret: "client-secret-of-test", RetailerNumber: retailer, PIN: pin,
		CallbackKey: callbackKey, CallbackSecret: callbackSecret, Timeout: 30 * time.Second, Concurrency: 4,
	}
	for _, f := range change {
		f(&sc, &c)
	}
	s, err := simulator.New(sc)
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
	c.BaseURL, c.TokenURL = srv.URL+"/sonatel", srv.URL+"/sonatel/oauth/v1/token"
	r := &rig{Adapter: New(c, clock.Real()), sim: s, srv: srv}
	// Making a key takes the simulator longer than a call may take here; it is no part of what is tried.
	if _, err := r.keys.Get(t.Context()); err != nil && len(change) == 0 {
		t.Fatal(err)
	}
	return r
}

// quick makes calls time out soon, once the simulator has its key.
func (r *rig) quick(d time.Duration) *rig {
	r.caller = provider.NewCaller(provider.CallerConfig{Timeout: d, Conns: 4})
	return r
}

func transfer(reference string, minor int64) provider.Transfer {
	return provider.Transfer{Tenant: "lebenis", Reference: reference, Amount: money.Amount{Minor: minor, Currency: "XOF"}, Destination: "+221770000101"}
}

func (r *rig) entry(t testing.TB, reference string) simulator.Entry {
	t.Helper()
	b, err := r.sim.Book(simulator.Sonatel)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == reference {
			return e
		}
	}
	return simulator.Entry{}
}

// calls counts the calls of an operation that had an outcome, any if none is named.
func (r *rig) calls(operation string, outcomes ...string) (n int64) {
	for _, c := range r.sim.Calls() {
		if c.Operation == operation && (len(outcomes) == 0 || c.Outcome == outcomes[0]) {
			n += c.Calls
		}
	}
	return n
}

func (r *rig) plan(t testing.TB, operation string, rules ...simulator.Rule) {
	t.Helper()
	for i := range rules {
		rules[i].Provider = simulator.Sonatel
		if rules[i].Operation == "" {
			rules[i].Operation = operation
		}
	}
	if err := r.sim.Plan(simulator.Plan{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

// down makes nobody listen at the provider's address; up has it listen there again.
func (r *rig) down() { r.srv.Close() }

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
