// Package dispatch sends what a service has planned: it claims as many rows as may be in doubt at once, commits what it is
// about to do, calls the provider outside any transaction, and records the answers in batches as they come. What the rows
// are, the service's [Book] says.
//
// A row holds one of its connector's slots from before the claim until its outcome is committed. However the process dies,
// at most as many rows as there are slots are left in doubt.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
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
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
)

// Config tunes sending; zero values are the defaults.
type Config struct {
	// Service names the service in logs, metrics (agogo_<service>_…) and crash points (<service>.before_send); Item is what
	// one row is called: "payout".
	Service, Item string
	// Owner names this process in leases: unique, and another one after a restart. Each lane adds a name of its own.
	Owner string
	// PagesPerTenant is how many pages of a tenant are worked on at once in this process (4): while one writes down or comes to its end, the others
	// take the slots. They share the tenant's, so more would only keep workers from other tenants.
	PagesPerTenant int
	// ClaimMost is how many rows one transaction claims (100), RecordMost how many outcomes one records (200).
	ClaimMost, RecordMost int
	// Patience is how long a page waits for a connector that rests (30 s); what takes longer is left to the sweeper.
	Patience time.Duration
}

func (c Config) withDefaults() Config {
	if c.PagesPerTenant <= 0 {
		c.PagesPerTenant = 4
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
	return c
}

// Deps are what sending needs.
type Deps struct {
	Pool       *pgxpool.Pool
	Runs       *run.Store
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Connectors *connector.Set
	States     *provider.States
	Book       Book
	Funds      Funds          // nil: nothing is drawn on
	Prechecks  *precheck.Gate // before first sends after a restore; nil: there never is one
	// Help finds a page of a run, other than some, of which something may go, whoever works on it; nil: nobody helps. Who is done with pages of
	// a run helps with those of other replicas, or its share of the provider's rate would be nobody's.
	Help     func(ctx context.Context, run uuid.UUID, except []int) (page int, ok bool, err error)
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: not measured
}

// CodeStopped is of sends that were called off because another answer stopped the connector.
const CodeStopped = "provider_stopped"

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
	return &Dispatcher{Config: c, Deps: d, quota: newQuota(c.PagesPerTenant), metrics: newMetrics(c, d.Registry, d.Connectors)}
}

// job is a page of a run.
type job struct {
	run  uuid.UUID
	page int
}

// Dispatch sends what there is to send of a page and returns when nothing of it can be sent now. It is the handler of a command:
// losing one or repeating one changes nothing, since the rows say what is to be done.
func (d *Dispatcher) Dispatch(ctx context.Context, runID uuid.UUID, page int) error {
	r, err := d.Runs.Get(ctx, d.Pool, runID)
	if errors.Is(err, run.ErrNoRun) {
		return stream.Permanent(fmt.Errorf("dispatch page %d: %w", page, err))
	}
	if err != nil {
		return err
	}
	var done []int
	for more := true; more; {
		if !d.quota.enter(r.Tenant, job{runID, page}) {
			return nil // whoever works for the tenant takes it along; should that process die, the sweeper finds the page
		}
		sent, err := d.pages(ctx, r, job{runID, page})
		// Where nothing of the command's own page goes, nothing may go at all. A page that was found may only be in the way of those before it.
		if err != nil || d.Help == nil || !sent && len(done) == 0 {
			return err
		}
		done = append(done, page)
		if page, more, err = d.Help(ctx, runID, append(d.quota.pages(r.Tenant, runID), done...)); err != nil {
			return fmt.Errorf("find a page of run %s to help with: %w", runID, err)
		}
	}
	return nil
}

// pages works on a page that has entered, then on those that wait for its place, and gives the place back. It reports whether anything of them
// was sent.
func (d *Dispatcher) pages(ctx context.Context, r run.Run, next job) (sent bool, err error) {
	tenant, finished := r.Tenant, false
	defer func() {
		if !finished { // a place that is never given back would keep the tenant's pages from this process for good
			d.quota.leave(tenant, next)
		}
	}()
	for ok := true; ok; next, ok = d.quota.next(tenant, next) {
		if next.run != r.ID {
			if r, err = d.Runs.Get(ctx, d.Pool, next.run); err != nil {
				return sent, err
			}
		}
		some, err := d.page(r.Cause(ctx), r, next.page)
		if err != nil {
			return sent, fmt.Errorf("dispatch page %d of run %s: %w", next.page, next.run, err)
		}
		sent = sent || some
	}
	finished = true // next gave the place back
	return sent, nil
}

// page works on each provider of a page on its own, so that a slow one does not hold up the others. It reports whether anything was sent.
func (d *Dispatcher) page(ctx context.Context, r run.Run, page int) (bool, error) {
	providers, err := d.Book.Providers(ctx, d.Pool, run.Place{Run: r.ID, Page: page})
	if err != nil {
		return false, fmt.Errorf("read providers: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	var sent atomic.Bool
	for _, name := range providers {
		at := Lane{Run: r, Page: page, Provider: name}
		var served bool
		if at.Connector, served = d.Connectors.Get(r.Tenant, name); served {
			g.Go(func() error {
				l := newLane(d, at)
				err := l.work(ctx)
				if l.recorded {
					sent.Store(true)
				}
				return err
			})
		} else {
			g.Go(func() error { return d.unserved(ctx, at) })
		}
	}
	err = g.Wait()
	return sent.Load(), err
}

// unserved has the book see to what is to be sent through a provider that the tenants file does not have.
func (d *Dispatcher) unserved(ctx context.Context, at Lane) error {
	d.Logger.ErrorContext(ctx, d.Service+": to be sent through a provider that the tenants file does not have; put aside",
		"tenant", at.Run.Tenant, "provider", at.Provider, "run", at.Run.ID)
	return pg.InTx(ctx, d.Pool, func(tx pgx.Tx) error { return d.Book.Unserved(ctx, tx, at) })
}
