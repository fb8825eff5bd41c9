package adapter_test

import (
	"testing"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangeomr"
)

func TestConnectorsOfTenantsWithPayouts(t *testing.T) {
	t.Parallel()
	orange := map[string]config.Provider{"orange": {Name: "orange", Kind: orangeomr.Kind}}
	file := &config.File{Tenants: []config.Tenant{
		{ID: "lebenis", Payouts: &config.Payouts{DefaultProvider: "orange"}, Providers: orange},
		{ID: "wallclub", Providers: orange},
	}}
	set, err := connector.Build(file, clock.Real(), adapter.Use())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(set.All()); n != 1 {
		t.Fatalf("%d connectors; a tenant without payouts has none", n)
	}
	if c, ok := set.Get("lebenis", "orange"); !ok || c.Submitter == nil || c.Lookuper == nil || c.Verifier == nil || c.Kind != orangeomr.Kind {
		t.Fatalf("got %+v", c)
	}
	file.Tenants[0].Payouts.DefaultProvider = "stripe"
	if _, err := connector.Build(file, clock.Real(), adapter.Use()); err == nil {
		t.Error("a tenant whose default provider cannot pay out was accepted")
	}
}
