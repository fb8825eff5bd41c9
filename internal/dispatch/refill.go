package dispatch

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

// refill commits a batch's outcomes and, in the same transaction, claims what goes through the slots that the batch gives back.
// So a slot is not idle for the time of a claim of its own, and no more rows are in doubt than there are slots. It happens on the
// plain way only: whatever needs a decision (a gate, a rest, a trial, a balance to be read) is left to the feeder, which finds the
// slots free. ok is false when nothing was committed for certain; then the outcomes must be, alone.
func (l *lane) refill(ctx context.Context, batch []answer) (again int, ok bool) {
	most := l.refillable(batch)
	if most == 0 {
		return 0, false
	}
	var c claimed
	committing := false
	// From before the claim, as in next.
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Connector.Policy.Lease-l.Connector.Policy.Margin)
	err := pg.InTx(sctx, l.d.Pool, func(tx pgx.Tx) (err error) {
		committing = false
		if err = l.outcomes(sctx, tx, batch); err != nil {
			return err
		}
		c, err = l.plain(sctx, tx, most)
		committing = err == nil
		return err
	})
	if err != nil && !committing {
		c = claimed{}
	}
	l.dry.Store(err != nil || len(c.begun) < most)
	if len(c.begun) == 0 {
		cancel()
		return 0, err == nil
	}
	l.d.metrics.claimed.Observe(float64(len(c.begun)))
	l.begin(len(c.begun))
	if err != nil { // it may be committed: then it was never sent, and otherwise there is nothing that this is recorded of
		go func() { defer cancel(); l.refuse(c, codeLost, false) }()
		return len(c.begun), false
	}
	if c.cover.Kept != nil {
		c.cover.Kept()
	}
	crashpoint.Hit(l.d.Service + ".after_claim_commit")
	go l.send(sctx, cancel, c) // not here: whoever sends hands answers to whoever records
	return len(c.begun), true
}

// refillable is how many rows may be claimed with a batch's outcomes: at most as many as there are outcomes, for each brings its slot, and
// as many of these slots as are still its run's: fewer when another replica has come, or another run waits for its part.
func (l *lane) refillable(batch []answer) int {
	if l.ended.Load() || l.dry.Load() {
		return 0
	}
	for _, a := range batch {
		if a.trial || a.result.Stop || a.result.SlowDown || a.result.Class == provider.NotSent {
			return 0
		}
	}
	return l.Connector.Throttle.Allow(min(l.slots.Keep(len(batch)), l.d.ClaimMost))
}

// plain claims rows when nothing stands before them.
func (l *lane) plain(ctx context.Context, tx pgx.Tx, most int) (c claimed, err error) {
	g, err := l.gate(ctx, tx)
	if err != nil || g.Code != "" || g.rest > 0 || g.degraded || g.unproven || l.over(g.stops) {
		return c, err
	}
	return l.take(ctx, tx, g, most)
}
