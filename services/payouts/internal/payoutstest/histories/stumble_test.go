package histories

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// stumbleKinds are what happens in the middle of the next dispatch: commits of claims, of outcomes, and of both in one are lost, made or
// not, a claim comes late to its rows, people stop everything between a claim's look at the stops and its commit, and another replica takes its
// part of the slots.
func stumbleKinds() []string {
	return []string{
		"claim-lost", "claim-lost", "claim-unheard", "refill-lost", "refill-lost", "refill-unheard", "outcome-lost", "outcome-unheard", "claim-late", "claim-late",
		"claim-stopped", "share-halved",
	}
}

// stumble is what is still to come: of each kind, at which of its chances. A lane claims in two places at once, and which of its transactions
// meets it is the machine's choice: a history that stumbles is one of several that its steps allow.
type stumble struct {
	mu    sync.Mutex
	at    map[string][]int // how many chances go by before each
	times int              // something came
	begun bool             // something was sent
}

// plan has one come, and two more, each after a chance that goes by.
func (s *stumble) plan(kind string, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string][]int{}
	}
	s.at[kind] = append(s.at[kind], at, at+2, at+4)
}

// due is a chance of a kind, and reports whether it comes now.
func (s *stumble) due(kind string) (now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at[kind]) == 0 {
		return false
	}
	left := s.at[kind][:0]
	for _, at := range s.at[kind] {
		if at > 0 {
			left = append(left, at-1)
			continue
		}
		now = true
	}
	s.at[kind] = left
	if now {
		s.times++
	}
	return now
}

func (s *stumble) strikes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times
}

// over is the end of a dispatch: what did not come does not any more, unless nothing was sent at all.
func (s *stumble) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		clear(s.at)
	}
	s.times, s.begun = 0, false
}

// commit has a transaction's commit lost if one of a kind is due.
func (s *stumble) commit(tx pgx.Tx, kind string) {
	s.mu.Lock()
	s.begun = true
	s.mu.Unlock()
	if s.due(kind + "-lost") {
		pgtest.Lose(tx, false)
	}
	if s.due(kind + "-unheard") {
		pgtest.Lose(tx, true)
	}
}

// stumbling is a book whose database stumbles.
type stumbling struct {
	dispatch.Book
	w        *world
	r        *replica
	recorded *sync.Map // transactions that have recorded outcomes
}

// Claim implements [dispatch.Book].
func (b stumbling) Claim(ctx context.Context, tx pgx.Tx, l dispatch.Lane, most int, resting []uuid.UUID) (dispatch.Claim, error) {
	if _, refills := b.recorded.Load(tx); !refills && most > 0 && b.w.stumble.due("claim-late") {
		b.late()
	}
	c, err := b.Book.Claim(ctx, tx, l, most, resting)
	begun := c.Begun
	c.Begun = func(ctx context.Context, tx pgx.Tx, all []attempt.Attempt) error {
		kind := "claim"
		if _, ok := b.recorded.LoadAndDelete(tx); ok {
			kind = "refill"
		}
		b.w.stumble.commit(tx, kind)
		if b.w.stumble.due("claim-stopped") {
			b.w.stopped(all)
		}
		return begun(ctx, tx, all)
	}
	return c, err
}

// Apply implements [dispatch.Book].
func (b stumbling) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	b.recorded.Store(tx, true)
	b.w.stumble.commit(tx, "outcome")
	if b.w.stumble.due("share-halved") {
		b.r.halve()
	}
	return b.Book.Apply(ctx, tx, moved)
}

// late is a claim that has seen open gates and comes to its rows when something that was under way then has an outcome. Where nothing is, or
// what is has no answer yet, it does not wait for ever.
func (b stumbling) late() {
	open := func() int64 { return b.w.Count("SELECT count(*) FROM attempts WHERE state = 'submitting'") }
	before := open()
	for range 100 {
		if before == 0 || open() < before {
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

// stopped is people who stop everything when a claim has looked whether somebody has, and before it is made: it is made, and nothing of it
// sent.
func (w *world) stopped(claimed []attempt.Attempt) {
	w.tenant(nil, "stop")
	references := make([]string, len(claimed))
	for i, a := range claimed {
		references[i] = a.Reference
	}
	w.bank.bar(references)
}

// halve is another replica that comes: half of the slots are its.
func (r *replica) halve() {
	conn, _ := r.Connectors.Get(payoutstest.Tenant, "orange")
	conn.Throttle.Share(2)
	r.calls.part(max(1, conn.Throttle.Capacity()/2))
}

// alone is that one going again.
func (r *replica) alone() {
	conn, _ := r.Connectors.Get(payoutstest.Tenant, "orange")
	conn.Throttle.Share(1)
	r.calls.whole()
}
