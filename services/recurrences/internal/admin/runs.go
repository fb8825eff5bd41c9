package admin

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// ListRuns lists runs, newest nominal time first.
func (s *Server) ListRuns(ctx context.Context, r *recurrencesv1.ListRunsRequest) (*recurrencesv1.ListRunsResponse, error) {
	runs, next, err := s.Runs.List(ctx, s.Pool, r.GetTenant(), r.GetPageToken(), r.GetPageSize())
	if err != nil {
		return nil, err
	}
	items, err := s.runs(ctx, runs...)
	if err != nil {
		return nil, err
	}
	return &recurrencesv1.ListRunsResponse{Items: items, NextPageToken: next}, nil
}

// GetRun finds a run by its id or its tick's.
func (s *Server) GetRun(ctx context.Context, r *recurrencesv1.GetRunRequest) (*recurrencesv1.Run, error) {
	found, err := s.findRun(ctx, r.GetTenant(), r.GetId())
	if err != nil {
		return nil, err
	}
	all, err := s.runs(ctx, found)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// runs adds what the runs' charges count and sum to now, in one query for all of them.
func (s *Server) runs(ctx context.Context, runs ...run.Run) ([]*recurrencesv1.Run, error) {
	ids, byID := make([]uuid.UUID, len(runs)), make(map[uuid.UUID]*recurrencesv1.Run, len(runs))
	all := make([]*recurrencesv1.Run, len(runs))
	for i, r := range runs {
		ids[i], all[i] = r.ID, runOf(r)
		byID[r.ID] = all[i]
		if name := s.Store.Done[r.Job]; name != "" && r.Done > 0 {
			all[i].Counts[name] = r.Done
		}
	}
	sums, err := s.queries().SumsOfRuns(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("count charges of runs: %w", err)
	}
	for _, c := range sums {
		m := byID[c.RunID]
		m.Counts[c.State] = c.Count
		m.Totals[c.State] = amount(c.Amount, c.Currency)
		if c.Waiting > 0 {
			m.Counts[store.CountWaiting] += c.Waiting
		}
	}
	return all, nil
}

func runOf(r run.Run) *recurrencesv1.Run {
	return &recurrencesv1.Run{
		Id: r.ID.String(), TickId: r.TickID, Tenant: r.Tenant, Schedule: r.Schedule, Job: r.Job, NominalTime: timestamppb.New(r.NominalTime),
		LocalDate: r.LocalDate, State: r.State, Reason: r.Reason, StartedAt: instant(r.StartedAt), FinishedAt: instant(r.FinishedAt),
		Counts: map[string]int64{}, Totals: map[string]*eventsv1.Money{},
	}
}
