package payouts_test

import (
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts"
)

// A process that runs must not end for a file that the next one would refuse.
func TestCheckAsksWhatTheServiceAsks(t *testing.T) {
	t.Parallel()
	closes := config.Tenant{ID: "lebenis", Schedules: []config.Schedule{{Name: "close", Job: "payouts/close"}}}
	cannot := config.Tenant{
		ID: "lebenis", Payouts: &config.Payouts{DefaultProvider: "cards"},
		Providers: map[string]config.Provider{"cards": {Name: "cards", Kind: "cielo"}},
	}
	for want, tenant := range map[string]config.Tenant{"no key to sign reports": closes, "cannot pay out": cannot} {
		if err := payouts.Check(&config.File{Tenants: []config.Tenant{tenant}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := payouts.Check(&config.File{Tenants: []config.Tenant{{ID: "lebenis"}}}); err != nil {
		t.Error(err)
	}
}
