package sweep

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	// cancelPages is how many pages of what cancelled batches have left one sweep looks at, cancelFailures how many parts of them may fail
	// meanwhile: the other steps wait for no more than these.
	cancelPages, cancelFailures = 10, 50
	// stuckFor is how long a payout that cannot be cancelled is passed over: whoever finds it again costs as many transactions as a page
	// has halves.
	stuckFor = 10 * time.Minute
)

// cancelling walks through what cancelled batches have left, and cancels it. A page that fails is tried again in halves, until what fails is one
// payout: that one is told of and passed over, and all others end. Nothing here moves before the transaction that it is about is committed.
type cancelling struct {
	store    *store.Store
	outcomes *outcome.Outcomes
	log      *slog.Logger
	gauge    prometheus.Gauge

	at       store.Rest // how far the walk has come
	page     cancelPage // what is being worked on; no parts: the next one is to be read
	pages    int        // of this sweep
	failures int        // likewise
	stuck    map[uuid.UUID]stuck
	commit   func() // what the transaction that is under way comes to
}

// cancelPage is a page in parts that are still to be ended, and where the next one begins.
type cancelPage struct {
	parts  [][]uuid.UUID
	passed []uuid.UUID // stuck ones, which are in no part
	next   store.Rest
}

// stuck is a payout that cannot be cancelled.
type stuck struct {
	until time.Time // it is passed over
	seen  bool      // in this round
}

func newCancelling(st *store.Store, outcomes *outcome.Outcomes, log *slog.Logger, registry prometheus.Registerer) *cancelling {
	return &cancelling{
		store: st, outcomes: outcomes, log: log, stuck: map[uuid.UUID]stuck{},
		gauge: telemetry.Shared(registry, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agogo_payouts_cancel_stuck", Help: "Payouts of cancelled runs that an error keeps from being cancelled.",
		})),
	}
}

// do ends one part of a page in a transaction of its own, after a savepoint: what fails in it is undone, and found out by halves. What may go
// away by itself is no part's fault, and the next sweep tries the same one.
func (c *cancelling) do(ctx context.Context, tx pgx.Tx, t run.Turn) error {
	p, err := c.next(ctx, tx, t.Limit)
	if err != nil {
		return c.failed(err)
	}
	var failure error
	if len(p.parts) > 0 {
		failure = pg.InTx(ctx, tx, func(tx pgx.Tx) error {
			denied, err := c.store.CancelRest(ctx, tx, p.parts[0])
			if err != nil {
				return err
			}
			return c.outcomes.Doubt(ctx, tx, payout.HeldBy(payout.CodeRunCancelled), denied)
		})
	}
	if failure != nil && (pg.Transient(failure) || ctx.Err() != nil) {
		return c.failed(failure)
	}
	c.commit = func() { c.moved(ctx, p, failure) }
	return nil
}

// failed ends this sweep's share.
func (c *cancelling) failed(err error) error {
	c.pages, c.failures = 0, 0
	return err
}

// next is the page that is being worked on, or the one after it.
func (c *cancelling) next(ctx context.Context, tx pgx.Tx, limit int) (cancelPage, error) {
	if len(c.page.parts) > 0 {
		return c.page, nil
	}
	ids, next, err := c.store.Rest(ctx, tx, c.at, limit)
	if err != nil {
		return cancelPage{}, err
	}
	p, now := cancelPage{next: next}, c.store.Clock.Now()
	ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool {
		pass := now.Before(c.stuck[id].until)
		if pass {
			p.passed = append(p.passed, id)
		}
		return pass
	})
	if len(ids) > 0 {
		p.parts = [][]uuid.UUID{ids}
	}
	return p, nil
}

// moved takes in what became of the first part of a page, and goes on to the next page when none is left.
func (c *cancelling) moved(ctx context.Context, p cancelPage, failure error) {
	for _, id := range p.passed {
		c.stuck[id] = stuck{c.stuck[id].until, true}
	}
	p.passed = nil
	if len(p.parts) > 0 {
		first := p.parts[0]
		rest := p.parts[1:]
		switch {
		case failure == nil:
			for _, id := range first {
				delete(c.stuck, id)
			}
		case len(first) > 1:
			rest = slices.Concat([][]uuid.UUID{first[:len(first)/2], first[len(first)/2:]}, rest)
			c.failures++
		default:
			c.tell(ctx, first[0], failure)
			c.failures++
		}
		p.parts = rest
	}
	c.page = p
	if len(p.parts) == 0 {
		c.at = p.next
		c.pages++
	}
	if len(p.parts) == 0 && c.at == (store.Rest{}) {
		c.round()
	}
	c.gauge.Set(float64(len(c.stuck)))
}

// tell has people know of a payout that cannot be cancelled, once for as long as it is passed over.
func (c *cancelling) tell(ctx context.Context, id uuid.UUID, err error) {
	c.stuck[id] = stuck{c.store.Clock.Now().Add(stuckFor), true}
	c.log.ErrorContext(ctx, "payouts: a payout of a cancelled run cannot be cancelled; the others are, and it is tried again",
		"payout", id, "again_in", stuckFor, "error", err)
}

// round forgets those that are not left of a cancelled batch any more.
func (c *cancelling) round() {
	for id, s := range c.stuck {
		if !s.seen {
			delete(c.stuck, id)
			continue
		}
		c.stuck[id] = stuck{until: s.until}
	}
}

// more takes in what was committed, and reports whether this sweep goes on.
func (c *cancelling) more() bool {
	c.commit()
	over := len(c.page.parts) == 0 && c.at == (store.Rest{})
	if over || c.pages >= cancelPages || c.failures >= cancelFailures {
		c.pages, c.failures = 0, 0
		return false
	}
	return true
}
