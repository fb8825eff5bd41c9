package histories

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/approve"
	"github.com/agogopay/agogo/services/payouts/internal/disburse"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
)

// rules are what differs between histories from their first step on.
type rules struct {
	deduplicates bool // the provider pays a reference once, by contract
	approvals    bool // larger sums need people
	split        bool // sums are divided
	wide         bool // a page has more payouts than may be sent at once, and they are answered one by one: its lane claims again and again
}

// world is one history's service, provider and people.
type world struct {
	*payoutstest.Env
	t        testing.TB
	bank     *bank
	config   config.Provider
	states   *provider.States
	replicas []*replica
	webhooks *webhook.Receiver
	admin    *admin.Server
	sweeper  *run.Sweeper
	judge    judge
	asker    *precheck.Worker

	rows      []string // payments as imported
	wallets   map[int]int
	ticks     int
	evenings  []string // the nominal times of the daily ticks so far
	breaks    int      // at which page of a plan the tenants file is broken; 0: at none
	backup    *backup
	epoch     int
	told      map[uuid.UUID]told
	stood     map[uuid.UUID]int64 // payouts as of the newest restore, and their versions
	frozen    []*frozen
	dead      sync.WaitGroup
	over      chan struct{} // lets what died return
	cut       []*pgtest.Line
	line      *pgtest.Line // what the replicas send with
	claimMost int          // rows in one transaction; 0: as many as the default
	stumble   stumble
}

const payees = 6

func newWorld(t testing.TB, pool *pgxpool.Pool, r rules) *world {
	t.Helper()
	w := &world{Env: payoutstest.On(t, pool), t: t, wallets: map[int]int{}, over: make(chan struct{}), told: map[uuid.UUID]told{}}
	w.line = pgtest.NewLine(t, pool)
	w.Planner.PageSize = 3
	own := w.Rules()
	own.PauseAboveFailureRate, own.MaxAttempts, own.DestinationCoolOff = 0.9, 3, time.Minute
	if r.approvals {
		own.Approval = config.Approval{Tiers: []config.Tier{{Above: 20_000, Approvals: 1}}, ExpiresAfter: 30 * time.Hour}
	}
	if r.split || r.wide {
		own.MaxPerPayout = 40_000
	}
	w.config = config.Provider{
		Name: "orange", Kind: "orange_omr", Timeout: 10 * time.Second, QuietTime: 30 * time.Second, Concurrency: 3, Deduplicates: r.deduplicates,
		LookupAfter: []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour},
		ReviewAfter: 24 * time.Hour, RetryAfter: []time.Duration{time.Minute, 10 * time.Minute},
	}
	if r.wide {
		w.Planner.PageSize, w.config.Concurrency, w.claimMost = 2*payees, 4, 3
	}
	w.bank = newBank(w.Clock, r.deduplicates, w.config.Timeout+w.config.QuietTime)
	w.bank.uneven = r.wide
	w.states = &provider.States{Service: store.Service, Outbox: w.Outbox, Clock: w.Clock}
	w.StoppedBy(
		func(ctx context.Context, tx pgx.Tx) ([]string, error) { return w.states.Stopped(ctx, tx) },
		func(ctx context.Context, tx pgx.Tx) ([]string, error) { return w.states.Barred(ctx, tx) })
	w.replicas = []*replica{w.replica(w.line.Pool, nil), w.replica(w.line.Pool, nil)}
	first := w.replicas[0]
	w.Ticks.Jobs = runs.Jobs(w.Planner, w.Breaks, first.worker.AskPage, nil)
	w.Exec.Jobs = w.Ticks.Jobs
	w.breakable()
	w.asker = first.asker
	w.webhooks = webhook.New(store.Service, []webhook.Source{{Tenant: payoutstest.Tenant, Provider: "orange", Verifier: w.bank}}, webhook.Deps{
		Pool: pool, Clock: w.Clock, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Match: first.worker.Match,
	})
	w.bank.tell = func(body []byte) { w.post(body, credential) }
	w.sweeper = sweep.New(w.Store, first.outcomes, first.asker.Gate, slog.New(slog.DiscardHandler), nil)
	w.sweeper.Patience = time.Second
	w.admin = admin.New(admin.Deps{
		Pool: pool, Store: w.Store, Outbox: w.Outbox, Clock: w.Clock, Logger: slog.New(slog.DiscardHandler), Tenants: w.Tenants, Importer: w.Importer, Breaks: w.Breaks, Connectors: w.states,
		Operate: &resolve.Resolver{Store: w.Store, Outcomes: first.outcomes, Clock: w.Clock}, Approve: &approve.Approver{Store: w.Store, Clock: w.Clock},
		Planner: w.Planner, Float: float.New(float.Deps{Pool: pool, Clock: w.Clock, States: w.states, Connectors: &connector.Set{}, Tenants: w.Tenants, Logger: slog.New(slog.DiscardHandler)}),
	})
	w.judge.world, w.bank.accuse = w, w.judge.accuse
	w.judge.sent, w.judge.lost, w.judge.first = map[string]sent{}, map[string]bool{}, map[string][]string{}
	t.Cleanup(w.end)
	return w
}

// end lets what died or froze return, with no database that it could write to.
func (w *world) end() {
	for _, d := range w.cut {
		d.Pool.Close()
	}
	close(w.over)
	w.dead.Wait()
}

// replica is one process of the service: what sends, and what reconciles.
type replica struct {
	*dispatch.Dispatcher
	calls    *calls
	worker   *reconcile.Worker
	asker    *precheck.Worker
	outcomes *outcome.Outcomes
}

// submits stands in the place of the bank's Submit.
type submits func(ctx context.Context, t provider.Transfer) provider.Result

type adapter struct {
	*bank
	calls   *calls
	instead submits
}

func (a adapter) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	a.calls.begin()
	defer a.calls.end()
	if a.instead != nil {
		return a.instead(ctx, t)
	}
	return a.bank.Submit(ctx, t)
}

func (w *world) replica(pool *pgxpool.Pool, instead submits) *replica {
	most := w.config.Concurrency
	mine := &calls{most: most, fewer: most, accuse: w.judge.accuse}
	conn := connector.New(payoutstest.Tenant, w.config, adapter{w.bank, mine, instead})
	conn.Policy.Lease = time.Minute // longer than any call takes on a busy machine; steps end leases
	set := &connector.Set{}
	set.Add(conn)
	logger := slog.New(slog.DiscardHandler)
	r := &replica{calls: mine, outcomes: outcome.New(outcome.Deps{
		Store: w.Store, Outbox: w.Outbox, Clock: w.Clock, Tenants: w.Tenants, Connectors: set, Logger: logger,
	})}
	gate := &precheck.Gate{Clock: w.Clock, Reference: payout.Reference, MustTell: attempt.MustTellPayee}
	book := &disburse.Book{Store: w.Store, Outcomes: r.outcomes, Clock: w.Clock}
	r.Dispatcher = dispatch.New(dispatch.Config{Service: store.Service, Item: "payout", Owner: uuid.NewString(), ClaimMost: w.claimMost}, dispatch.Deps{
		Pool: pool, Runs: w.Store.Runs, Outbox: w.Outbox, Clock: w.Clock, Connectors: set, States: w.states, Logger: logger,
		Book: stumbling{book, w, r, &sync.Map{}}, Help: book.Help, Prechecks: gate,
	})
	r.asker = &precheck.Worker{
		Service: store.Service, Pool: w.Pool, Outbox: w.Outbox, Clock: w.Clock, Connectors: set, Runs: w.Store.Runs, Gate: gate, Logger: logger,
	}
	r.worker = reconcile.New(reconcile.Config{Service: store.Service, Item: "payout"}, reconcile.Deps{
		Pool: w.Pool, Outbox: w.Outbox, Clock: w.Clock, Connectors: set, Book: &outcome.Book{Outcomes: r.outcomes}, Logger: logger,
	})
	return r
}

// dispatch has a replica work on every page that has something to send.
func (w *world) dispatch(ctx context.Context, r *replica) error {
	rows, err := w.Pool.Query(ctx, "SELECT DISTINCT run_id, page FROM payouts WHERE state = 'approved' ORDER BY 1, 2")
	if err != nil {
		return err
	}
	pages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Run  uuid.UUID
		Page int
	}])
	if err != nil {
		return err
	}
	for _, p := range pages {
		if err := r.Dispatch(ctx, p.Run, p.Page); err != nil {
			return err
		}
	}
	return nil
}

// returns is how long a step may take, however busy the machine is.
const returns = time.Minute

// send is dispatch while time passes, until nothing can go now. What ends because the database has lost a commit is begun again, as its
// command would be delivered again.
func (w *world) send(replicas ...*replica) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.Ctx(), returns)
	defer cancel()
	errs := make([]error, len(replicas))
	w.moving(func() {
		var wg sync.WaitGroup
		for i, r := range replicas {
			wg.Go(func() {
				errs[i] = w.dispatch(ctx, r)
				for again := 0; pg.Transient(errs[i]) && again < w.stumble.strikes(); again++ {
					errs[i] = w.dispatch(ctx, r)
				}
			})
		}
		wg.Wait()
	})
	w.stumble.over()
	for _, r := range replicas {
		r.alone()
	}
	for _, err := range errs {
		if err != nil {
			w.t.Fatalf("dispatch: %v", err)
		}
	}
}

// moving runs fn while time passes: whenever something sleeps, the clock moves on by a second.
func (w *world) moving(fn func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for w.Clock.BlockUntil(ctx, 1) == nil {
			w.Clock.Advance(time.Second)
		}
	})
	defer wg.Wait()
	defer cancel()
	fn()
}

// crash has a fresh replica send until it dies: at its nth send, before or after the bank has had it. Its connections are
// gone, and nothing of what it knew is recorded any more.
func (w *world) crash(after bool, nth int) {
	db := pgtest.NewLine(w.t, w.Pool)
	w.cut = append(w.cut, db)
	died := make(chan struct{})
	var mu sync.Mutex
	var once sync.Once
	left := nth
	r := w.replica(db.Pool, func(ctx context.Context, t provider.Transfer) provider.Result {
		mu.Lock()
		left--
		dead := left <= 0
		mu.Unlock()
		if !dead || after {
			res := w.bank.Submit(context.WithoutCancel(ctx), t)
			if !dead {
				return res
			}
		}
		once.Do(func() { db.Cut(); close(died) })
		<-w.over
		return provider.Result{Class: provider.Ambiguous, Code: "dead"}
	})
	w.until(died, r)
}

// until runs a replica in the background until it has got to a place, or has nothing left to do.
func (w *world) until(place <-chan struct{}, r *replica) (finished chan struct{}) {
	finished = make(chan struct{})
	ctx := context.WithoutCancel(w.Ctx())
	w.dead.Go(func() {
		defer close(finished)
		_ = w.dispatch(ctx, r) // what the living find afterwards is what counts
	})
	w.moving(func() {
		select {
		case <-place:
		case <-finished:
		case <-time.After(returns):
			w.t.Errorf("a replica neither comes to its place nor ends")
		}
	})
	return finished
}

// frozen is a replica that was stopped in the middle of its calls and goes on late.
type frozen struct {
	resume   chan struct{}
	finished chan struct{}
}

// freeze has a fresh replica send until it stands still: before the bank has had its calls, or after.
func (w *world) freeze(after bool) {
	f := &frozen{resume: make(chan struct{})}
	stands := make(chan struct{})
	var once sync.Once
	r := w.replica(w.line.Pool, func(ctx context.Context, t provider.Transfer) provider.Result {
		select {
		case <-f.resume: // it has been thawed
			return w.bank.Submit(ctx, t)
		default:
		}
		stop := func() {
			once.Do(func() { close(stands) })
			select {
			case <-f.resume:
			case <-w.over:
			}
		}
		if after {
			res := w.bank.Submit(context.WithoutCancel(ctx), t)
			stop()
			return res
		}
		stop()
		select {
		case <-ctx.Done():
		case <-time.After(returns):
			w.judge.accuse("a send of a replica that stood still for long is not called off: " + t.Reference)
		}
		return w.bank.Submit(ctx, t)
	})
	conn, _ := r.Connectors.Get(payoutstest.Tenant, "orange")
	conn.Policy.Margin = conn.Policy.Lease - 200*time.Millisecond // its own clock ends its calls soon; the lease is the database's
	f.finished = w.until(stands, r)
	w.frozen = append(w.frozen, f)
}

// thaw lets the oldest frozen replica go on, to the end of what it finds to do.
func (w *world) thaw() {
	if len(w.frozen) == 0 {
		return
	}
	f := w.frozen[0]
	w.frozen = w.frozen[1:]
	close(f.resume)
	w.moving(func() {
		select {
		case <-f.finished:
		case <-time.After(returns):
			w.t.Errorf("a replica that was thawed does not end")
		}
	})
}

// reconcile lets a replica take over what lost its lease, match webhooks and ask about what is due.
func (w *world) reconcile() {
	w.t.Helper()
	for {
		more, err := w.webhooks.Step(w.Ctx())
		if err != nil {
			w.t.Fatal(err)
		}
		if !more {
			break
		}
	}
	w.bank.matched()
	if err := w.asker.Pass(w.Ctx()); err != nil {
		w.t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if more, err = w.replicas[1].worker.Pass(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// sweep sweeps once, and has what can go now sent.
func (w *world) sweep() {
	w.t.Helper()
	if err := w.sweeper.Once(w.Ctx()); err != nil {
		w.t.Fatal(err)
	}
	w.work()
	w.send(w.replicas[0])
}

// work hands over the commands that wait, but for those to send: steps send.
func (w *world) work() {
	w.t.Helper()
	w.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	w.Work()
}

// leasesEnd is time passing as the database sees it, for what nobody works on any more.
func (w *world) leasesEnd() {
	w.SQL("UPDATE attempts SET lease_expires_at = now() - interval '1 second' WHERE state = 'submitting'")
}

func payee(n int) string { return fmt.Sprintf("drv-%02d", n) }

// pay is an import's row of a payment.
func (w *world) pay(n, amount int, status string, at time.Time) string {
	wallet := phone(n, w.wallets[n])
	return fmt.Sprintf("pay-%03d,%s,Livreur,%s,%d,XOF,orange_money,%s,%s,\n", len(w.rows), payee(n), wallet, amount, status, at.UTC().Format(time.RFC3339))
}

func refunded(row string) string { return strings.Replace(row, ",completed,", ",refunded,", 1) }
