package adapter_test

import (
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/mtnmomo"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangeomr"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
)

func TestConnectorsOfTenantsWithPayouts(t *testing.T) {
	t.Parallel()
	providers := map[string]config.Provider{"orange": {Name: "orange", Kind: orangeomr.Kind}, "wave": {Name: "wave", Kind: wave.Kind}}
	file := &config.File{Tenants: []config.Tenant{
		{ID: "lebenis", Payouts: &config.Payouts{DefaultProvider: "orange"}, Providers: providers},
		{ID: "wallclub", Providers: providers},
	}}
	set, err := connector.Build(file, clock.Real(), adapter.Use())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(set.All()); n != len(providers) {
		t.Fatalf("%d connectors; a tenant without payouts has none", n)
	}
	if c, ok := set.Get("lebenis", "orange"); !ok || c.Submitter == nil || c.Lookuper == nil || c.Verifier == nil || c.Kind != orangeomr.Kind {
		t.Fatalf("got %+v", c)
	}
	if c, ok := set.Get("lebenis", "wave"); !ok || c.Submitter == nil || c.Lookuper == nil || c.Kind != wave.Kind {
		t.Fatalf("got %+v", c)
	} else if c.Verifier != nil {
		t.Error("Wave has no webhooks about payouts: an address for them would only take forgeries")
	}
	file.Tenants[0].Payouts.DefaultProvider = "stripe"
	if _, err := connector.Build(file, clock.Real(), adapter.Use()); err == nil {
		t.Error("a tenant whose default provider cannot pay out was accepted")
	}
}

// A tenant may pay through several providers at once, each with what it can do.
func TestConnectorOfMTN(t *testing.T) {
	t.Parallel()
	file := &config.File{Tenants: []config.Tenant{{
		ID: "lebenis", Payouts: &config.Payouts{DefaultProvider: "mtn"},
		Providers: map[string]config.Provider{"orange": {Name: "orange", Kind: orangeomr.Kind}, "mtn": {Name: "mtn", Kind: mtnmomo.Kind, Deduplicates: true}},
	}}}
	set, err := connector.Build(file, clock.Real(), adapter.Use())
	if err != nil || len(set.All()) != 2 {
		t.Fatalf("%d connectors, %v", len(set.All()), err)
	}
	if c, ok := set.Get("lebenis", "mtn"); !ok || c.Verifier == nil || c.Balance == nil || c.Proof != nil || !c.Policy.Deduplicates {
		t.Errorf("got %+v", c)
	}
}

// What the tenants file takes for verify_recipients is what the adapters can do, kind by kind.
func TestWhoIsAskedAboutWallets(t *testing.T) {
	t.Parallel()
	asked := map[string]bool{mtnmomo.Kind: true, wave.Kind: true}
	for kind := range adapter.Use().Kinds {
		p := config.Provider{Name: "p", Kind: kind, VerifyRecipients: config.VerifyMatch}
		file := &config.File{Tenants: []config.Tenant{{
			ID: "lebenis", Payouts: &config.Payouts{DefaultProvider: "p"}, Providers: map[string]config.Provider{"p": p},
		}}}
		set, err := connector.Build(file, clock.Real(), adapter.Use())
		if asked[kind] != (err == nil) {
			t.Errorf("%s with verify_recipients: %v", kind, err)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), "tenants[lebenis].providers.p.verify_recipients") {
				t.Errorf("%v does not name the key", err)
			}
			continue
		}
		if c, _ := set.Get("lebenis", "p"); c.Recipients == nil || c.Verify != config.VerifyMatch {
			t.Errorf("%s: nobody is asked", kind)
		}
	}
}
