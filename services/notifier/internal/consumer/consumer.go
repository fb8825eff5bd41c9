// Package consumer takes events from the stream to rows: it decides who hears what, puts it into words, and writes
// notifications, pushes and events in the transaction that also remembers the event as handled. It never sends anything.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/services/notifier/internal/batch"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
	"github.com/agogopay/agogo/services/notifier/internal/store"
	"github.com/agogopay/agogo/services/notifier/internal/text"
)

// Config tunes the consumer.
type Config struct {
	Durable string // the inbox's name for this consumer
	Batch   int    // most events in one transaction; 0: as many as the service's loops handle at once, so that whatever waits is in the next one
	// Pace is the least time between the beginnings of two transactions; 0: 50 ms. On a busy evening what comes within it is
	// told in one: a transaction for a handful of events costs nearly as much, and so does what it leaves to the outbox's relay.
	Pace time.Duration
	// Pushes is false where no push service is configured: then the row is all there is.
	Pushes bool
}

// Deps are what the consumer needs.
type Deps struct {
	Store   *store.Store
	Texts   *text.Texts
	Tenants *config.File
	Metrics *Metrics
	Logger  *slog.Logger
	// Queued is called after pushes were committed; may be nil.
	Queued func()
}

// Consumer handles events.
type Consumer struct {
	cfg     Config
	deps    Deps
	batches *batch.Writer[*item]
}

// New makes a consumer; [Consumer.Run] must run while messages are handled.
func New(c Config, d Deps) *Consumer {
	if c.Batch <= 0 {
		c.Batch = atOnce()
	}
	if c.Pace <= 0 {
		c.Pace = 50 * time.Millisecond
	}
	n := &Consumer{cfg: c, deps: d}
	n.batches = batch.New(batch.Config{Most: c.Batch, Pace: c.Pace, Limit: commitTimeout}, batch.Deps[*item]{Write: n.write, Passing: passing, Apart: counted, Logger: d.Logger})
	return n
}

// atOnce is how many events may wait for a transaction: those of the stream, and dead ones that are replayed.
func atOnce() int {
	return stream.Consumer(stream.Notifier).Workers + stream.Consumer(stream.NotifierExec).Workers
}

// commitTimeout bounds a transaction, with those that it falls apart into. Twice this, the pace and a roll-back that is not answered (5 s) are less than
// a handler has ([stream.ConsumerSpec.Handling], 24 s), so everybody hears how it ended: who comes during a transaction waits for that one and its own.
const commitTimeout = 9 * time.Second

// item is an event that says something, on its way into a transaction.
type item struct {
	id       string // ce-id
	at       time.Time
	decision notice.Decision
	origin   store.Origin
}

// Handle is the stream's handler. What nobody hears of is acknowledged without touching the database. What is heard
// waits for the transaction that takes it, together with what other workers hold at that moment.
func (c *Consumer) Handle(ctx context.Context, m stream.Message) error {
	e, heard, err := c.decode(m)
	if err != nil {
		return stream.Permanent(err)
	}
	if !heard {
		return nil
	}
	var d notice.Decision
	for _, e := range c.hearers(e) {
		of := notice.Decide(e)
		d.Notices, d.Changes = append(d.Notices, of.Notices...), append(d.Changes, of.Changes...)
	}
	if len(d.Notices)+len(d.Changes) == 0 {
		return nil
	}
	// When ctx ends before, it may yet be committed; when it comes again, its notices are there already by their ids, and the inbox knows its changes.
	return c.batches.Put(ctx, &item{
		id: e.ID, at: e.At, decision: d,
		origin: store.Origin{Cause: event.CauseFrom(ctx), Traceparent: telemetry.Traceparent(ctx)},
	})
}

// decode reads an event; heard is false for one that tells nobody anything, whoever publishes it.
func (c *Consumer) decode(m stream.Message) (e notice.Event, heard bool, err error) {
	t, ok := typeOf(m)
	if !ok {
		return notice.Event{}, false, nil
	}
	if t == "payout.approved" && planned(m) {
		return notice.Event{}, false, nil
	}
	env, err := event.ParseHeaders(m.Header)
	if err != nil {
		return notice.Event{}, false, fmt.Errorf("headers: %w", err)
	}
	tenant, ok := c.deps.Tenants.Tenant(env.Tenant)
	// A dead letter may be one whose tenant cannot be told: of all things, that must not be dropped in silence.
	if !ok && t.Aggregate() != event.DeadLetter.Aggregate {
		return notice.Event{}, false, fmt.Errorf("tenant %q is not in %s: add it, restart the notifier and replay this message",
			env.Tenant, c.deps.Tenants.Path)
	}
	s, err := snapshot(t, m.Data)
	if err != nil {
		return notice.Event{}, false, err
	}
	return notice.Event{
		ID: env.ID, Type: t, Tenant: env.Tenant, Service: env.Service, Order: order(env), At: env.Time, Zone: zone(tenant), Snapshot: s,
	}, true, nil
}

// planned reports whether a payout was approved as soon as it was created. One that was in doubt or waited for people has come
// further, and only that is heard of: of nearly every approval nothing else need be read.
func planned(m stream.Message) bool {
	version, err := strconv.ParseInt(m.Header("ce-aggversion"), 10, 64)
	return err == nil && version <= plannedVersion
}

const plannedVersion = 2

// hearers is the event as each tenant that hears of it does. A dead letter whose tenant cannot be told, or is not ours, is
// for the operators of all: somebody must look, and nobody here knows who.
func (c *Consumer) hearers(e notice.Event) []notice.Event {
	all := c.deps.Tenants.Tenants
	if _, ours := c.deps.Tenants.Tenant(e.Tenant); ours || len(all) == 0 {
		return []notice.Event{e}
	}
	each := make([]notice.Event, len(all))
	for i, t := range all {
		each[i] = e
		each[i].Tenant, each[i].Zone = t.ID, zone(t)
	}
	return each
}

// typeOf is the event's type if anybody hears of it.
func typeOf(m stream.Message) (event.Type, bool) {
	t, err := event.ParseCloudEvent(m.Header("ce-type"))
	return t, err == nil && notice.Heard(t)
}

// order ranks the events of one aggregate. After a restore versions may begin again below those that were seen, so the
// epoch, which rises then, leads.
func order(e event.Envelope) int64 { return int64(e.Epoch)<<40 + e.Version }

func zone(t config.Tenant) *time.Location {
	if t.Location == nil {
		return time.UTC
	}
	return t.Location
}

// Run commits batches until ctx ends. It must be stopped after the stream's loop, whose handlers wait for it.
func (c *Consumer) Run(ctx context.Context) error { return c.batches.Run(ctx) }

// counted reports whether an event is counted in an alert, whose row somebody else may hold.
func counted(it *item) bool { return len(it.decision.Changes) > 0 }

// passing reports whether an error is nobody's of a batch. A row that is held, or work that takes too long, may be one event's.
func passing(err error) bool {
	over := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	return over || pg.Transient(err) && !pg.LockTimedOut(err) && !pg.TimedOut(err)
}
