package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
)

const (
	upkeepEvery = 10 * time.Minute
	daysAhead   = 3
	// lockWait is how long upkeep may make writers of the outbox queue behind it.
	lockWait = "2s"
)

// upkeep makes the partitions of the coming days and drops old ones. It may fail for days before anybody notices: rows
// without a partition go to the default one, and old partitions only cost space.
func (r *relay) upkeep(ctx context.Context) {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, work := range []func(context.Context, pgx.Tx) error{r.addPartitions, r.dropPartitions} {
			if err := r.alone(ctx, work); err != nil && ctx.Err() == nil {
				r.deps.Logger.WarnContext(ctx, "outbox upkeep failed: it is repeated", "in", upkeepEvery, "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// alone runs work in a transaction, unless another replica is at it.
func (o *Outbox) alone(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	return pg.InTx(ctx, o.deps.Pool, func(tx pgx.Tx) error {
		q := o.queries.WithTx(tx)
		mine, err := q.TryUpkeep(ctx)
		if err != nil || !mine {
			return err
		}
		if err := q.LimitLockWait(ctx, lockWait); err != nil {
			return err
		}
		return work(ctx, tx)
	})
}

func (o *Outbox) addPartitions(ctx context.Context, tx pgx.Tx) error {
	for ahead := range int32(daysAhead + 1) {
		if err := o.queries.WithTx(tx).AddPartition(ctx, ahead); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) dropPartitions(ctx context.Context, tx pgx.Tx) error {
	if o.refused() {
		return nil // what is dropped counts as known, also the gaps in it
	}
	n, err := o.queries.WithTx(tx).DropPartitions(ctx, o.cfg.Keep.Seconds())
	if err == nil && n > 0 {
		o.deps.Logger.InfoContext(ctx, "outbox dropped old days", "days", n)
	}
	return err
}
