package float

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	// tick is how often the worker looks whether a balance is to be checked.
	tick = 5 * time.Second
	// atOnce is how many balances are checked at a time: a provider that does not answer must not keep the others waiting.
	atOnce = 4
)

// Run checks balances until ctx ends: as often as the tenant wants, soon after a top-up, and every minute while there is too little.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		k.Check(ctx)
		if err := k.Clock.Sleep(ctx, tick); err != nil {
			return nil //nolint:nilerr // the context ended, which is how a worker stops
		}
	}
}

// Check checks the balances whose time has come, and compares them with the forecasts: one of each tenant, since it reads all that is owed.
func (k *Keeper) Check(ctx context.Context) {
	ctx = event.WithCause(ctx, event.Cause{Actor: run.Actor(store.Service), CorrelationID: "float"})
	var (
		g       errgroup.Group
		mu      sync.Mutex
		checked = map[string][]provider.Connector{} // by tenant
	)
	g.SetLimit(atOnce)
	for _, c := range k.Connectors.All() {
		if !k.reads(c) {
			continue
		}
		g.Go(func() error {
			read, err := k.check(ctx, c)
			if err != nil && ctx.Err() == nil {
				k.Logger.WarnContext(ctx, "float: the balance could not be checked, trying again", "tenant", c.Tenant, "provider", c.Provider, "error", err)
			}
			if read && err == nil {
				mu.Lock()
				defer mu.Unlock()
				checked[c.Tenant] = append(checked[c.Tenant], c.Connector)
			}
			return nil
		})
	}
	_ = g.Wait() // nobody returns an error
	for _, tenant := range slices.Sorted(maps.Keys(checked)) {
		if err := k.foresee(ctx, tenant, checked[tenant]); err != nil && ctx.Err() == nil {
			k.Logger.WarnContext(ctx, "float: what the next run needs is not known, trying again", "tenant", tenant, "error", err)
		}
	}
}

// check reads a balance whose time has come, and reports whether it is to be compared with the forecast: where there is too little for
// what is due already, the forecast says nothing new.
func (k *Keeper) check(ctx context.Context, c *connector.Connector) (compare bool, err error) {
	if err := k.giveBack(ctx, c.Connector); err != nil { // before what is left is shown and compared
		return false, err
	}
	st, err := k.States.Get(ctx, k.Pool, c.Connector)
	if err != nil {
		return false, err
	}
	every := k.every(c.Tenant)
	if t, ok := k.Tenants.Tenant(c.Tenant); ok {
		k.show(c, t, st.Funds, every)
	}
	short := st.Float == provider.FloatInsufficient
	if short {
		every = min(every, fresh)
	}
	if !k.due(c.Connector, every, st.Funds) {
		return false, nil
	}
	if _, err = k.Read(ctx, c, every/2); err != nil {
		return false, err
	}
	if short { // until now
		st, err = k.States.Get(ctx, k.Pool, c.Connector)
	}
	return st.Float != provider.FloatInsufficient, err
}

// due reports whether it is time to check a connector, and if so takes it for checked: one that fails is not tried at once again.
func (k *Keeper) due(c provider.Connector, every time.Duration, f provider.Funds) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Clock.Now()
	last, ok := k.checked[c]
	if ok && !f.AskedAt.IsZero() && !now.Before(last) && now.Sub(last) < every {
		return false
	}
	k.checked[c] = now
	return true
}

// foresee compares balances of a tenant's with what the next run will need.
func (k *Keeper) foresee(ctx context.Context, tenant string, connectors []provider.Connector) error {
	t, ok := k.Tenants.Tenant(tenant)
	if !ok {
		return nil
	}
	f, err := k.Forecast(ctx, t)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range connectors {
		errs = append(errs, pg.InTx(ctx, k.Pool, func(tx pgx.Tx) error {
			st, err := k.States.Forecast(ctx, tx, c, f.Needs[c.Provider].Total())
			if err == nil {
				k.foreseen(c, t, st.Funds.Takes(f.Needs[c.Provider].Total()))
			}
			return err
		}))
	}
	return errors.Join(errs...)
}
