package collect

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/collect/db"
)

// lockStanding is the advisory lock of the sweeper's step.
const lockStanding = 7121

// Standing is the sweeper's step that wakes sends which stand still although nothing hinders them: their command was lost,
// or what hindered them is over.
func (b *Book) Standing() run.Step {
	return run.Step{Name: "wake standing sends", Lock: lockStanding, Wakes: true, Do: func(ctx context.Context, tx pgx.Tx, t run.Turn) error {
		return b.wake(ctx, tx, "", t)
	}}
}

// wakeMost is how many pages a person's word wakes at once; the sweeper finds the others.
const wakeMost = 500

// Wake wakes a tenant's sends at once, because somebody has removed what hindered them.
func (b *Book) Wake(ctx context.Context, tx pgx.Tx, tenant string) error {
	now := b.Clock.Now()
	return b.wake(ctx, tx, tenant, run.Turn{Since: now, Nonce: "w" + strconv.FormatInt(now.UnixMilli(), 36), Limit: wakeMost})
}

func (b *Book) wake(ctx context.Context, tx pgx.Tx, tenant string, t run.Turn) error {
	stopped, err := b.Store.StoppedConnectors(ctx, tx)
	if err != nil {
		return err
	}
	pages, err := db.New(tx).StandingSends(ctx, db.StandingSendsParams{
		Tenant: tenant, RestedSince: t.Since, Now: b.Clock.Now(), Stopped: stopped, PageLimit: int32(t.Limit),
	})
	if err != nil {
		return fmt.Errorf("find sends that stand still: %w", err)
	}
	places := make([]run.Place, len(pages))
	for i, p := range pages {
		places[i] = run.Place{Run: p.SendRun, Page: int(p.SendPage)}
	}
	return b.Runs.WakeDispatch(ctx, tx, t.Nonce, places...)
}
