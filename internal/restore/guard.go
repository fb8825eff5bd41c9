package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/restore/db"
	"github.com/agogopay/agogo/internal/rpc"
)

// State is whether a service works.
type State string

// The states of a guard.
const (
	Checking State = "checking" // it is not known yet whether EVENTS is ahead
	Unmarked State = "unmarked" // EVENTS is ahead of the tables: nothing is done until a restore is marked
	Running  State = "running"
)

// Deps are what a guard looks with.
type Deps struct {
	Service  string
	Pool     *pgxpool.Pool
	JS       jetstream.JetStream
	Epoch    *event.Epoch // raised as marks are found
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: not measured
}

// Guard holds a service back while EVENTS knows more of it than its tables do: they were restored from a backup, or a standby has
// taken over that was behind. Whatever such a service would do it may have done already. It looks once when the service
// starts, and every second at whether the tables have gone back under it.
type Guard struct {
	Deps
	metric prometheus.Gauge

	looking sync.Mutex // one look at a time: of two, the older could be the last to speak

	mu      sync.Mutex
	state   State
	problem string
	known   int64         // the newest message of the outbox that was seen
	parcel  outbox.Parcel // the newest row of it that was seen
	line    string        // the cluster's timeline; "" while it is not known
	opened  chan struct{} // closed while running
}

// NewGuard makes a guard that has not looked yet.
func NewGuard(d Deps) *Guard {
	g := &Guard{Deps: d, state: Checking, problem: "what was published is not read yet", opened: make(chan struct{})}
	g.metric = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "agogo_" + d.Service + "_restore_unmarked", Help: "1 while more was published than the tables know, and nothing is done.",
	})
	if d.Registry != nil {
		d.Registry.MustRegister(g.metric)
	}
	return g
}

// watchEvery is how often the tables are looked at, checkPatience how long one look at EVENTS may take when a service starts.
const (
	watchEvery    = time.Second
	checkPatience = 20 * time.Second
)

// Start looks for the first time. It fails only when the tables cannot be read; without NATS the look is repeated by Run.
func (g *Guard) Start(ctx context.Context) error {
	if err := g.look(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	if err := g.check(ctx); err != nil {
		g.Logger.WarnContext(ctx, g.Service+": nothing is done before EVENTS could be read", "error", err)
	}
	return nil
}

// Run goes on looking until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := g.look(ctx)
		if err == nil && g.State() == Checking {
			err = g.check(ctx)
		}
		if err != nil && ctx.Err() == nil {
			g.Logger.WarnContext(ctx, g.Service+": looking for a restore failed, trying again", "error", err)
		}
	}
}

// look reads the tables: a mark opens, tables that have gone back close.
func (g *Guard) look(ctx context.Context) error {
	g.looking.Lock()
	defer g.looking.Unlock()
	mark, err := Newest(ctx, g.Pool)
	if err != nil {
		return err
	}
	known, err := outbox.ReadKnown(ctx, g.Pool)
	if err != nil {
		return err
	}
	newest, err := outbox.NewestParcel(ctx, g.Pool)
	if err != nil {
		return err
	}
	// Last: what goes back after this takes newest with it, which the next look misses.
	has, err := outbox.Has(ctx, g.Pool, g.parcel)
	if err != nil {
		return err
	}
	g.followTimeline(ctx)
	epoch := g.Epoch.Now()
	switch {
	case mark.Epoch > epoch:
		g.Epoch.RiseTo(mark.Epoch)
		g.seen(known.Seq, newest)
		if g.State() == Unmarked {
			g.set(ctx, Running, "")
		}
	case mark.Epoch < epoch:
		g.set(ctx, Unmarked, fmt.Sprintf("the tables went back from epoch %d to %d", epoch, mark.Epoch))
	case known.Seq < g.last():
		g.set(ctx, Unmarked, fmt.Sprintf("the outbox went back from message %d to %d", g.last(), known.Seq))
	case !has:
		g.set(ctx, Unmarked, fmt.Sprintf("message %d of the outbox was there and is not any more", g.parcel.Seq))
	default:
		g.seen(known.Seq, newest)
	}
	return nil
}

// followTimeline has EVENTS read again when another server took over: what it lacks may be hidden by what was committed since.
func (g *Guard) followTimeline(ctx context.Context) {
	line, err := db.New(g.Pool).Timeline(ctx)
	if err != nil || line == "" {
		return // not every Postgres tells, and the look at the newest row does without
	}
	if g.line != "" && line != g.line && g.State() == Running {
		g.set(ctx, Checking, "another database server took over: what was published is read again")
	}
	g.line = line
}

// check compares EVENTS with the tables. EVENTS is read first: what is published was committed before.
func (g *Guard) check(ctx context.Context) error {
	g.looking.Lock()
	defer g.looking.Unlock()
	t, err := readTold(ctx, g.JS, g.Service)
	if err != nil {
		return err
	}
	mark, err := Newest(ctx, g.Pool)
	if err != nil {
		return err
	}
	known, err := outbox.ReadKnown(ctx, g.Pool)
	if err != nil {
		return err
	}
	problem := t.ahead(mark.Epoch, known)
	if problem == "" && t.epoch == mark.Epoch { // the first commit after a loss passes its places, for sequences jump ahead then
		absent, err := outbox.Absent(ctx, g.Pool, t.places, t.ids)
		if err != nil {
			return err
		}
		if absent > 0 {
			problem = fmt.Sprintf("EVENTS has message %d of the outbox, which the tables do not have", absent)
		}
	}
	if problem != "" {
		g.set(ctx, Unmarked, problem)
		return nil
	}
	g.set(ctx, Running, "")
	return nil
}

func (g *Guard) last() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known
}

func (g *Guard) seen(seq int64, newest outbox.Parcel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known, g.parcel = seq, newest
}

func (g *Guard) set(ctx context.Context, s State, problem string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == s {
		return
	}
	switch {
	case s == Running:
		close(g.opened)
		g.metric.Set(0)
	case g.state == Running:
		g.opened = make(chan struct{})
	}
	if s == Unmarked {
		g.metric.Set(1)
		g.Logger.ErrorContext(ctx, g.Service+": more was published than the tables know, so they were restored from a backup: nothing is done until 'agogo restore mark --reason TEXT'",
			"problem", problem)
	}
	g.state, g.problem = s, problem
}

// State tells whether the service works.
func (g *Guard) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// Problem tells why it does not, "" while it does.
func (g *Guard) Problem() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.problem
}

// Refuse is why nothing may be changed now, or nil; see outbox.Deps.
func (g *Guard) Refuse() error {
	if g.State() == Running {
		return nil
	}
	return rpc.Refused("restore_"+string(g.State()), "follow docs/runbooks/restore.md, which ends with 'agogo restore mark --reason TEXT'", "%s changes nothing now: %s", g.Service, g.Problem())
}

// Ready says why a service that is being checked is not ready. One that waits for its mark is: it must be reached for that.
func (g *Guard) Ready(context.Context) error {
	if g.State() == Checking {
		return errors.New(g.Problem())
	}
	return nil
}

// Before makes a part that begins when the service works.
func (g *Guard) Before(run func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := g.Await(ctx); err != nil {
			return nil //nolint:nilerr // the context ended, which is how a part stops
		}
		return run(ctx)
	}
}

// ReadyAfter makes a readiness check that counts when the service works.
func (g *Guard) ReadyAfter(check func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if g.State() != Running {
			return nil
		}
		return check(ctx)
	}
}

// Await returns when the service works, or with the context's error.
func (g *Guard) Await(ctx context.Context) error {
	for {
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		select {
		case <-opened:
			if g.State() == Running {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
