package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// post is a service that sends parcels: the smallest one that there is. Its rows are waiting, away, or in the state that
// their attempt came to.
type post struct {
	t          testing.TB
	clock      *clock.Virtual
	runs       *run.Store
	states     *provider.States
	connectors *connector.Set
	dispatcher *dispatch.Dispatcher
	run        uuid.UUID

	mu      sync.Mutex
	calls   []provider.Transfer
	answer  func(ctx context.Context, t provider.Transfer) provider.Result // nil: succeeded
	gate    func() dispatch.Gate                                           // nil: open
	fail    func(step string) error                                        // of the book; nil: never
	saw     func(step string, tx pgx.Tx)                                   // "claiming", "begun" or "recorded", in the transaction; nil: nobody looks
	moved   []attempt.Moved
	late    []attempt.Outcome
	watched []string
}

const tenant = "lebenis"

func newPost(t testing.TB) *post {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, run.Migrations, provider.Migrations, attempt.Migrations)
	p := &post{t: t, clock: clock.NewVirtual(time.Date(2025, 1, 24, 23, 59, 5, 0, time.UTC)), connectors: &connector.Set{}}
	box := outbox.New(outbox.Config{Service: "post"}, outbox.Deps{Pool: pool})
	p.runs = &run.Store{Service: "post", Pool: pool, Outbox: box, Clock: p.clock, Items: p}
	p.states = &provider.States{Service: "post", Outbox: box, Clock: p.clock}
	p.serve("dhl")
	p.dispatcher = dispatch.New(dispatch.Config{Service: "post", Item: "parcel", Owner: "clerk"}, dispatch.Deps{
		Pool: pool, Runs: p.runs, Outbox: box, Clock: p.clock, Connectors: p.connectors, States: p.states, Book: p,
		Logger: slog.New(slog.DiscardHandler),
	})
	p.sql(`CREATE TABLE parcels (id uuid PRIMARY KEY, run_id uuid, page integer, provider text, state text DEFAULT 'waiting', not_before timestamptz)`)
	p.run = uuid.New()
	p.sql(`INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, state, planned, version, created_at)
		VALUES ($1, 'tick', $2, 'daily', 'post/daily', now(), '2025-01-24', now(), now(), 'UTC', 'cron', 'running', true, 1, now())`, p.run, tenant)
	return p
}

// serve adds a provider of 4 slots.
func (p *post) serve(name string) *connector.Connector {
	c := connector.New(tenant, config.Provider{Name: name, Kind: "van", Timeout: 5 * time.Second, Concurrency: 4}, p)
	p.connectors.Add(c)
	return c
}

func (p *post) parcels(n, page int, through string) {
	p.t.Helper()
	p.sql("INSERT INTO parcels (id, run_id, page, provider) SELECT gen_random_uuid(), $1, $2, $3 FROM generate_series(1, $4)", p.run, page, through, n)
}

func (p *post) sql(sql string, args ...any) {
	p.t.Helper()
	if _, err := p.runs.Pool.Exec(context.WithoutCancel(p.t.Context()), sql, args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) count(sql string, args ...any) (n int) {
	p.t.Helper()
	if err := p.runs.Pool.QueryRow(p.t.Context(), sql, args...).Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// in counts the parcels in a state.
func (p *post) in(state string) int {
	return p.count("SELECT count(*) FROM parcels WHERE state = $1", state)
}

func (p *post) dispatch() {
	p.t.Helper()
	if err := p.dispatcher.Dispatch(p.t.Context(), p.run, 0); err != nil {
		p.t.Fatal(err)
	}
}

// dispatchMoving is dispatch while time passes.
func (p *post) dispatchMoving() {
	p.t.Helper()
	p.whileTimePasses(p.dispatch)
}

// whileTimePasses does something, and whenever something sleeps meanwhile, the clock moves on by a second.
func (p *post) whileTimePasses(do func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	var passing sync.WaitGroup
	passing.Go(func() {
		for p.clock.BlockUntil(ctx, 1) == nil {
			p.clock.Advance(time.Second)
		}
	})
	defer passing.Wait()
	defer cancel()
	do()
}

// Submit is the provider.
func (p *post) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	p.mu.Lock()
	p.calls = append(p.calls, t)
	p.mu.Unlock()
	if p.answer != nil {
		return p.answer(ctx, t)
	}
	return provider.Result{Class: provider.Succeeded}
}

// Lookup is not asked by a dispatcher.
func (p *post) Lookup(context.Context, provider.Transfer) (provider.Found, error) {
	p.t.Error("a dispatcher looked up")
	return provider.Found{}, errors.ErrUnsupported
}

func (p *post) sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// The book.

func (p *post) failing(step string) error {
	if p.fail == nil {
		return nil
	}
	return p.fail(step)
}

func (p *post) Providers(ctx context.Context, q dispatch.DBTX, at run.Place) ([]string, error) {
	rows, err := q.Query(ctx, "SELECT DISTINCT provider FROM parcels WHERE run_id = $1 AND page = $2 AND state = 'waiting' ORDER BY 1", at.Run, at.Page)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (p *post) Gate(_ context.Context, _ dispatch.DBTX, _ dispatch.Lane, st provider.Status) (dispatch.Gate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case st.State == provider.Stopped:
		return dispatch.Gate{Code: dispatch.CodeStopped, Stay: true}, p.failing("gate")
	case p.gate != nil:
		return p.gate(), p.failing("gate")
	default:
		return dispatch.Gate{}, p.failing("gate")
	}
}

func (p *post) Hold(ctx context.Context, tx pgx.Tx, l dispatch.Lane, code string, most int) (int, error) {
	return p.aside(ctx, tx, l, code, most)
}

func (p *post) Unserved(ctx context.Context, tx pgx.Tx, l dispatch.Lane) error {
	if l.Connector != nil {
		p.t.Error("a lane that is served is called unserved")
	}
	_, err := p.aside(ctx, tx, l, "unserved", 100)
	return err
}

func (p *post) aside(ctx context.Context, tx pgx.Tx, l dispatch.Lane, state string, most int) (int, error) {
	tag, err := tx.Exec(ctx, `UPDATE parcels SET state = $1 WHERE id IN (
		SELECT id FROM parcels WHERE run_id = $2 AND page = $3 AND provider = $4 AND state = 'waiting' LIMIT $5)`, state, l.Run.ID, l.Page, l.Provider, most)
	return int(tag.RowsAffected()), err
}

func (p *post) Claim(ctx context.Context, tx pgx.Tx, l dispatch.Lane, most int, resting []uuid.UUID) (dispatch.Claim, error) {
	if p.saw != nil {
		p.saw("claiming", tx)
	}
	rows, err := tx.Query(ctx, `SELECT id FROM parcels WHERE run_id = $1 AND page = $2 AND provider = $3 AND state = 'waiting'
		AND NOT (id = ANY($4)) AND (not_before IS NULL OR not_before <= $5) ORDER BY id LIMIT $6 FOR UPDATE SKIP LOCKED`,
		l.Run.ID, l.Page, l.Provider, resting, p.clock.Now(), most)
	if err != nil {
		return dispatch.Claim{}, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return dispatch.Claim{}, err
	}
	c := dispatch.Claim{Description: "parcel"}
	for _, id := range ids {
		c.Starts = append(c.Starts, attempt.Start{
			Key: attempt.Key{Subject: id, Number: 1}, Tenant: tenant, Provider: l.Provider, Reference: id.String(),
			Amount: money.Amount{Minor: 100, Currency: "XOF"},
		})
	}
	c.Begun = func(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt) error {
		var ids []uuid.UUID
		for _, a := range begun {
			ids = append(ids, a.Subject)
		}
		_, err := tx.Exec(ctx, "UPDATE parcels SET state = 'away' WHERE id = ANY($1)", ids)
		if p.saw != nil {
			p.saw("begun", tx)
		}
		return errors.Join(err, p.failing("begun"))
	}
	return c, nil
}

func (p *post) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	if p.saw != nil {
		p.saw("recorded", tx)
	}
	for _, m := range moved {
		state := string(m.Attempt.State)
		if m.Attempt.State == attempt.NotSent {
			state = "waiting"
		}
		if _, err := tx.Exec(ctx, "UPDATE parcels SET state = $1, not_before = $2 WHERE id = $3", state, m.NotBefore, m.Attempt.Subject); err != nil {
			return err
		}
		if err := p.failing(m.Attempt.Subject.String()); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = append(p.moved, moved...)
	return nil
}

func (p *post) Late(_ context.Context, _ pgx.Tx, answers []attempt.Outcome) error {
	p.late = append(p.late, answers...)
	return nil
}

func (p *post) Watch(_ context.Context, _ pgx.Tx, l dispatch.Lane, faults int, answered bool) error {
	p.watched = append(p.watched, fmt.Sprintf("%s %d %v", l.Provider, faults, answered))
	return nil
}

func (p *post) Settle(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error {
	return p.runs.Settle(event.WithCause(ctx, event.Cause{}), tx, runs...)
}

// The run's items.

func (p *post) Finishable(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `SELECT run_id FROM runs r WHERE run_id = ANY($1) AND state = 'running'
		AND NOT EXISTS (SELECT 1 FROM parcels p WHERE p.run_id = r.run_id AND p.state IN ('waiting', 'away'))`, runs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func (p *post) Sums(context.Context, pgx.Tx, run.Run) (map[string]int64, map[string]*eventsv1.Money, error) {
	return nil, nil, nil
}
