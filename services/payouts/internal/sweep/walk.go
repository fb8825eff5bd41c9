package sweep

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run"
)

const (
	// mostFailures is how many parts of pages may fail in one sweep: the other steps wait for no more than these.
	mostFailures = 50
	// waited is how many failures one counts as that has waited until its time was over, ten seconds for a lock and a minute for a statement.
	waited = 10
	// stuckFor is how long what cannot be moved is passed over: whoever finds it again costs as many transactions as a page has halves.
	stuckFor = 10 * time.Minute
)

// errand is what a sweep does about all that is in a list.
type errand[P comparable] struct {
	// list is a page of it, after a place, and the next place; the zero P is both the beginning and the end. A page may have nothing, and
	// not be the last.
	list func(ctx context.Context, tx pgx.Tx, after P, limit int) (ids []uuid.UUID, next P, err error)
	// do moves those of a page that are to be moved still.
	do    func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error
	pages int              // that one sweep looks at
	stuck prometheus.Gauge // how many of them cannot be moved
	item  string           // what the log calls one of them
	words string           // what it says of one that cannot be moved
}

// walk goes through a list in pages. A page that fails is tried again in halves, until what fails is one: that one is told of and passed over,
// and all others are moved. Nothing here moves before the transaction that it is about is committed.
type walk[P comparable] struct {
	errand[P]
	clock clock.Clock
	log   *slog.Logger

	at       P           // how far the walk has come
	page     walkPage[P] // what is being worked on; no parts: the next one is to be read
	looked   int         // pages of this sweep
	failures int         // likewise
	passed   map[uuid.UUID]stuck
	commit   func() // what the transaction that is under way comes to
}

// walkPage is a page in parts that are still to be moved, and where the next one begins.
type walkPage[P comparable] struct {
	parts  [][]uuid.UUID
	passed []uuid.UUID // stuck ones, which are in no part
	next   P
}

// stuck is what cannot be moved.
type stuck struct {
	until time.Time // it is passed over
	seen  bool      // in this round
}

func newWalk[P comparable](c clock.Clock, log *slog.Logger, e errand[P]) *walk[P] {
	return &walk[P]{errand: e, clock: c, log: log, passed: map[uuid.UUID]stuck{}}
}

// step is the sweeper's.
func (w *walk[P]) step(name string, lock int64) run.Step {
	return run.Step{Name: name, Lock: lock, Do: w.part, More: w.more}
}

// part moves one part of a page in a transaction of its own, after a savepoint: what fails in it is undone, and found out by halves. A lost
// connection or a conflict is no part's fault, and the next sweep tries the same one. A time-out may be: of a row that somebody has locked.
func (w *walk[P]) part(ctx context.Context, tx pgx.Tx, t run.Turn) error {
	p, err := w.next(ctx, tx, t.Limit)
	if err != nil {
		return w.failed(err)
	}
	var failure error
	if len(p.parts) > 0 {
		failure = pg.InTx(ctx, tx, func(tx pgx.Tx) error { return w.do(ctx, tx, p.parts[0]) })
	}
	if failure != nil && (pg.Transient(failure) && !pg.TimedOut(failure) || ctx.Err() != nil) {
		return w.failed(failure)
	}
	w.commit = func() { w.moved(ctx, p, failure) }
	return nil
}

// failed ends this sweep's share.
func (w *walk[P]) failed(err error) error {
	w.looked, w.failures = 0, 0
	return err
}

// next is the page that is being worked on, or the one after it.
func (w *walk[P]) next(ctx context.Context, tx pgx.Tx, limit int) (walkPage[P], error) {
	if len(w.page.parts) > 0 {
		return w.page, nil
	}
	ids, next, err := w.list(ctx, tx, w.at, limit)
	if err != nil {
		return walkPage[P]{}, err
	}
	return w.split(ids, next), nil
}

// split makes a page of what was listed. What is tried after it was passed over is a part by itself, after the others: once is enough to find
// that it cannot be moved still.
func (w *walk[P]) split(ids []uuid.UUID, next P) walkPage[P] {
	p, now := walkPage[P]{next: next}, w.clock.Now()
	var others []uuid.UUID
	for _, id := range ids {
		switch s, was := w.passed[id]; {
		case !was:
			others = append(others, id)
		case now.Before(s.until):
			p.passed = append(p.passed, id)
		default:
			p.parts = append(p.parts, []uuid.UUID{id})
		}
	}
	if len(others) > 0 {
		p.parts = slices.Insert(p.parts, 0, others)
	}
	return p
}

// moved takes in what became of the first part of a page, and goes on to the next page when none is left.
func (w *walk[P]) moved(ctx context.Context, p walkPage[P], failure error) {
	for _, id := range p.passed {
		w.passed[id] = stuck{w.passed[id].until, true}
	}
	p.passed = nil
	if len(p.parts) > 0 {
		first := p.parts[0]
		rest := p.parts[1:]
		switch {
		case failure == nil:
			for _, id := range first {
				delete(w.passed, id)
			}
		case len(first) > 1:
			rest = slices.Concat([][]uuid.UUID{first[:len(first)/2], first[len(first)/2:]}, rest)
			w.failures += cost(failure)
		default:
			w.tell(ctx, first[0], failure)
			w.failures += cost(failure)
		}
		p.parts = rest
	}
	w.page = p
	if len(p.parts) == 0 {
		w.at = p.next
		w.looked++
	}
	if w.through() {
		w.round()
	}
	w.stuck.Set(float64(len(w.passed)))
}

// cost is how many failures one counts as.
func cost(failure error) int {
	if pg.TimedOut(failure) {
		return waited
	}
	return 1
}

// through reports whether the end of the list was reached, and nothing is left of its last page.
func (w *walk[P]) through() bool {
	var zero P
	return len(w.page.parts) == 0 && w.at == zero
}

// tell has people know of what cannot be moved, once for as long as it is passed over.
func (w *walk[P]) tell(ctx context.Context, id uuid.UUID, err error) {
	w.passed[id] = stuck{w.clock.Now().Add(stuckFor), true}
	w.log.ErrorContext(ctx, w.words, w.item, id, "again_in", stuckFor, "error", err)
}

// round forgets those that are not in the list any more.
func (w *walk[P]) round() {
	for id, s := range w.passed {
		if !s.seen {
			delete(w.passed, id)
			continue
		}
		w.passed[id] = stuck{until: s.until}
	}
}

// more takes in what was committed, and reports whether this sweep goes on.
func (w *walk[P]) more() bool {
	w.commit()
	if w.through() || w.looked >= w.pages || w.failures >= mostFailures {
		w.looked, w.failures = 0, 0
		return false
	}
	return true
}
