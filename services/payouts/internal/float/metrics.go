package float

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/telemetry"
)

// gauges are what the floats look like from outside, in the currency's unit, not in minor ones. What is not known is absent.
type gauges struct {
	balance, available, needed *prometheus.GaugeVec
	forecast                   map[provider.Connector]time.Time // under Keeper.mu
}

func newGauges(r prometheus.Registerer) gauges {
	vec := func(name, help string) *prometheus.GaugeVec {
		return telemetry.Shared(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "agogo_payouts_float_" + name, Help: help}, []string{"tenant", "provider", "currency"}))
	}
	return gauges{
		balance: vec("balance", "Balance that a provider told last, in units of the currency."), available: vec("available", "That less what was begun since, or was under way."),
		needed: vec("needed", "What the next run is forecast to need, with fees."), forecast: map[provider.Connector]time.Time{},
	}
}

func labels(c provider.Connector, currency money.Currency) prometheus.Labels {
	return prometheus.Labels{"tenant": c.Tenant, "provider": c.Provider, "currency": string(currency)}
}

// units is an amount for a gauge, where nobody adds up: a float64 is exact enough to look at.
func units(minor int64, c money.Currency) float64 {
	v := float64(minor)
	for range c.Exponent() {
		v /= 10
	}
	return v
}

// show tells what is known of a balance, and takes back what is not any more.
func (k *Keeper) show(c *connector.Connector, t config.Tenant, f provider.Funds, every time.Duration) {
	now, of := k.Clock.Now(), labels(c.Connector, t.Currency)
	if f.Younger(2*every+tick, now) {
		k.gauges.balance.With(of).Set(units(f.Balance, t.Currency))
		k.gauges.available.With(of).Set(units(f.Left(), t.Currency))
	} else {
		k.gauges.balance.Delete(of)
		k.gauges.available.Delete(of)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if at, ok := k.gauges.forecast[c.Connector]; ok && now.Sub(at) > 2*every+tick {
		k.gauges.needed.Delete(of)
		delete(k.gauges.forecast, c.Connector)
	}
}

// foreseen tells what a forecast came to.
func (k *Keeper) foreseen(c provider.Connector, t config.Tenant, needed int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gauges.needed.With(labels(c, t.Currency)).Set(units(needed, t.Currency))
	k.gauges.forecast[c] = k.Clock.Now()
}
