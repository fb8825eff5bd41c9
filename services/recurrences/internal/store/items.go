package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

var _ run.Items = (*Store)(nil)

// Finishable returns those of the runs whose charges keep them open no longer; see [run.Items].
func (s *Store) Finishable(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) ([]uuid.UUID, error) {
	stopped, err := s.StoppedConnectors(ctx, tx)
	if err != nil {
		return nil, err
	}
	ids, err := db.New(tx).FinishableRuns(ctx, db.FinishableRunsParams{Ids: runs, Now: s.Clock.Now(), Stopped: stopped})
	if err != nil {
		return nil, fmt.Errorf("find finished runs: %w", err)
	}
	return ids, nil
}

// CountWaiting counts, among a run's charges, those to be sent when what is in their way is gone.
const CountWaiting = "waiting"

// Sums counts the charges that a run made, sent or is to send, by the states that they have now.
func (s *Store) Sums(ctx context.Context, tx pgx.Tx, r run.Run) (map[string]int64, map[string]*eventsv1.Money, error) {
	rows, err := db.New(tx).RunSums(ctx, r.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("count charges of run %s: %w", r.ID, err)
	}
	counts, totals := map[string]int64{}, map[string]*eventsv1.Money{}
	for _, row := range rows { // a tenant has one currency
		counts[row.State] += row.Count
		totals[row.State] = MoneyProto(money.Amount{Minor: row.Amount, Currency: money.Currency(row.Currency)})
		if row.Waiting > 0 {
			counts[CountWaiting] += row.Waiting
		}
	}
	if name := s.Done[r.Job]; name != "" && r.Done > 0 {
		counts[name] = r.Done
	}
	return counts, totals, nil
}

// StoppedConnectors lists the connectors that nothing goes through now, as "<tenant>/<gateway>".
func (s *Store) StoppedConnectors(ctx context.Context, tx pgx.Tx) ([]string, error) {
	if s.Stopped == nil {
		return []string{}, nil
	}
	names, err := s.Stopped(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("stopped connectors: %w", err)
	}
	return names, nil
}
