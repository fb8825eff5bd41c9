package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/clock"
)

const (
	ackTimeout = 5 * time.Second
	stallWait  = 5 * time.Second
	window     = 1024
	// finishTime bounds what is done after the context ended: marking what was published, giving leases back.
	finishTime = 10 * time.Second
)

// relay is one Run.
type relay struct {
	*Outbox
	js     jetstream.JetStream
	leases *leases
	wg     sync.WaitGroup
	lanes  map[string]*lane // by stream: a full or leaderless stream holds up nothing but itself
}

// Run relays until ctx ends, then awaits what is in flight and gives its leases back.
func (o *Outbox) Run(ctx context.Context) error {
	js, err := o.publisher()
	if err != nil {
		return fmt.Errorf("outbox of %s: %w", o.cfg.Service, err)
	}
	defer js.CleanupPublisher()
	r := &relay{Outbox: o, js: js, leases: newLeases(o), lanes: map[string]*lane{}}
	// One beat before the first poll, so that it finds parts to relay.
	r.leases.beat(ctx)
	r.wg.Go(func() { r.leases.run(ctx) })
	r.wg.Go(func() { r.upkeep(ctx) })
	r.poll(ctx)
	r.wg.Wait()

	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	r.leases.leave(end)
	return nil
}

// publisher is a JetStream context of our own on the caller's connection, for its limits belong to the relay.
func (o *Outbox) publisher() (jetstream.JetStream, error) {
	opts := []jetstream.JetStreamOpt{jetstream.WithPublishAsyncTimeout(ackTimeout), jetstream.WithPublishAsyncMaxPending(window)}
	conn, given := o.deps.JS.Conn(), o.deps.JS.Options()
	switch {
	case given.Domain != "":
		return jetstream.NewWithDomain(conn, given.Domain, opts...)
	case given.APIPrefix != "":
		return jetstream.NewWithAPIPrefix(conn, given.APIPrefix, opts...)
	}
	return jetstream.New(conn, opts...)
}

// pace is the least time between two looks. Many transactions end within it on a busy evening, and are relayed together.
const pace = 20 * time.Millisecond

// poll looks for streams that have something waiting and wakes their lanes.
func (r *relay) poll(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Poll)
	defer tick.Stop()
	failed := false
	for ctx.Err() == nil {
		next := time.After(pace)
		err := r.look(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			r.deps.Logger.ErrorContext(ctx, "outbox cannot read its table", "err", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-r.nudge:
		}
		select {
		case <-ctx.Done():
		case <-next:
		}
	}
}

// lookWithin bounds one look, which is a few steps of an index: only a connection that is gone and does not say so takes longer.
const lookWithin = 10 * time.Second

func (r *relay) look(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	waiting, err := r.byIndex().Waiting(within)
	if err != nil {
		r.metrics.unread(clock.Real().Now())
		return err
	}
	r.metrics.setOldest(clock.Real().Now(), waiting)
	for _, w := range waiting {
		l, ok := r.lanes[w.Stream]
		if !ok {
			l = newLane(r, w.Stream)
			r.lanes[w.Stream] = l
			r.wg.Go(func() { l.run(ctx) })
		}
		l.awake()
	}
	return nil
}
