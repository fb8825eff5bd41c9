package sending

import (
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
	"github.com/agogopay/agogo/simulator"
)

// What Wave's adapter has in an environment.
const (
	WaveKey    = "wave_ci_test_0123456789"
	WaveSecret = "wave_ci_AKS_secret"
)

// Wave is Wave's business payouts; a repeated reference is paid once.
func Wave() Kind {
	return Kind{
		Name: "wave", Simulated: simulator.Wave, Pay: "payout", Ask: "search", Prefix: "+225",
		Configure: func(url string, c *config.Provider) {
			c.Kind, c.BaseURL, c.APIKey, c.SigningSecret, c.Deduplicates = wave.Kind, url+"/wave", WaveKey, WaveSecret, true
		},
		New: func(c config.Provider, clk clock.Clock) connector.Adapter { return wave.New(c, clk) },
	}
}
