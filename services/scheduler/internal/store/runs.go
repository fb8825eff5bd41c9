package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

// Amount is a sum of money as it is kept beside a run.
type Amount struct {
	Minor    int64  `json:"minor,string"`
	Currency string `json:"currency"`
}

// Run is a tick and what the service that runs it has reported.
type Run struct {
	TickID, RunID                  string // RunID "" until a service reports
	Tenant, Service, Schedule, Job string
	Nominal                        time.Time
	LocalDate                      string
	State                          string // the run's, or the tick's until a service reports
	Reason                         string
	Counts                         map[string]int64
	Totals                         map[string]Amount
	FiredAt                        time.Time // zero: it did not fire
	UpdatedAt                      time.Time
}

// Ended reports whether nothing more is to be expected of the run.
func (r Run) Ended() bool {
	switch r.State {
	case "completed", "failed", "missed", "skipped":
		return true
	}
	return false
}

// Report applies what a service says about a run, unless something newer was applied before.
func (s *Store) Report(ctx context.Context, tx pgx.Tx, e event.Envelope, run *eventsv1.Run) error {
	counts := run.GetCounts()
	if counts == nil {
		counts = map[string]int64{}
	}
	totals := make(map[string]Amount, len(run.GetTotals()))
	for state, m := range run.GetTotals() {
		totals[state] = Amount{Minor: m.GetMinor(), Currency: m.GetCurrency()}
	}
	countsJSON, err := json.Marshal(counts)
	if err != nil {
		return fmt.Errorf("counts of run %s: %w", run.GetRunId(), err)
	}
	totalsJSON, err := json.Marshal(totals)
	if err != nil {
		return fmt.Errorf("totals of run %s: %w", run.GetRunId(), err)
	}
	_, err = db.New(tx).ReportRun(ctx, db.ReportRunParams{
		TickID: run.GetTickId(), RunID: run.GetRunId(), Tenant: run.GetTenant(), Service: run.GetService(), Schedule: run.GetSchedule(),
		Job: run.GetJob(), NominalTime: run.GetNominalTime().AsTime(), LocalDate: run.GetLocalDate(), State: run.GetState(),
		Reason: run.GetReason().GetCode(), Counts: countsJSON, Totals: totalsJSON,
		Epoch: int32(e.Epoch), AggVersion: e.Version, UpdatedAt: e.Time,
	})
	if err != nil {
		return fmt.Errorf("record state %s of run %s: %w", run.GetState(), run.GetRunId(), err)
	}
	return nil
}

// Run finds a run by tick id or run id.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	row, err := db.New(s.Pool).GetRun(ctx, id)
	if err != nil {
		return Run{}, notFound(err, "run", id)
	}
	return runOf(db.ListRunsRow(row))
}

// RunFilter says which runs to list; empty fields do not filter.
type RunFilter struct {
	Tenants
	Service, Schedule, State string
}

// RunsBefore is where a page of runs begins: after that tick in the order of the list.
type RunsBefore struct {
	Nominal time.Time
	TickID  string
}

// endOfTime is after every tick. Postgres' infinity does not fit a time.Time.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Runs lists runs, those of the newest nominal times first. before is nil for the first page.
func (s *Store) Runs(ctx context.Context, f RunFilter, before *RunsBefore, size int) ([]Run, error) {
	if before == nil {
		before = &RunsBefore{Nominal: endOfTime}
	}
	rows, err := db.New(s.Pool).ListRuns(ctx, db.ListRunsParams{
		EveryTenant: f.All, Tenants: f.Names, Service: f.Service, Schedule: f.Schedule, State: f.State,
		BeforeTime: before.Nominal, BeforeID: before.TickID, MaxRows: int32(size),
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	runs := make([]Run, 0, len(rows))
	for _, row := range rows {
		r, err := runOf(row)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func runOf(row db.ListRunsRow) (Run, error) {
	r := Run{
		TickID: row.TickID, RunID: row.RunID, Tenant: row.Tenant, Service: row.Service, Schedule: row.Schedule, Job: row.Job,
		Nominal: row.NominalTime.UTC(), LocalDate: row.LocalDate, State: row.State, Reason: row.Reason, UpdatedAt: row.UpdatedAt.UTC(),
	}
	if row.FiredAt != nil {
		r.FiredAt = row.FiredAt.UTC()
	}
	if err := json.Unmarshal(row.Counts, &r.Counts); err != nil {
		return Run{}, fmt.Errorf("stored counts of %s: %w", r.TickID, err)
	}
	if err := json.Unmarshal(row.Totals, &r.Totals); err != nil {
		return Run{}, fmt.Errorf("stored totals of %s: %w", r.TickID, err)
	}
	return r, nil
}
