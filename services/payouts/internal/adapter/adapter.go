// Package adapter builds the tenants' connectors: for each provider of the tenants file its adapter, the policy by which
// its answers are waited for, and this process's share of its capacity.
package adapter

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/orangeomr"
)

// Connector is a tenant's provider, ready for use. Verifier is nil for a provider that sends no webhooks.
type Connector struct {
	provider.Connector
	Submitter  provider.Submitter
	Lookuper   provider.Lookuper
	Verifier   provider.WebhookVerifier
	Policy     attempt.Policy
	Throttle   *provider.Throttle
	RetryAfter []time.Duration
}

// Payer is what every adapter of a payout provider can do.
type Payer interface {
	provider.Submitter
	provider.Lookuper
}

// Set is all connectors of the installation.
type Set struct {
	byName map[name]*Connector
}

type name struct{ tenant, provider string }

// kinds make an adapter of each kind that payouts know. Adding a provider is a package and a line here.
func kinds() map[string]func(config.Provider, clock.Clock) Payer {
	return map[string]func(config.Provider, clock.Clock) Payer{
		orangeomr.Kind: func(c config.Provider, clk clock.Clock) Payer { return orangeomr.New(c, clk) },
	}
}

// Build makes the connectors of all tenants that have payouts. Providers of kinds that only others know are left to them.
func Build(file *config.File, clk clock.Clock) (*Set, error) {
	s := &Set{byName: map[name]*Connector{}}
	makers := kinds()
	for _, t := range file.Tenants {
		if t.Payouts == nil {
			continue
		}
		for _, c := range t.Providers {
			if fn, ok := makers[c.Kind]; ok {
				s.Add(New(t.ID, c, fn(c, clk)))
			}
		}
		if p := t.Payouts.DefaultProvider; p != "" {
			if _, ok := s.Get(t.ID, p); !ok {
				return nil, fmt.Errorf("tenant %s: provider %s is of kind %q, which cannot pay out", t.ID, p, t.Providers[p].Kind)
			}
		}
	}
	return s, nil
}

// New makes one connector around an adapter.
func New(tenant string, c config.Provider, p Payer) *Connector {
	conn := &Connector{
		Connector: provider.Connector{Tenant: tenant, Provider: c.Name, Kind: c.Kind},
		Submitter: p, Lookuper: p,
		Policy:     attempt.NewPolicy(c.Timeout, c.QuietTime, c.LookupAfter, c.ReviewAfter, c.Deduplicates),
		Throttle:   provider.NewThrottle(c.RatePerSec, c.Concurrency),
		RetryAfter: slices.Clone(c.RetryAfter),
	}
	if len(conn.RetryAfter) == 0 {
		conn.RetryAfter = []time.Duration{time.Minute, 10 * time.Minute}
	}
	conn.Verifier, _ = p.(provider.WebhookVerifier)
	return conn
}

// Add puts a connector in, in place of one of the same name.
func (s *Set) Add(c *Connector) {
	if s.byName == nil {
		s.byName = map[name]*Connector{}
	}
	s.byName[name{c.Tenant, c.Provider}] = c
}

// Get finds a tenant's connector.
func (s *Set) Get(tenant, provider string) (*Connector, bool) {
	c, ok := s.byName[name{tenant, provider}]
	return c, ok
}

// All lists the connectors by tenant and name.
func (s *Set) All() []*Connector {
	return slices.SortedFunc(maps.Values(s.byName), func(a, b *Connector) int {
		return cmpNames(name{a.Tenant, a.Provider}, name{b.Tenant, b.Provider})
	})
}

func cmpNames(a, b name) int {
	return slices.Compare([]string{a.tenant, a.provider}, []string{b.tenant, b.provider})
}

// Share divides every connector's capacity by the number of replicas; see [provider.Throttle].
func (s *Set) Share(replicas int) {
	for _, c := range s.byName {
		c.Throttle.Share(replicas)
	}
}
