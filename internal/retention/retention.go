// Package retention deletes rows that have outlived their use. Every replica does it, a small transaction at a time, so
// that no table grows without end and no delete holds others up.
package retention

import (
	"context"
	"log/slog"
	"time"

	"github.com/agogopay/agogo/internal/clock"
)

const (
	every = time.Hour
	batch = 5000
)

// Rule deletes from one table.
type Rule struct {
	Rows string // what it deletes, in the words of the logs
	// Delete removes up to limit of the rows that are too old, the oldest first, and returns how many they were. It leaves
	// those that another replica is removing to that one.
	Delete func(ctx context.Context, limit int32) (int64, error)
}

// Keeper applies rules.
type Keeper struct {
	clock clock.Clock
	log   *slog.Logger
	rules []Rule
}

// New makes a keeper; the clock says when to look again, and each rule knows for itself what is too old.
func New(c clock.Clock, logger *slog.Logger, rules ...Rule) *Keeper {
	return &Keeper{clock: c, log: logger, rules: rules}
}

// Run applies every rule at once, so that a process that never lives for long does it too, and then every hour until ctx
// ends. A rule that fails is logged and applied again in the next round: rows that stay too long only cost space.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		for _, r := range k.rules {
			k.apply(ctx, r)
		}
		if err := k.clock.Sleep(ctx, every); err != nil {
			return nil //nolint:nilerr // the context ended, which is how a keeper stops
		}
	}
}

func (k *Keeper) apply(ctx context.Context, r Rule) {
	n, err := r.deleteAll(ctx)
	if err != nil && ctx.Err() == nil {
		k.log.WarnContext(ctx, "old rows could not be deleted, trying again later", "rows", r.Rows, "in", every, "error", err)
	}
	if n > 0 {
		k.log.InfoContext(ctx, "old rows deleted", "rows", r.Rows, "count", n)
	}
}

func (r Rule) deleteAll(ctx context.Context) (total int64, err error) {
	for {
		n, err := r.Delete(ctx, batch)
		total += n
		if err != nil || n < batch {
			return total, err
		}
	}
}
