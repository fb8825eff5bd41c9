package payouts

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
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/approve"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/disburse"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/imports"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
	"github.com/agogopay/agogo/services/payouts/internal/recipient"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
)

// parts are what the service consists of, on one database.
type parts struct {
	outbox     *outbox.Outbox
	store      *store.Store
	replicas   *provider.Replicas
	reconcile  *reconcile.Worker
	float      *float.Keeper
	webhooks   *webhook.Receiver
	guard      *restore.Guard
	marker     *restore.Marker
	prechecks  *precheck.Worker
	recipients *recipient.Worker
	ticks      *run.Ticks
	exec       *run.Exec
	sweeper    *run.Sweeper
	closer     *closing.Closer
	admin      *admin.Server
}

// assemble wires the parts, from the tables upwards.
func (s *Service) assemble(pool *pgxpool.Pool) *parts {
	file, clk, registry := s.cfg.File, s.deps.Clock, s.deps.Telemetry.Registry
	guard := restore.NewGuard(restore.Deps{Service: name, Pool: pool, JS: s.js, Epoch: s.epoch, Logger: s.log, Registry: registry})
	relay := outbox.New(outbox.Config{Service: name}, outbox.Deps{Pool: pool, JS: s.js, Logger: s.log, Registerer: registry, Refuse: guard.Refuse})
	states := &provider.States{Service: name, Outbox: relay, Clock: clk, Epoch: s.epoch}
	s.connectors.Guard(states, pool)
	stopped := func(ctx context.Context, tx pgx.Tx) ([]string, error) { return states.Stopped(ctx, tx) }
	barred := func(ctx context.Context, tx pgx.Tx) ([]string, error) { return states.Barred(ctx, tx) }
	keeper := float.New(float.Deps{Pool: pool, Clock: clk, States: states, Connectors: s.connectors, Tenants: file, Logger: s.log, Registry: registry})
	st := &store.Store{
		Outbox: relay, Clock: clk, Epoch: s.epoch, Tenants: file, Stopped: stopped, Barred: barred, Float: keeper,
		Runs: &run.Store{
			Service: name, Pool: pool, Outbox: relay, Clock: clk, Epoch: s.epoch, Items: store.Items{Clock: clk, Barred: barred},
		},
	}
	outcomes := outcome.New(outcome.Deps{
		Store: st, Outbox: relay, Clock: clk, Tenants: file, Connectors: s.connectors, Logger: s.log, Registry: registry,
	})
	gate := &precheck.Gate{Clock: clk, Reference: payout.Reference, MustTell: attempt.MustTellPayee}
	book := &disburse.Book{Store: st, Outcomes: outcomes, Clock: clk}
	dispatcher := dispatch.New(dispatch.Config{Service: name, Item: item, Owner: s.owner}, dispatch.Deps{
		Pool: pool, Runs: st.Runs, Outbox: relay, Clock: clk, Connectors: s.connectors, States: states, Logger: s.log, Registry: registry,
		Book: book, Help: book.Help, Funds: keeper, Prechecks: gate,
	})
	worker := reconcile.New(reconcile.Config{Service: name, Item: item}, reconcile.Deps{
		Pool: pool, Outbox: relay, Clock: clk, Connectors: s.connectors, Book: &outcome.Book{Outcomes: outcomes, States: states}, Logger: s.log, Registry: registry,
	})
	counted := &breaks.Breaks{Store: st, Outbox: relay, Clock: clk, Tenants: file}
	planner := &plan.Planner{Store: st, Outbox: relay, Tenants: file}
	closer := closing.New(closing.Config{Owner: s.owner}, closing.Deps{
		Service: name, Pool: pool, Outbox: relay, Clock: clk, Epoch: s.epoch, Tenants: file, Connectors: s.connectors, Findings: outcomes,
		Settle: st.Settle, Asked: worker.Wake, Key: file.Reports.SigningKey, Logger: s.log, Registry: registry,
	})
	jobs := runs.Jobs(planner, counted, worker.AskPage, closer.Page)
	teller := &deadletter.Teller{Service: name, Pool: pool, Outbox: relay, Clock: clk, Epoch: s.epoch}
	return &parts{
		outbox: relay, store: st, reconcile: worker, guard: guard, closer: closer, float: keeper,
		marker: &restore.Marker{Guard: guard, Outbox: relay, Clock: clk, Tenants: file.IDs(), Tracking: outcome.Tracking(), Count: precheck.Count},
		prechecks: &precheck.Worker{
			Service: name, Pool: pool, Outbox: relay, Clock: clk, Connectors: s.connectors, Runs: st.Runs, Gate: gate, Logger: s.log,
		},
		recipients: &recipient.Worker{Pool: pool, Clock: clk, Connectors: s.connectors, States: states, Logger: s.log},
		replicas:   &provider.Replicas{DB: pool, Name: s.owner, Logger: s.log, Share: s.connectors.Share},
		webhooks: webhook.New(name, s.connectors.Sources(), webhook.Deps{
			Pool: pool, Clock: clk, Logger: s.log, Registry: registry, Match: worker.Match, Matched: worker.Wake, GivenUp: teller.Webhooks,
		}),
		ticks:   &run.Ticks{Runs: st.Runs, Jobs: jobs, Tenants: file, Logger: s.log},
		exec:    &run.Exec{Runs: st.Runs, Jobs: jobs, Logger: s.log, Dispatch: dispatcher.Dispatch, Settle: st.Settle},
		sweeper: sweep.New(st, outcomes, gate, s.log, registry),
		admin: admin.New(admin.Deps{
			Pool: pool, Store: st, Outbox: relay, Clock: clk, Logger: s.log, Tenants: file, Breaks: counted,
			Importer: &imports.Importer{Pool: pool, Store: st, Outbox: relay, Clock: clk}, Connectors: states, Float: keeper,
			Operate: &resolve.Resolver{Store: st, Outcomes: outcomes, Clock: clk}, Approve: &approve.Approver{Store: st, Clock: clk}, Planner: planner, Closer: closer,
			Suspense: &suspense.Desk{Service: name, Outbox: relay, Clock: clk, Epoch: s.epoch, Connectors: s.connectors},
		}),
	}
}

// mux puts the webhooks beside health and metrics.
func (p *parts) mux(health http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(p.webhooks.Pattern(), p.webhooks)
	mux.Handle(p.webhooks.KeyedPattern(), p.webhooks)
	mux.Handle("/", health)
	return mux
}
