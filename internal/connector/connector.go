// Package connector builds the tenants' connectors: for each provider of the tenants file that a service knows its adapter,
// the policy by which its answers are waited for, and this process's share of its capacity.
package connector

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
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
	// Namer is nil for a provider whose webhooks name our references.
	Namer provider.Namer
	// Balance is nil for a provider that does not tell its float. Where asking uses a credential that locks out, it is guarded
	// by [Set.Guard].
	Balance provider.BalanceReader
	// Statement is nil for a provider that tells no movements.
	Statement provider.StatementReader
	// Reverser is nil for a provider that takes nothing back.
	Reverser provider.Reverser
	// Recipients is nil unless the tenants file wants wallets verified before they are paid, by Verify, a word of the tenants file.
	Recipients provider.RecipientVerifier
	Verify     string
	// Proof is nil unless the provider locks our account after a few uses of a wrong credential; see [provider.Lockout].
	Proof *provider.Proof
}

// Adapter is what every adapter can do. One that is a provider.WebhookVerifier too is called back.
type Adapter interface {
	provider.Submitter
	provider.Lookuper
}

// Use says what a service builds connectors for.
type Use struct {
	// Kinds make an adapter of each kind that the service knows. Kinds that only others know are left to them.
	Kinds map[string]func(config.Provider, clock.Clock) Adapter
	// Serves reports whether a tenant has the service, and which of its providers is used where nothing else is said ("" is
	// none).
	Serves func(config.Tenant) (byDefault string, ok bool)
	// Verb is what a default provider of an unknown kind cannot do: "pay out".
	Verb string
}

// Set is all connectors of a service. The zero value is empty and ready.
type Set struct {
	byName map[name]*Connector
}

type name struct{ tenant, provider string }

// Build makes the connectors of all tenants that have the service.
func Build(file *config.File, clk clock.Clock, u Use) (*Set, error) {
	s := &Set{}
	for _, t := range file.Tenants {
		byDefault, ok := u.Serves(t)
		if !ok {
			continue
		}
		for _, c := range t.Providers {
			if fn, ok := u.Kinds[c.Kind]; ok {
				conn := New(t.ID, c, fn(c, clk))
				if conn.Verify != "" && conn.Recipients == nil {
					return nil, fmt.Errorf("tenants[%s].providers.%s.verify_recipients: providers of kind %s are not asked about wallets: remove the key", t.ID, c.Name, c.Kind)
				}
				s.Add(conn)
			}
		}
		if byDefault == "" {
			continue
		}
		if _, ok := s.Get(t.ID, byDefault); !ok {
			return nil, fmt.Errorf("tenant %s: provider %s is of kind %q, which cannot %s", t.ID, byDefault, t.Providers[byDefault].Kind, u.Verb)
		}
	}
	return s, nil
}

// New makes one connector around an adapter.
func New(tenant string, c config.Provider, a Adapter) *Connector {
	conn := &Connector{
		Connector: provider.Connector{Tenant: tenant, Provider: c.Name, Kind: c.Kind},
		Submitter: a, Lookuper: a,
		Policy:     attempt.NewPolicy(c.Timeout, c.QuietTime, c.LookupAfter, c.ReviewAfter, c.Deduplicates),
		Throttle:   provider.NewThrottle(c.RatePerSec, c.Concurrency),
		RetryAfter: slices.Clone(c.RetryAfter),
	}
	if conn.RetryAfter == nil { // left out; an empty list says "never by itself"
		conn.RetryAfter = []time.Duration{time.Minute, 10 * time.Minute}
	}
	conn.Verifier, _ = a.(provider.WebhookVerifier)
	conn.Namer, _ = a.(provider.Namer)
	conn.Balance, _ = a.(provider.BalanceReader)
	conn.Statement, _ = a.(provider.StatementReader)
	conn.Reverser, _ = a.(provider.Reverser)
	if c.VerifyRecipients != config.VerifyNone && c.VerifyRecipients != "" {
		conn.Verify = c.VerifyRecipients
		conn.Recipients, _ = a.(provider.RecipientVerifier)
	}
	if l, ok := a.(provider.Lockout); ok && l.LocksOut() {
		conn.Proof = &provider.Proof{}
	}
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
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Provider, b.Provider))
	})
}

// Share divides every connector's capacity by the number of replicas; see [provider.Throttle].
func (s *Set) Share(replicas int) {
	for _, c := range s.byName {
		c.Throttle.Share(replicas)
	}
}

// Guard puts the reading of balances behind the connectors' shared states, where a wrong credential would lock the account.
func (s *Set) Guard(states *provider.States, pool *pgxpool.Pool) {
	for _, c := range s.byName {
		if c.Proof == nil || c.Balance == nil {
			continue
		}
		c.Balance = &provider.GuardedBalance{
			Reader: c.Balance, Pool: pool, States: states, Connector: c.Connector, Proof: c.Proof, Lease: c.Policy.Lease,
		}
	}
}

// Sources are the connectors whose providers call back.
func (s *Set) Sources() []webhook.Source {
	var all []webhook.Source
	for _, c := range s.All() {
		if c.Verifier != nil {
			all = append(all, webhook.Source{Tenant: c.Tenant, Provider: c.Provider, Verifier: c.Verifier})
		}
	}
	return all
}
