// Package sending gives tests whole senders of payouts, several at once when they want, before a simulated provider whose
// book is the judge. It is imported by tests only.
package sending

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/disburse"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/recipient"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/sweep"
	"github.com/agogopay/agogo/simulator"
)

// Evening is the nominal time of the tick that Plan fires.
const Evening = "2025-01-24T23:59:00Z"

// CallbackAuthorization is what the provider sends with its callbacks.
const CallbackAuthorization = "Basic Y2FsbGJhY2s6c2VjcmV0"

// Env is payoutstest.Env with a provider.
type Env struct {
	*payoutstest.Env
	Sim    *simulator.Simulator
	States *provider.States
	Config config.Provider

	kind  Kind
	t     testing.TB
	url   string
	lease atomic.Int64
	seen  map[int64]bool

	served *connector.Set // of the newest sender
}

// New makes an environment. Change e.Config and the tenant's rules before the first Sender.
func New(t testing.TB, change ...func(*simulator.Config)) *Env {
	t.Helper()
	return NewOf(t, Orange(), change...)
}

// NewOf makes an environment whose tenant pays through a provider of a kind.
func NewOf(t testing.TB, kind Kind, change ...func(*simulator.Config)) *Env {
	t.Helper()
	e := &Env{Env: payoutstest.New(t), kind: kind, t: t, seen: map[int64]bool{}, served: &connector.Set{}}
	sc := simulator.Config{Clock: e.Clock, Orange: simulator.OrangeConfig{TokensPerMinute: -1}}
	for _, f := range change {
		f(&sc)
	}
	var err error
	if e.Sim, err = simulator.New(sc); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(e.Sim)
	e.url = srv.URL
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := e.Sim.Close(); err != nil {
			t.Error(err)
		}
	})
	e.States = &provider.States{Service: store.Service, Outbox: e.Outbox, Clock: e.Clock}
	e.StoppedBy(
		func(ctx context.Context, tx pgx.Tx) ([]string, error) { return e.States.Stopped(ctx, tx) },
		func(ctx context.Context, tx pgx.Tx) ([]string, error) { return e.States.Barred(ctx, tx) })
	e.Config = config.Provider{
		Name: kind.Name, Timeout: 500 * time.Millisecond, QuietTime: 2 * time.Second,
		LookupAfter: []time.Duration{time.Second, 2 * time.Second, 5 * time.Second},
		ReviewAfter: 24 * time.Hour, RetryAfter: []time.Duration{time.Minute, 10 * time.Minute}, Concurrency: 4,
	}
	kind.Configure(e.url, &e.Config)
	e.Rules().DefaultProvider = kind.Name
	e.Tenants.Tenants[0].Providers = map[string]config.Provider{kind.Name: {Name: kind.Name, Kind: e.Config.Kind}}
	e.lease.Store(int64(time.Minute))
	return e
}

// ShortLeases makes the leases of senders made from now on run out after d, in real time: a busy machine misses short ones, and
// what was called off for that rests by the clock of the test. Let time move, or better, use TakeOver.
func (e *Env) ShortLeases(d time.Duration) { e.lease.Store(int64(d)) }

// Sender is one replica of the service: what sends and what reconciles.
type Sender struct {
	*dispatch.Dispatcher
	Worker     *reconcile.Worker
	Prechecks  *precheck.Worker
	Float      *float.Keeper
	Recipients *recipient.Worker
	Connectors *connector.Set
	Connector  *connector.Connector
	Outcomes   *outcome.Outcomes
}

// Hooks stand around an adapter's calls; nil ones do nothing.
type Hooks struct {
	Before func(ctx context.Context, t provider.Transfer)                                          // before a send
	Submit func(ctx context.Context, t provider.Transfer, real provider.Submitter) provider.Result // instead of a send
	Lookup func(ctx context.Context, t provider.Transfer, real provider.Lookuper) (provider.Found, error)
	Verify provider.RecipientVerifier // instead of the adapter's
}

type hooked struct {
	connector.Adapter
	h Hooks
}

func (p hooked) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	if p.h.Before != nil {
		p.h.Before(ctx, t)
	}
	if p.h.Submit != nil {
		return p.h.Submit(ctx, t, p.Adapter)
	}
	return p.Adapter.Submit(ctx, t)
}

func (p hooked) Lookup(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	if p.h.Lookup != nil {
		return p.h.Lookup(ctx, t, p.Adapter)
	}
	return p.Adapter.Lookup(ctx, t)
}

// Sender makes a replica with its own connectors and identity.
func (e *Env) Sender(h ...Hooks) *Sender {
	e.t.Helper()
	var hooks Hooks
	if len(h) > 0 {
		hooks = h[0]
	}
	real := e.kind.New(e.Config, e.Clock)
	conn := connector.New(payoutstest.Tenant, e.Config, hooked{real, hooks})
	conn.Verifier, _ = real.(provider.WebhookVerifier) // which the hooks hide
	conn.Balance, _ = real.(provider.BalanceReader)
	if conn.Verify != "" {
		if conn.Recipients, _ = real.(provider.RecipientVerifier); hooks.Verify != nil {
			conn.Recipients = hooks.Verify
		}
	}
	if l, ok := real.(provider.Lockout); ok && l.LocksOut() {
		conn.Proof = &provider.Proof{}
	}
	conn.Policy.Lease = time.Duration(e.lease.Load())
	conn.Policy.Margin = conn.Policy.Lease / 10
	s := &Sender{Connectors: &connector.Set{}, Connector: conn}
	s.Connectors.Add(conn)
	e.served = s.Connectors
	logger := slog.New(slog.NewTextHandler(testWriter{e.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.Outcomes = outcome.New(outcome.Deps{
		Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: s.Connectors, Logger: logger,
	})
	s.Float = float.New(float.Deps{Pool: e.Pool, Clock: e.Clock, States: e.States, Connectors: s.Connectors, Tenants: e.Tenants, Logger: logger})
	e.Store.Float = s.Float // the newest replica's; they look at the same rows
	gate := &precheck.Gate{Clock: e.Clock, Reference: payout.Reference, MustTell: attempt.MustTellPayee}
	book := &disburse.Book{Store: e.Store, Outcomes: s.Outcomes, Clock: e.Clock}
	s.Dispatcher = dispatch.New(dispatch.Config{Service: store.Service, Item: "payout", Owner: uuid.NewString()}, dispatch.Deps{
		Pool: e.Pool, Runs: e.Store.Runs, Outbox: e.Outbox, Clock: e.Clock, Connectors: s.Connectors, States: e.States, Logger: logger,
		Book: book, Help: book.Help, Funds: s.Float, Prechecks: gate,
	})
	s.Prechecks = &precheck.Worker{
		Service: store.Service, Pool: e.Pool, Outbox: e.Outbox, Clock: e.Clock, Connectors: s.Connectors, Runs: e.Store.Runs, Gate: gate, Logger: logger,
	}
	s.Recipients = &recipient.Worker{Pool: e.Pool, Clock: e.Clock, Connectors: s.Connectors, States: e.States, Logger: logger}
	s.Worker = reconcile.New(reconcile.Config{Service: store.Service, Item: "payout"}, reconcile.Deps{
		Pool: e.Pool, Outbox: e.Outbox, Clock: e.Clock, Connectors: s.Connectors, Book: &outcome.Book{Outcomes: s.Outcomes, States: e.States}, Logger: logger,
	})
	return s
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil { // a sender that was left for dead may speak after its test
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// Phone is the wallet of payee n in the country of the sample tenant; Peer is its local form.
func Phone(n int) string { return "+225" + Peer(n) }

// Peer is the local number of payee n.
func Peer(n int) string { return fmt.Sprintf("07000%05d", n) }

// Payee is the id of payee n.
func Payee(n int) string { return fmt.Sprintf("drv-%05d", n) }

// Plan imports one payment of 30,000 for each of n payees, 24,000 net, and plans the evening's run without sending.
func (e *Env) Plan(n int) uuid.UUID {
	e.t.Helper()
	var csv strings.Builder
	csv.WriteString(payoutstest.Header)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&csv, "pay-%d,%s,Livreur,%s,30000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n", i, Payee(i), e.kind.phone(i))
	}
	if _, refused := e.Import(csv.String()); len(refused) > 0 {
		e.t.Fatalf("refused: %v", refused)
	}
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	id := e.Run(payoutstest.Daily(Evening))
	if got := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'"); got != int64(n) {
		e.t.Fatalf("%d of %d payouts are approved", got, n)
	}
	return id
}

// Send plans n payouts and sends the run's pages with s until nothing of them can go now.
func (e *Env) Send(s *Sender, n int) uuid.UUID {
	e.t.Helper()
	id := e.Plan(n)
	e.Dispatch(s, id)
	return id
}

// Dispatch sends every page of a run with s.
func (e *Env) Dispatch(s *Sender, run uuid.UUID) {
	e.t.Helper()
	for page := range int(e.Count("SELECT COALESCE(max(page), -1) + 1 FROM payouts WHERE run_id = $1", run)) {
		e.page(s, run, page)
	}
}

// returns is how long a page may take, however busy the machine is. Time stands still in most tests: a page that waits for it
// would wait for ever.
const returns = 90 * time.Second

func (e *Env) page(s *Sender, run uuid.UUID, page int) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.Ctx(), returns)
	defer cancel()
	switch err := s.Dispatch(ctx, run, page); {
	case ctx.Err() != nil:
		e.t.Fatalf("page %d of run %s does not end (%v): %v", page, run, err, e.PayoutStates())
	case err != nil:
		e.t.Fatal(err)
	}
}

// Pass lets s take over and look up what is due, until there is no more.
func (e *Env) Pass(s *Sender) {
	e.t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.Worker.Pass(e.t.Context()); err != nil {
			e.t.Fatal(err)
		}
	}
}

// TakeOver ends the leases of all submitting attempts, as time would, and lets s take them over.
func (e *Env) TakeOver(s *Sender) {
	e.t.Helper()
	e.SQL("UPDATE attempts SET lease_expires_at = now() - interval '1 second' WHERE state = 'submitting'")
	e.Pass(s)
}

// Sweep sweeps once and hands the dispatch commands that follow to s.
func (e *Env) Sweep(s *Sender) {
	e.t.Helper()
	e.SweepOnly()
	e.Commands(s)
}

// SweepOnly sweeps once; the dispatch commands that follow wait for Commands.
func (e *Env) SweepOnly() {
	e.t.Helper()
	for _, m := range e.Messages(stream.Commands) {
		e.seen[m.Seq] = true
	}
	log := slog.New(slog.DiscardHandler)
	outcomes := outcome.New(outcome.Deps{Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: e.served, Logger: log})
	sw := sweep.New(e.Store, outcomes, &precheck.Gate{Clock: e.Clock, Reference: payout.Reference, MustTell: attempt.MustTellPayee}, log, nil)
	sw.Patience = time.Second
	if err := sw.Once(e.Ctx()); err != nil {
		e.t.Fatal(err)
	}
	for _, step := range []string{"start_run", "settle_run", "release", "release_queue", "end_plan", "wake_page", "wake_planning"} {
		if n := testutil.ToFloat64(sw.Stuck.WithLabelValues(step)); n != 0 {
			e.t.Fatalf("an error keeps %v from %s", n, step)
		}
	}
}

// Hint brings a webhook about every attempt there is; what it says of them was not understood.
func (e *Env) Hint(s *Sender) {
	e.t.Helper()
	var notices []webhook.Notice
	for _, a := range e.attempts() {
		notices = append(notices, webhook.Notice{Reference: a.reference})
	}
	e.InTx(func(tx pgx.Tx) error {
		_, err := s.Worker.Match(e.Ctx(), tx, payoutstest.Tenant, e.Config.Name, notices)
		return err
	})
}

// Commands hands the dispatch commands that nobody has had yet to s.
func (e *Env) Commands(s *Sender) {
	e.t.Helper()
	for _, m := range e.Messages(stream.Commands) {
		c, err := run.Decode(store.Service, m.Subject, m.Payload)
		if err != nil {
			e.t.Fatal(err)
		}
		if e.seen[m.Seq] || c.Verb != run.VerbDispatch {
			continue
		}
		e.seen[m.Seq] = true
		e.page(s, c.Run, c.Page)
	}
}

// DispatchMoving is Dispatch while time passes.
func (e *Env) DispatchMoving(s *Sender, run uuid.UUID) {
	e.t.Helper()
	e.Moving(func() { e.Dispatch(s, run) })
}

// Moving runs fn while time passes: whenever something sleeps, the clock moves on by a second.
func (e *Env) Moving(fn func()) {
	ctx, cancel := context.WithCancel(e.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for e.Clock.BlockUntil(ctx, 1) == nil {
			e.Clock.Advance(time.Second)
		}
	})
	defer wg.Wait()
	defer cancel()
	fn()
}

// StopTenant stops or starts the tenant's outflow, as a person does.
func (e *Env) StopTenant(stopped bool) {
	e.t.Helper()
	e.SQL(`INSERT INTO outflows (tenant, stopped, changed_at) VALUES ($1, $2, now())
		ON CONFLICT (tenant) DO UPDATE SET stopped = EXCLUDED.stopped`, payoutstest.Tenant, stopped)
}

// SweepMoving is Sweep while time passes.
func (e *Env) SweepMoving(s *Sender) {
	e.t.Helper()
	e.Moving(func() { e.Sweep(s) })
}

// DyingPair lets two senders work on a run at once until each dies at a random send: from then on its calls do not return
// before the test ends, and it records nothing more.
func (e *Env) DyingPair(run uuid.UUID, random *rand.Rand) {
	e.t.Helper()
	var senders []*Sender
	var dead []*mortal
	for range 2 {
		m := &mortal{left: int64(1 + random.IntN(15)), before: random.IntN(2) == 0, over: make(chan struct{}), died: make(chan struct{})}
		e.t.Cleanup(func() { close(m.over); m.working.Wait() })
		db := e.Database()
		s := e.Sender(Hooks{Submit: func(ctx context.Context, t provider.Transfer, real provider.Submitter) provider.Result {
			return m.submit(ctx, t, real, db)
		}})
		s.Pool = db.Pool
		senders, dead = append(senders, s), append(dead, m)
	}
	pages := int(e.Count("SELECT COALESCE(max(page), -1) + 1 FROM payouts WHERE run_id = $1", run))
	e.Moving(func() {
		var wg sync.WaitGroup
		for i, m := range dead {
			finished := make(chan struct{})
			m.working.Go(func() {
				defer close(finished)
				for page := range pages {
					_ = senders[i].Dispatch(context.WithoutCancel(e.Ctx()), run, page)
				}
			})
			wg.Go(func() {
				select {
				case <-m.died:
				case <-finished:
				}
			})
		}
		wg.Wait()
	})
	e.Clock.Advance(time.Second)
}

// mortal is what makes a sender die.
type mortal struct {
	left    int64 // sends until then
	before  bool  // or after it
	over    chan struct{}
	died    chan struct{}
	once    sync.Once
	mu      sync.Mutex
	working sync.WaitGroup
}

func (m *mortal) submit(ctx context.Context, t provider.Transfer, real provider.Submitter, db *pgtest.Line) provider.Result {
	m.mu.Lock()
	m.left--
	dead := m.left <= 0
	m.mu.Unlock()
	if !dead {
		return real.Submit(ctx, t)
	}
	if !m.before {
		real.Submit(context.WithoutCancel(ctx), t)
	}
	m.once.Do(func() { db.Cut(); close(m.died) }) // the others' answers are lost with the process
	<-m.over
	return provider.Result{Class: provider.Ambiguous, Code: "dead"}
}
