package adapter_test

import (
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts/internal/adapter"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangeomr"
)

func file(p config.Provider, payouts *config.Payouts) *config.File {
	return &config.File{Tenants: []config.Tenant{
		{ID: "lebenis", Payouts: payouts, Providers: map[string]config.Provider{p.Name: p}},
		{ID: "wallclub", Providers: map[string]config.Provider{"cielo": {Name: "cielo", Kind: "cielo"}}},
	}}
}

func TestConnectorsOfTheFile(t *testing.T) {
	t.Parallel()
	p := config.Provider{Name: "orange", Kind: orangeomr.Kind, Timeout: 2 * time.Second, Concurrency: 8, RatePerSec: 50}
	set, err := adapter.Build(file(p, &config.Payouts{DefaultProvider: "orange"}), clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(set.All()); n != 1 {
		t.Fatalf("%d connectors; a tenant without payouts has none", n)
	}
	c, ok := set.Get("lebenis", "orange")
	if !ok || c.Submitter == nil || c.Lookuper == nil || c.Verifier == nil || c.Kind != orangeomr.Kind {
		t.Fatalf("got %+v", c)
	}
	if c.Policy.Lease <= 2*c.Policy.Timeout || c.Policy.Margin <= 0 || len(c.Policy.LookupAfter) == 0 || len(c.RetryAfter) == 0 {
		t.Errorf("policy %+v, retries %v: what the file leaves out has a default", c.Policy, c.RetryAfter)
	}
	set.Share(4)
	if n, err := c.Throttle.Slots(t.Context(), 100); err != nil || n != 2 {
		t.Errorf("a quarter of 8 slots is %d (%v)", n, err)
	}
}

func TestDefaultProviderThatCannotPay(t *testing.T) {
	t.Parallel()
	_, err := adapter.Build(file(config.Provider{Name: "orange", Kind: "fax"}, &config.Payouts{DefaultProvider: "orange"}), clock.Real())
	if err == nil {
		t.Error("a tenant whose default provider has no adapter was accepted")
	}
}
