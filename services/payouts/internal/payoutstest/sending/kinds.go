package sending

import (
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangeomr"
	"github.com/agogopay/agogo/simulator"
)

// Kind is a provider kind as the environment needs it: its adapter, and its words in the simulator.
type Kind struct {
	Name      string // of the tenant's connector
	Simulated string // in the simulator's rules and books
	Pay, Ask  string // the simulator's operations for a send and for a lookup
	Prefix    string // what the provider writes before a payee's local number: "", "225", "+225"
	// Elsewhere makes of a payee's local number the one of a payee in another country, with that country's code; nil stays in 225.
	Elsewhere func(peer string) (country, local string)
	Configure func(url string, c *config.Provider)
	New       func(config.Provider, clock.Clock) connector.Adapter
	// Theirs is how the provider writes a reference of ours; nil where it takes it as it is.
	Theirs func(reference string) string
}

// Orange is Orange Money B2B, the kind that New takes.
func Orange() Kind {
	return Kind{
		Name: "orange", Simulated: simulator.Orange, Pay: "cashin", Ask: "lookup",
		Configure: func(url string, c *config.Provider) {
			c.Kind, c.BaseURL, c.TokenURL = orangeomr.Kind, url+"/orange-money-b2b/v1/ci", url+"/oauth/v3/token"
			c.ClientID, c.ClientSecret, c.PosID, c.CallbackAuthorization, c.FormsStep = "client", "secret", "pos", CallbackAuthorization, true
		},
		New: func(c config.Provider, clk clock.Clock) connector.Adapter { return orangeomr.New(c, clk) },
	}
}

// wallet is a payee's number in the kind's country.
func (k Kind) wallet(peer string) (country, local string) {
	if k.Elsewhere == nil {
		return "225", peer
	}
	return k.Elsewhere(peer)
}

// phone is the wallet of payee n as an import has it.
func (k Kind) phone(n int) string {
	country, local := k.wallet(Peer(n))
	return "+" + country + local
}
