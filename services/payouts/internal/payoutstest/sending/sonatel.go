package sending

import (
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangesonatel"
	"github.com/agogopay/agogo/simulator"
)

// SonatelPIN is the PIN of the account that pays at Sonatel, and Retailer its number.
const (
	SonatelPIN = "864213"
	Retailer   = "770000000"
)

// Sonatel is Orange Money Senegal.
func Sonatel() Kind {
	return Kind{
		Name: "sonatel", Simulated: simulator.Sonatel, Pay: "cashin", Ask: "search",
		Elsewhere: func(peer string) (country, local string) { return "221", "77" + peer[len(peer)-7:] },
		Configure: func(url string, c *config.Provider) {
			c.Kind, c.BaseURL, c.TokenURL = orangesonatel.Kind, url+"/sonatel", url+"/sonatel/oauth/v1/token"
			c.ClientID, c.ClientSecret, c.RetailerNumber, c.PIN = "client", "secret", Retailer, SonatelPIN
			c.CallbackKey, c.CallbackSecret = "callback-key", "callback-secret"
			c.Timeout = 30 * time.Second // the simulator makes its key with the first payment
		},
		New: func(c config.Provider, clk clock.Clock) connector.Adapter { return orangesonatel.New(c, clk) },
	}
}

// SonatelAccount sets the account that pays up as the tenant has it.
func SonatelAccount(c *simulator.Config) {
	c.Sonatel.TokensPerMinute, c.Sonatel.Retailer, c.Sonatel.PIN = -1, Retailer, SonatelPIN
}
