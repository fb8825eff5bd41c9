// Package disburse sends payouts: it claims as many as may be in doubt at once, commits what it is about to do, calls the
// provider outside any transaction, and records the answers in batches as they come.
//
// A payout holds one of its connector's slots from before the claim until its outcome is committed. However the process
// dies, at most as many payouts as there are slots are left in doubt.
package disburse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Config tunes sending; zero values are the defaults.
type Config struct {
	// Owner names this process in leases: unique, and another one after a restart. Each lane adds a name of its own.
	Owner string
	// PagesPerTenant is how many pages of a tenant are worked on at once in this process (2): they share the tenant's
	// slots, so more would only keep workers from other tenants.
	PagesPerTenant int
	// ClaimMost is how many payouts one transaction claims (100), RecordMost how many outcomes one records (200).
	ClaimMost, RecordMost int
	// Patience is how long a page waits for a connector that rests (30 s); what takes longer is left to the sweeper.
	Patience time.Duration
	// PauseAfterFaults is how many faults of a provider in a row pause a batch; at least twice the connector's slots (20).
	PauseAfterFaults int
}

func (c Config) withDefaults() Config {
	if c.PagesPerTenant <= 0 {
		c.PagesPerTenant = 2
	}
	if c.ClaimMost <= 0 {
		c.ClaimMost = 100
	}
	if c.RecordMost <= 0 {
		c.RecordMost = 200
	}
	if c.Patience <= 0 {
		c.Patience = provider.LongRest
	}
	if c.PauseAfterFaults <= 0 {
		c.PauseAfterFaults = 20
	}
	return c
}

// Deps are what sending needs.
type Deps struct {
	Pool       *pgxpool.Pool
	Store      *store.Store
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Connectors *connector.Set
	States     *provider.States
	Outcomes   *outcome.Outcomes
	Logger     *slog.Logger
	Registry   prometheus.Registerer // nil: not measured
}

// Dispatcher handles dispatch commands.
type Dispatcher struct {
	Config
	Deps
	quota   *quota
	metrics *metrics
}

// New makes a dispatcher.
func New(c Config, d Deps) *Dispatcher {
	c = c.withDefaults()
	return &Dispatcher{Config: c, Deps: d, quota: newQuota(c.PagesPerTenant), metrics: newMetrics(d.Registry, d.Connectors)}
}

// job is a page of a run.
type job struct {
	run  uuid.UUID
	page int
}

// Dispatch sends what is approved of a page and returns when nothing of it can be sent now. It is the handler of a command:
// losing one or repeating one changes nothing, since the rows say what is to be done.
func (d *Dispatcher) Dispatch(ctx context.Context, runID uuid.UUID, page int) error {
	r, err := d.Store.Runs.Get(ctx, d.Pool, runID)
	if errors.Is(err, run.ErrNoRun) {
		return stream.Permanent(fmt.Errorf("dispatch page %d: %w", page, err))
	}
	if err != nil {
		return err
	}
	next := job{runID, page}
	if !d.quota.enter(r.Tenant, next) {
		return nil // whoever works for the tenant takes it along; should that process die, the sweeper finds the page
	}
	tenant, finished := r.Tenant, false
	defer func() {
		if !finished { // a place that is never given back would keep the tenant's pages from this process for good
			d.quota.leave(tenant, next)
		}
	}()
	for ok := true; ok; next, ok = d.quota.next(tenant, next) {
		if next.run != r.ID {
			if r, err = d.Store.Runs.Get(ctx, d.Pool, next.run); err != nil {
				return err
			}
		}
		if err := d.page(r.Cause(ctx), r, next.page); err != nil {
			return fmt.Errorf("dispatch page %d of run %s: %w", next.page, next.run, err)
		}
	}
	finished = true // next gave the place back
	return nil
}

// page works on each provider of a page on its own, so that a slow one does not hold up the others.
func (d *Dispatcher) page(ctx context.Context, run run.Run, page int) error {
	providers, err := db.New(d.Pool).PageProviders(ctx, db.PageProvidersParams{RunID: run.ID, Page: int32(page)})
	if err != nil {
		return fmt.Errorf("read providers: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range providers {
		conn, ok := d.Connectors.Get(run.Tenant, name)
		if !ok {
			g.Go(func() error { return d.holdUnserved(ctx, run, page, name) })
			continue
		}
		g.Go(func() error { return newLane(d, conn, run, page).work(ctx) })
	}
	return g.Wait()
}

// holdUnserved holds what was approved for a provider that the tenants file no longer has: left approved, it would keep its
// run, and with it the schedule's next ones, waiting for ever.
func (d *Dispatcher) holdUnserved(ctx context.Context, run run.Run, page int, name string) error {
	d.Logger.ErrorContext(ctx, "payouts: approved for a provider that the tenants file does not have; held", "tenant", run.Tenant, "provider", name, "run", run.ID)
	return pg.InTx(ctx, d.Pool, func(tx pgx.Tx) error {
		rows, err := db.New(tx).Claim(ctx, db.ClaimParams{
			RunID: run.ID, Page: int32(page), Provider: name, Now: d.Clock.Now(), Resting: []uuid.UUID{}, PageLimit: holdMost,
		})
		if err != nil {
			return fmt.Errorf("claim payouts of a provider that is gone: %w", err)
		}
		changes := make([]store.Change, 0, len(rows))
		for _, r := range rows {
			changes = append(changes, store.Change{
				PayoutID: r.PayoutID, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodeProviderStopped),
			})
		}
		if _, err := d.Store.Apply(ctx, tx, changes); err != nil {
			return err
		}
		return d.Store.Settle(ctx, tx, run.ID)
	})
}
