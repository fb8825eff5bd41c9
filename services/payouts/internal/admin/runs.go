package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	storedb "github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// ListRuns lists runs, newest nominal time first.
func (s *Server) ListRuns(ctx context.Context, r *payoutsv1.ListRunsRequest) (*payoutsv1.ListRunsResponse, error) {
	found, next, err := s.Store.Runs.List(ctx, s.Pool, r.GetTenant(), r.GetPageToken(), r.GetPageSize())
	if err != nil {
		return nil, err
	}
	items, err := s.runs(ctx, s.Pool, found)
	if err != nil {
		return nil, err
	}
	return &payoutsv1.ListRunsResponse{Items: items, NextPageToken: next}, nil
}

// GetRun finds a run by its id or its tick's.
func (s *Server) GetRun(ctx context.Context, r *payoutsv1.GetRunRequest) (*payoutsv1.Run, error) {
	found, err := s.findRun(ctx, r.GetTenant(), r.GetId())
	if err != nil {
		return nil, err
	}
	all, err := s.runs(ctx, s.Pool, []run.Run{found})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (s *Server) findRun(ctx context.Context, tenant, id string) (run.Run, error) {
	r, err := s.Store.Runs.Find(ctx, s.Pool, tenant, id)
	if errors.Is(err, run.ErrNoRun) {
		return run.Run{}, rpc.NotFound("run", id)
	}
	return r, err
}

// runs adds what the runs' payouts count and sum to.
func (s *Server) runs(ctx context.Context, conn db.DBTX, found []run.Run) ([]*payoutsv1.Run, error) {
	batches := make([]uuid.UUID, len(found))
	for i, r := range found {
		batches[i] = store.BatchID(r.ID)
	}
	sums, err := s.sums(ctx, conn, batches)
	if err != nil {
		return nil, err
	}
	all := make([]*payoutsv1.Run, len(found))
	for i, r := range found {
		t, _ := s.Tenants.Tenant(r.Tenant)
		var counts []storedb.RunCountsRow
		for _, c := range sums[batches[i]] {
			counts = append(counts, storedb.RunCountsRow{State: c.State, Currency: string(t.Currency), Count: c.Count, Net: c.Net})
		}
		m := runOf(r)
		m.Counts, m.Totals = store.Totals(counts)
		if r.Done > 0 {
			m.Counts["asked"] = r.Done
		}
		all[i] = m
	}
	return all, nil
}

// runOf is a run without its payouts.
func runOf(r run.Run) *payoutsv1.Run {
	return &payoutsv1.Run{
		Id: r.ID.String(), TickId: r.TickID, Tenant: r.Tenant, Schedule: r.Schedule, Job: r.Job, NominalTime: timestamppb.New(r.NominalTime),
		LocalDate: r.LocalDate, State: r.State, Reason: r.Reason, StartedAt: instant(r.StartedAt), FinishedAt: instant(r.FinishedAt),
	}
}

// sums counts the payouts of batches by state, in one query for all of them.
func (s *Server) sums(ctx context.Context, conn db.DBTX, batches []uuid.UUID) (map[uuid.UUID][]db.CountsOfBatchesRow, error) {
	rows, err := db.New(conn).CountsOfBatches(ctx, batches)
	if err != nil {
		return nil, fmt.Errorf("count payouts: %w", err)
	}
	sums := make(map[uuid.UUID][]db.CountsOfBatchesRow, len(batches))
	for _, r := range rows {
		sums[r.BatchID] = append(sums[r.BatchID], r)
	}
	return sums, nil
}

// ListBatches lists batches, newest period first.
func (s *Server) ListBatches(ctx context.Context, r *payoutsv1.ListBatchesRequest) (*payoutsv1.ListBatchesResponse, error) {
	p := db.ListBatchesParams{Tenant: r.GetTenant(), PageLimit: int32(rpc.PageSize(r.GetPageSize()) + 1)}
	var err error
	if p.Before, p.After, err = beforeDate(r.GetPageToken()); err != nil {
		return nil, err
	}
	rows, err := s.queries().ListBatches(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list batches: %w", err)
	}
	rows, more := rpc.CutPage(rows, rpc.PageSize(r.GetPageSize()))
	resp := &payoutsv1.ListBatchesResponse{}
	if resp.Items, err = s.batches(ctx, s.Pool, rows); err != nil {
		return nil, err
	}
	if more {
		last := rows[len(rows)-1]
		resp.NextPageToken = rpc.PageToken(last.PeriodDate, last.BatchID.String())
	}
	return resp, nil
}

// beforeDate reads a token of lists that go backwards by date.
func beforeDate(token string) (date string, after uuid.UUID, err error) {
	key, err := rpc.ParsePageToken(token, 2)
	if err != nil || key == nil {
		return farFuture().Format(time.DateOnly), uuid.Nil, err
	}
	_, bad := time.Parse(time.DateOnly, key[0])
	after, worse := uuid.Parse(key[1])
	if bad != nil || worse != nil {
		return "", uuid.Nil, rpc.Invalid("page_token", "not one of ours")
	}
	return key[0], after, nil
}

// GetBatch finds a batch.
func (s *Server) GetBatch(ctx context.Context, r *payoutsv1.GetBatchRequest) (*payoutsv1.Batch, error) {
	return s.batch(ctx, s.Pool, r.GetTenant(), r.GetId())
}

func (s *Server) batch(ctx context.Context, conn db.DBTX, tenant, id string) (*payoutsv1.Batch, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil, rpc.NotFound("batch", id)
	}
	row, err := db.New(conn).FindBatch(ctx, db.FindBatchParams{Tenant: tenant, BatchID: u})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, rpc.NotFound("batch", id)
	}
	if err != nil {
		return nil, fmt.Errorf("find batch %s: %w", id, err)
	}
	all, err := s.batches(ctx, conn, []db.ListBatchesRow{db.ListBatchesRow(row)})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (s *Server) batches(ctx context.Context, conn db.DBTX, rows []db.ListBatchesRow) ([]*payoutsv1.Batch, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, b := range rows {
		ids[i] = b.BatchID
	}
	sums, err := s.sums(ctx, conn, ids)
	if err != nil {
		return nil, err
	}
	said, err := s.words(ctx, conn, ids)
	if err != nil {
		return nil, err
	}
	all := make([]*payoutsv1.Batch, len(rows))
	for i, b := range rows {
		m := &payoutsv1.Batch{
			Id: b.BatchID.String(), Tenant: b.Tenant, RunId: b.RunID.String(), PeriodDate: b.PeriodDate, Control: b.Control,
			ControlReason: b.ControlReason, State: b.State, Counts: map[string]int64{}, Gross: amount(0, b.Currency),
			Commission: amount(0, b.Currency), Net: amount(0, b.Currency), ApprovalsNeeded: b.ApprovalsNeeded,
			Words: said[b.BatchID], ApprovalExpiresAt: instant(b.ApprovalExpiresAt),
		}
		for _, c := range sums[b.BatchID] {
			m.Counts[c.State] = c.Count
			m.Gross.Minor += c.Gross
			m.Commission.Minor += c.Commission
			m.Net.Minor += c.Net
		}
		all[i] = m
	}
	return all, nil
}

// PauseBatch stops sending a batch's payouts.
func (s *Server) PauseBatch(ctx context.Context, r *payoutsv1.PauseBatchRequest) (*payoutsv1.Batch, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "PauseBatch", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.control(ctx, m, "paused", func(tx pgx.Tx, id uuid.UUID) (bool, error) {
		return s.Store.PauseBatchBy(ctx, tx, id, r.GetReason())
	})
}

// ResumeBatch goes on with a paused batch and wakes what waited for it.
func (s *Server) ResumeBatch(ctx context.Context, r *payoutsv1.ResumeBatchRequest) (*payoutsv1.Batch, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ResumeBatch", Target: r.GetId(), RequestID: r.GetRequestId()}
	return s.control(ctx, m, "resumed", func(tx pgx.Tx, id uuid.UUID) (bool, error) {
		actor, _ := auth.ActorFrom(ctx)
		ok, err := s.Store.ResumeBatch(ctx, tx, id, actor.Name)
		if err != nil || !ok {
			return ok, err
		}
		return true, s.wake(ctx, tx)
	})
}

// control changes a batch's control, or refuses, in the words of the verb, if it cannot be changed as it is.
func (s *Server) control(ctx context.Context, m mutation.Mutation, verb string, fn func(tx pgx.Tx, id uuid.UUID) (bool, error)) (*payoutsv1.Batch, error) {
	out := &payoutsv1.Batch{}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		before, err := s.batch(ctx, tx, m.Tenant, m.Target)
		if err != nil {
			return nil, err
		}
		ok, err := fn(tx, uuid.MustParse(before.GetId()))
		if err != nil {
			return nil, err
		}
		if !ok {
			stands := before.GetState() + " and cannot be " + verb
			if before.GetControl() == verb {
				stands = verb + " already"
			}
			return nil, rpc.Refused("BATCH_STATE", "look at it: agogo batches get "+m.Target, "batch %s is %s", m.Target, stands)
		}
		return s.batch(ctx, tx, m.Tenant, m.Target)
	})
	return out, err
}
