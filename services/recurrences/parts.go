package recurrences

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/deadletter"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/recurrences/internal/admin"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/collect"
	"github.com/agogopay/agogo/services/recurrences/internal/imports"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense"
)

// parts are what the service consists of, on one database.
type parts struct {
	outbox    *outbox.Outbox
	runs      *run.Store
	replicas  *provider.Replicas
	reconcile *reconcile.Worker
	webhooks  *webhook.Receiver
	guard     *restore.Guard
	marker    *restore.Marker
	prechecks *precheck.Worker
	ticks     *run.Ticks
	exec      *run.Exec
	sweeper   *run.Sweeper
	admin     *admin.Server
}

// done names what the runs of jobs without charges count, and what the morning counts beside them.
func done() map[string]string {
	return map[string]string{plan.JobChargeDue: "missed", plan.JobNotifyHolds: "digests", plan.JobCleanup: "ended"}
}

// assemble wires the parts, from the tables upwards.
func (s *Service) assemble(pool *pgxpool.Pool) (*parts, error) {
	file, clk, registry := s.cfg.File, s.deps.Clock, s.deps.Telemetry.Registry
	guard := restore.NewGuard(restore.Deps{Service: name, Pool: pool, JS: s.js, Epoch: s.epoch, Logger: s.log, Registry: registry})
	relay := outbox.New(outbox.Config{Service: name}, outbox.Deps{Pool: pool, JS: s.js, Logger: s.log, Registerer: registry, Refuse: guard.Refuse})
	states := &provider.States{Service: name, Outbox: relay, Clock: clk, Epoch: s.epoch}
	st := &store.Store{
		Pool: pool, Outbox: relay, Clock: clk, Epoch: s.epoch, Tenants: file, Done: done(),
		Stopped: func(ctx context.Context, tx pgx.Tx) ([]string, error) { return states.Stopped(ctx, tx) },
	}
	runs := &run.Store{Service: name, Pool: pool, Outbox: relay, Clock: clk, Epoch: s.epoch, Items: st}
	outcomes, err := outcome.New(outcome.Deps{
		Store: st, Runs: runs, Clock: clk, Tenants: file, Connectors: s.connectors, Logger: s.log, Registry: registry,
		Findings: &reconcile.Findings{
			Service: name, Outbox: relay, Clock: clk, Epoch: s.epoch, Registry: registry, Account: outcome.Account, Collects: true,
		},
	})
	if err != nil {
		return nil, err
	}
	book := &collect.Book{Store: st, Runs: runs, Outcomes: outcomes, Clock: clk, Logger: s.log}
	gate := &precheck.Gate{Clock: clk, Reference: charge.Reference, MustTell: attempt.MustTellAmount}
	dispatcher := dispatch.New(dispatch.Config{Service: name, Item: "charge", Owner: s.owner}, dispatch.Deps{
		Pool: pool, Runs: runs, Outbox: relay, Clock: clk, Connectors: s.connectors, States: states, Book: book, Prechecks: gate, Logger: s.log, Registry: registry,
	})
	worker := reconcile.New(reconcile.Config{Service: name, Item: "charge"}, reconcile.Deps{
		Pool: pool, Outbox: relay, Clock: clk, Connectors: s.connectors, Book: outcomes, Logger: s.log, Registry: registry,
	})
	jobs := (&plan.Planner{Store: st, Runs: runs}).Jobs()
	resolver := &resolve.Resolver{Store: st, Runs: runs, Outcomes: outcomes, Clock: clk, Gate: gate}
	stuck := run.StuckGauge(name, registry)
	teller := &deadletter.Teller{Service: name, Pool: pool, Outbox: relay, Clock: clk, Epoch: s.epoch}
	return &parts{
		outbox: relay, runs: runs, reconcile: worker, guard: guard,
		marker: &restore.Marker{Guard: guard, Outbox: relay, Clock: clk, Tenants: file.IDs(), Count: precheck.Count},
		prechecks: &precheck.Worker{
			Service: name, Pool: pool, Outbox: relay, Clock: clk, Connectors: s.connectors, Runs: runs, Gate: gate, Logger: s.log,
		},
		replicas: &provider.Replicas{DB: pool, Name: s.owner, Logger: s.log, Share: s.connectors.Share},
		webhooks: webhook.New(name, s.connectors.Sources(), webhook.Deps{
			Pool: pool, Clock: clk, Logger: s.log, Registry: registry, Matched: worker.Wake, GivenUp: teller.Webhooks,
			Match: webhook.ByProviderID(attempt.OfProviderIDs, worker.Match), // Cielo names a sale by its own id
		}),
		ticks:   &run.Ticks{Runs: runs, Jobs: jobs, Tenants: file, Logger: s.log},
		exec:    &run.Exec{Runs: runs, Jobs: jobs, Logger: s.log, Dispatch: dispatcher.Dispatch, Settle: runs.Settle},
		sweeper: &run.Sweeper{Runs: runs, Logger: s.log, Settle: runs.Settle, Stuck: stuck, Steps: []run.Step{book.Standing(), resolver.Ending(s.log, stuck), resolver.Found(s.log, stuck)}},
		admin: admin.New(admin.Deps{
			Pool: pool, Store: st, Runs: runs, Outbox: relay, Clock: clk, Tenants: file, Connectors: states,
			Importer: &imports.Importer{Pool: pool, Store: st, Outbox: relay, Clock: clk},
			Operate:  resolver, Wake: book.Wake,
			Suspense: &suspense.Desk{Store: st},
		}),
	}, nil
}

// mux puts the webhooks beside health and metrics.
func (p *parts) mux(health http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(p.webhooks.Pattern(), p.webhooks)
	mux.Handle("/", health)
	return mux
}
