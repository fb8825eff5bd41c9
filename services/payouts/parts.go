package payouts

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/disburse"
	"github.com/agogopay/agogo/services/payouts/internal/imports"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
	"github.com/agogopay/agogo/services/payouts/internal/reconcile"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
)

// parts are what the service consists of, on one database.
type parts struct {
	outbox    *outbox.Outbox
	store     *store.Store
	replicas  *provider.Replicas
	reconcile *reconcile.Worker
	webhooks  *webhook.Receiver
	ticks     *runs.Ticks
	exec      *runs.Exec
	sweeper   *sweep.Sweeper
	admin     *admin.Server
}

// assemble wires the parts, from the tables upwards.
func (s *Service) assemble(pool *pgxpool.Pool) *parts {
	file, clk, registry := s.cfg.File, s.deps.Clock, s.deps.Telemetry.Registry
	relay := outbox.New(outbox.Config{Service: name}, outbox.Deps{Pool: pool, JS: s.js, Logger: s.log, Registerer: registry})
	states := &provider.States{Service: name, Outbox: relay, Clock: clk, Epoch: s.cfg.Epoch}
	st := &store.Store{
		Pool: pool, Outbox: relay, Clock: clk, Epoch: s.cfg.Epoch, Tenants: file,
		Stopped: func(ctx context.Context, tx pgx.Tx) ([]string, error) { return states.Stopped(ctx, tx) },
	}
	outcomes := outcome.New(outcome.Deps{
		Store: st, Outbox: relay, Clock: clk, Tenants: file, Connectors: s.connectors, Logger: s.log, Registry: registry,
	})
	dispatcher := disburse.New(disburse.Config{Owner: s.owner}, disburse.Deps{
		Pool: pool, Store: st, Outbox: relay, Clock: clk, Connectors: s.connectors, States: states, Outcomes: outcomes,
		Logger: s.log, Registry: registry,
	})
	worker := reconcile.New(reconcile.Config{}, reconcile.Deps{
		Pool: pool, Store: st, Outbox: relay, Clock: clk, Connectors: s.connectors, States: states, Outcomes: outcomes,
		Logger: s.log, Registry: registry,
	})
	counted := &breaks.Breaks{Store: st, Outbox: relay, Clock: clk, Tenants: file}
	return &parts{
		outbox: relay, store: st, reconcile: worker,
		replicas: &provider.Replicas{DB: pool, Name: s.owner, Logger: s.log, Share: s.connectors.Share},
		webhooks: webhook.New(name, s.connectors.Sources(), webhook.Deps{
			Pool: pool, Clock: clk, Logger: s.log, Registry: registry, Match: worker.Match, Matched: worker.Wake,
		}),
		ticks: &runs.Ticks{Pool: pool, Store: st, Outbox: relay, Tenants: file, Logger: s.log},
		exec: &runs.Exec{
			Pool: pool, Store: st, Outbox: relay, Breaks: counted, Logger: s.log, Dispatch: dispatcher.Dispatch, AskPage: worker.AskPage,
			Planner: &plan.Planner{Store: st, Outbox: relay, Tenants: file},
		},
		sweeper: &sweep.Sweeper{Pool: pool, Store: st, Outbox: relay, Clock: clk, Tenants: file, Logger: s.log},
		admin: admin.New(admin.Deps{
			Pool: pool, Store: st, Outbox: relay, Clock: clk, Tenants: file, Breaks: counted,
			Importer: &imports.Importer{Pool: pool, Store: st, Outbox: relay, Clock: clk}, Connectors: states,
			Operate: &resolve.Resolver{Store: st, Outcomes: outcomes, Clock: clk},
		}),
	}
}

// mux puts the webhooks beside health and metrics.
func (p *parts) mux(health http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(p.webhooks.Pattern(), p.webhooks)
	mux.Handle("/", health)
	return mux
}
