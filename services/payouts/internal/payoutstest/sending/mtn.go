package sending

import (
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/mtnmomo"
	"github.com/agogopay/agogo/simulator"
)

// CallbackKey is the secret at the end of the address that MTN is given.
const CallbackKey = "callback-key-of-test-0123456789-X"

// MTN is MTN MoMo.
func MTN() Kind {
	return Kind{
		Name: "mtn", Simulated: simulator.MTN, Pay: "transfer", Ask: "status", Prefix: "225",
		Configure: func(url string, c *config.Provider) {
			c.Kind, c.BaseURL, c.TargetEnvironment, c.Deduplicates = mtnmomo.Kind, url+"/disbursement", "mtnivorycoast", true
			c.APIUser, c.APIKey, c.SubscriptionKey, c.CallbackKey = "user", "key", "subscription", CallbackKey
		},
		New:    func(c config.Provider, clk clock.Clock) connector.Adapter { return mtnmomo.New(c, clk) },
		Theirs: func(reference string) string { return reference[:14] + "4" + reference[15:] }, // a UUID of version 4
	}
}
