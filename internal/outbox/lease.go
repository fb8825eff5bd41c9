package outbox

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/outbox/db"
)

// leases are the parts that this relay owns. Two relays on one part would do no harm but double work; so the lease is
// short, and its expiry is measured by the database on one side and, more cautiously, by a timer of ours on the other.
type leases struct {
	o     *Outbox
	owner string

	mu     sync.Mutex
	mine   map[int16]*lease
	expiry *time.Timer // of what was renewed last
}

type lease struct {
	term int64
	gone atomic.Bool
}

// lost reports that the part must not be relayed any more. A nil lease was never held.
func (l *lease) lost() bool { return l == nil || l.gone.Load() }

func newLeases(o *Outbox) *leases {
	return &leases{o: o, owner: uuid.NewString(), mine: map[int16]*lease{}}
}

// held is what may be relayed now.
func (s *leases) held() map[int16]*lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(map[int16]*lease, len(s.mine))
	for part, l := range s.mine {
		held[part] = l
	}
	return held
}

// run renews until ctx ends.
func (s *leases) run(ctx context.Context) {
	tick := time.NewTicker(s.o.cfg.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.beat(ctx)
		}
	}
}

// beat renews the leases, gives back those above our quota and takes free ones below it. When the database does not
// answer nothing changes here: the timer of the last renewal ends what has become doubtful.
func (s *leases) beat(ctx context.Context) {
	// Started before the database counts, and shorter: we stop before others may begin.
	fresh := time.AfterFunc(s.o.cfg.Lease*3/4, s.expire)
	err := func() error {
		quota, err := s.quota(ctx)
		if err != nil {
			return err
		}
		if err := s.renew(ctx); err != nil {
			return err
		}
		if err := s.release(ctx, s.surplus(quota)); err != nil {
			return err
		}
		return s.take(ctx, quota)
	}()
	if err != nil {
		fresh.Stop()
		if ctx.Err() == nil {
			s.o.deps.Logger.WarnContext(ctx, "outbox cannot renew its leases", "err", err)
		}
		return
	}
	s.mu.Lock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.expiry = fresh
	s.mu.Unlock()
	s.show() // also when nothing has changed: it may never have been told
}

// show tells how many parts are ours, as they come and go: a renewal that fails ends them later, and nobody beats after the last one.
func (s *leases) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.metrics.leases.WithLabelValues(s.o.cfg.Service).Set(float64(len(s.mine)))
}

// quota is our share of the parts: as even as whole numbers allow, whoever is asked. A relay without NATS wants nothing.
func (s *leases) quota(ctx context.Context) (int, error) {
	ttl := s.o.cfg.Lease.Seconds()
	if !s.o.deps.JS.Conn().IsConnected() {
		return 0, s.o.queries.Leave(ctx, s.owner)
	}
	h, err := s.o.queries.Heartbeat(ctx, db.HeartbeatParams{Owner: s.owner, TtlSeconds: ttl})
	if err != nil {
		return 0, fmt.Errorf("heartbeat: %w", err)
	}
	quota := parts / int(h.Members)
	if int(h.BeforeMe) < parts%int(h.Members) {
		quota++
	}
	return quota, nil
}

func (s *leases) renew(ctx context.Context) error {
	held := s.held()
	numbers, terms := split(held)
	kept, err := s.o.queries.Renew(ctx, db.RenewParams{TtlSeconds: s.o.cfg.Lease.Seconds(), Owner: s.owner, Parts: numbers, Terms: terms})
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	for _, part := range kept {
		delete(held, part)
	}
	s.drop(held)
	return nil
}

// surplus is what we hold beyond the quota.
func (s *leases) surplus(quota int) map[int16]*lease {
	over := s.held()
	for part := range over {
		if quota == 0 {
			break
		}
		delete(over, part)
		quota--
	}
	return over
}

// release stops relaying the parts, then lets others take them. What is in flight may still be marked by us.
func (s *leases) release(ctx context.Context, these map[int16]*lease) error {
	if len(these) == 0 {
		return nil
	}
	s.drop(these)
	numbers, terms := split(these)
	if err := s.o.queries.Release(ctx, db.ReleaseParams{Owner: s.owner, Parts: numbers, Terms: terms}); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (s *leases) take(ctx context.Context, quota int) error {
	held, _ := split(s.held())
	free := quota - len(held)
	if free <= 0 {
		return nil
	}
	taken, err := s.o.queries.Take(ctx, db.TakeParams{Owner: s.owner, TtlSeconds: s.o.cfg.Lease.Seconds(), Held: held, Size: int32(free)})
	if err != nil {
		return fmt.Errorf("take: %w", err)
	}
	s.mu.Lock()
	for _, t := range taken {
		s.mine[t.Part] = &lease{term: t.Term}
	}
	s.mu.Unlock()
	if len(taken) > 0 {
		s.o.Nudge()
	}
	return nil
}

func (s *leases) drop(these map[int16]*lease) {
	defer s.show()
	s.mu.Lock()
	defer s.mu.Unlock()
	for part, l := range these {
		l.gone.Store(true)
		if s.mine[part] == l {
			delete(s.mine, part)
		}
	}
}

// expire ends all leases on our side: no renewal succeeded in time, or we leave.
func (s *leases) expire() { s.drop(s.held()) }

// leave gives everything back, so that nobody has to wait for the leases to run out. If that fails they do run out.
func (s *leases) leave(ctx context.Context) {
	s.mu.Lock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.mu.Unlock()
	s.expire()
	err := s.o.queries.ReleaseAll(ctx, s.owner)
	if err == nil {
		err = s.o.queries.Leave(ctx, s.owner)
	}
	if err != nil {
		s.o.deps.Logger.WarnContext(ctx, "outbox could not give its leases back: they run out", "in", s.o.cfg.Lease, "err", err)
	}
}

func split(held map[int16]*lease) (numbers []int16, terms []int64) {
	numbers, terms = []int16{}, []int64{}
	for part, l := range held {
		numbers = append(numbers, part)
		terms = append(terms, l.term)
	}
	return numbers, terms
}
