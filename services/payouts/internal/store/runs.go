package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Items are the payouts as runs see them.
type Items struct {
	Clock clock.Clock
	// Barred lists the connectors behind which what is approved stays so, as "<tenant>/<provider>", read in the transaction; nil: none.
	Barred func(ctx context.Context, tx pgx.Tx) ([]string, error)
}

var _ run.Items = Items{}

// Finishable returns those of the runs whose payouts are through, or behind a pause, a stop or a provider fault. It is cheap
// while a run has work left.
func (i Items) Finishable(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) ([]uuid.UUID, error) {
	barred, err := named(ctx, tx, i.Barred)
	if err != nil {
		return nil, err
	}
	since, now := attempt.Believed(i.Clock.Now())
	return db.New(tx).FinishableRuns(ctx, db.FinishableRunsParams{Ids: runs, Now: now, Stopped: barred, ProvenSince: since})
}

// Sums counts a run's payouts by state. What a run without payouts did is counted as "asked".
func (i Items) Sums(ctx context.Context, tx pgx.Tx, r run.Run) (map[string]int64, map[string]*eventsv1.Money, error) {
	rows, err := db.New(tx).RunCounts(ctx, r.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("count payouts: %w", err)
	}
	counts, totals := Totals(rows)
	if r.Job == jobClose {
		return i.closes(ctx, tx, r, counts)
	}
	if r.Done > 0 {
		counts["asked"] = r.Done
	}
	return counts, totals, nil
}

// jobClose is the job whose items are closes.
const jobClose = "payouts/close"

// closes counts the days that a run has closed, and those that wait for their provider.
func (i Items) closes(ctx context.Context, tx pgx.Tx, r run.Run, counts map[string]int64) (map[string]int64, map[string]*eventsv1.Money, error) {
	c, err := db.New(tx).RunCloses(ctx, &r.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("count closes: %w", err)
	}
	counts["closed"] = c.Closed
	if c.Waiting > 0 {
		counts["waiting"] = c.Waiting
	}
	return counts, nil, nil
}

// named are the connectors that a function lists, if there is one.
func named(ctx context.Context, tx pgx.Tx, list func(ctx context.Context, tx pgx.Tx) ([]string, error)) ([]string, error) {
	if list == nil {
		return []string{}, nil
	}
	names, err := list(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("stopped connectors: %w", err)
	}
	return names, nil
}

// Totals sums a run's payouts by state. "waiting" counts those that the run was not kept open for although they are not
// paid: approved ones behind a pause, a stop or a provider fault, and held ones.
func Totals(counts []db.RunCountsRow) (map[string]int64, map[string]*eventsv1.Money) {
	n, sums := map[string]int64{}, map[string]*eventsv1.Money{}
	for _, c := range counts {
		n[c.State] = c.Count
		sums[c.State] = MoneyProto(money.Amount{Minor: c.Net, Currency: money.Currency(c.Currency)})
	}
	if waiting := n[string(payout.Approved)] + n[string(payout.Held)]; waiting > 0 {
		n["waiting"] = waiting
	}
	return n, sums
}
