package run

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/pg"
)

const (
	// mostFailures is how many parts of pages may fail in one sweep: the other steps wait for no more than these.
	mostFailures = 50
	// lockCosts and timeCosts are how many failures one counts as that has waited: a second for a lock, or a minute at its work.
	lockCosts, timeCosts = 10, mostFailures
	// stuckFor is how long what cannot be moved is passed over: whoever finds it again costs as many transactions as a page has halves.
	stuckFor = 10 * time.Minute
	// lockedFor is likewise for what somebody had locked, who is done with it in a moment, as a rule.
	lockedFor = time.Minute
)

// Errand is what a sweep does about all that is in a list of K, read in pages from places P.
type Errand[K, P comparable] struct {
	// List is a page of it, after a place, and the next place; the zero P is both the beginning and the end. A page may have nothing, and
	// not be the last.
	List func(ctx context.Context, tx pgx.Tx, t Turn, after P) (items []K, next P, err error)
	// Do moves those of a page that are to be moved still.
	Do func(ctx context.Context, tx pgx.Tx, t Turn, items []K) error
	// Done is told what Do has moved, when that is committed; it may be nil.
	Done  func(ctx context.Context, items []K)
	Pages int              // that one sweep looks at (0: 1)
	Alone bool             // each of them is moved in a transaction of its own
	Stuck prometheus.Gauge // how many of them cannot be moved
	Item  string           // what the log calls one of them
	Words string           // what it says of one that cannot be moved
}

// Walk goes through a list in pages. A page that fails is tried again in halves, until what fails is one: that one is told of and passed over,
// and all others are moved. Nothing here moves before the transaction that it is about is committed.
type Walk[K, P comparable] struct {
	Errand[K, P]
	log   *slog.Logger
	stuck *Stuck[K]

	at       P              // how far the walk has come
	page     walkPage[K, P] // what is being worked on; no parts: the next one is to be read
	seen     map[K]bool     // stuck ones that this round has met
	looked   int            // pages of this sweep
	failures int            // likewise
	commit   func()         // what the transaction that is under way comes to
}

// walkPage is a page in parts that are still to be moved, and where the next one begins.
type walkPage[K, P comparable] struct {
	parts  [][]K
	passed []K // stuck ones, which are in no part
	next   P
}

// NewWalk begins a walk at the list's beginning.
func NewWalk[K, P comparable](c clock.Clock, log *slog.Logger, e Errand[K, P]) *Walk[K, P] {
	return &Walk[K, P]{Errand: e, log: log, stuck: NewStuck[K](c), seen: map[K]bool{}}
}

// Step is the sweeper's.
func (w *Walk[K, P]) Step(name string, lock int64) Step {
	return Step{Name: name, Lock: lock, Do: w.part, More: w.more}
}

// part moves one part of a page in a transaction of its own, after a savepoint: what fails in it is undone, and found out by halves. A lost
// connection or a conflict is no part's fault, and the next sweep tries the same one. A time-out may be: of a row that somebody has locked.
func (w *Walk[K, P]) part(ctx context.Context, tx pgx.Tx, t Turn) error {
	p, err := w.next(ctx, tx, t)
	if err != nil {
		return w.failed(err)
	}
	var failure error
	if len(p.parts) > 0 {
		failure = pg.InTx(ctx, tx, func(tx pgx.Tx) error { return w.Do(ctx, tx, t, p.parts[0]) })
	}
	if failure != nil && (!isolable(failure) || ctx.Err() != nil) {
		return w.failed(failure)
	}
	w.commit = func() { w.moved(ctx, p, failure) }
	return nil
}

// failed ends this sweep's share.
func (w *Walk[K, P]) failed(err error) error {
	w.looked, w.failures = 0, 0
	return err
}

// next is the page that is being worked on, or the one after it.
func (w *Walk[K, P]) next(ctx context.Context, tx pgx.Tx, t Turn) (walkPage[K, P], error) {
	if len(w.page.parts) > 0 {
		return w.page, nil
	}
	items, next, err := w.List(ctx, tx, t, w.at)
	if err != nil {
		return walkPage[K, P]{}, err
	}
	return w.split(items, next), nil
}

// split makes a page of what was listed. What is tried after it was passed over is a part by itself, after the others: once is enough to find
// that it cannot be moved still.
func (w *Walk[K, P]) split(items []K, next P) walkPage[K, P] {
	p := walkPage[K, P]{next: next}
	var others []K
	for _, k := range items {
		switch {
		case w.stuck.Passed(k):
			p.passed = append(p.passed, k)
		case w.stuck.Knows(k):
			p.parts = append(p.parts, []K{k})
		default:
			others = append(others, k)
		}
	}
	switch {
	case w.Alone:
		p.parts = slices.Insert(p.parts, 0, slices.Collect(slices.Chunk(others, 1))...)
	case len(others) > 0:
		p.parts = slices.Insert(p.parts, 0, others)
	}
	return p
}

// moved takes in what became of the first part of a page, and goes on to the next page when none is left.
func (w *Walk[K, P]) moved(ctx context.Context, p walkPage[K, P], failure error) {
	for _, k := range p.passed {
		w.seen[k] = true
	}
	p.passed = nil
	if len(p.parts) > 0 {
		first := p.parts[0]
		p.parts = p.parts[1:]
		switch {
		case failure == nil:
			w.done(ctx, first)
		case len(first) > 1:
			p.parts = slices.Concat([][]K{first[:len(first)/2], first[len(first)/2:]}, p.parts)
			w.failures += cost(failure)
		default:
			w.tell(ctx, first[0], failure)
			w.failures += cost(failure)
		}
	}
	w.page = p
	if len(p.parts) == 0 {
		w.at = p.next
		w.looked++
	}
	if w.through() { // those that are not in the list any more are forgotten
		w.stuck.Keep(func(k K) bool { return w.seen[k] })
		clear(w.seen)
	}
	w.Stuck.Set(float64(w.stuck.Len()))
}

func (w *Walk[K, P]) done(ctx context.Context, items []K) {
	for _, k := range items {
		w.stuck.Moved(k)
	}
	if w.Done != nil {
		w.Done(ctx, items)
	}
}

// tell has people know of what cannot be moved, once for as long as it is passed over.
func (w *Walk[K, P]) tell(ctx context.Context, k K, err error) {
	w.seen[k] = true
	again := w.stuck.Failed(k, err)
	w.log.ErrorContext(ctx, w.Words, w.Item, k, "again_in", again, "error", err)
}

// through reports whether the end of the list was reached, and nothing is left of its last page.
func (w *Walk[K, P]) through() bool {
	var zero P
	return len(w.page.parts) == 0 && w.at == zero
}

// more takes in what was committed, and reports whether this sweep goes on.
func (w *Walk[K, P]) more() bool {
	w.commit()
	if w.through() || w.looked >= max(1, w.Pages) || w.failures >= mostFailures {
		w.looked, w.failures = 0, 0
		return false
	}
	return true
}
