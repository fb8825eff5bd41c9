// Package adapter lists the kinds of providers that payouts know; each has a package of its own below.
package adapter

import (
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/mtnmomo"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangeomr"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangesonatel"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
)

// Use says for which tenants connectors are built, and of which kinds. Adding a provider is a package and a line here.
func Use() connector.Use {
	return connector.Use{
		Kinds: map[string]func(config.Provider, clock.Clock) connector.Adapter{
			mtnmomo.Kind:       func(c config.Provider, clk clock.Clock) connector.Adapter { return mtnmomo.New(c, clk) },
			wave.Kind:          func(c config.Provider, clk clock.Clock) connector.Adapter { return wave.New(c, clk) },
			orangeomr.Kind:     func(c config.Provider, clk clock.Clock) connector.Adapter { return orangeomr.New(c, clk) },
			orangesonatel.Kind: func(c config.Provider, clk clock.Clock) connector.Adapter { return orangesonatel.New(c, clk) },
		},
		Serves: func(t config.Tenant) (byDefault string, ok bool) {
			if t.Payouts == nil {
				return "", false
			}
			return t.Payouts.DefaultProvider, true
		},
		Verb: "pay out",
	}
}
