package admin

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

// watchPoll is how often a watcher looks for itself: reports that another replica handled are told to nobody here.
const watchPoll = time.Second

// ListRuns lists runs, those of the newest nominal times first. The schedule may be a full name or its last part.
func (s *Server) ListRuns(ctx context.Context, req *schedulerv1.ListRunsRequest) (*schedulerv1.ListRunsResponse, error) {
	filter, err := runFilter(ctx, req)
	if err != nil {
		return nil, err
	}
	before, err := runsBefore(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(req.GetPageSize())
	found, err := s.store.Runs(ctx, filter, before, size)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListRunsResponse{}
	for _, r := range found {
		resp.Items = append(resp.Items, s.runProto(r))
	}
	if len(found) == size {
		last := found[size-1]
		resp.NextPageToken = rpc.PageToken(last.Nominal.Format(time.RFC3339Nano), last.TickID)
	}
	return resp, nil
}

func runFilter(ctx context.Context, req *schedulerv1.ListRunsRequest) (store.RunFilter, error) {
	f := store.RunFilter{Schedule: req.GetSchedule(), State: req.GetState()}
	tenant := req.GetTenant()
	if strings.Contains(req.GetSchedule(), "/") {
		key, err := schedule.ParseKey(req.GetSchedule())
		if err != nil {
			return f, rpc.Invalid("schedule", "%v", err)
		}
		if tenant != "" && tenant != key.Tenant {
			return f, rpc.Invalid("schedule", "%s is no schedule of tenant %s", key, tenant)
		}
		tenant, f.Service, f.Schedule = key.Tenant, key.Service, key.Name
	}
	var err error
	f.Tenants, err = visible(ctx, tenant)
	return f, err
}

func runsBefore(token string) (*store.RunsBefore, error) {
	key, err := rpc.ParsePageToken(token, 2)
	if err != nil || key == nil {
		return nil, err
	}
	nominal, err := time.Parse(time.RFC3339Nano, key[0])
	if err != nil {
		return nil, rpc.Invalid("page_token", "it is not one of ours")
	}
	return &store.RunsBefore{Nominal: nominal, TickID: key[1]}, nil
}

// GetRun shows a run by tick id or run id.
func (s *Server) GetRun(ctx context.Context, req *schedulerv1.GetRunRequest) (*schedulerv1.Run, error) {
	r, err := s.store.Run(ctx, req.GetId())
	if err != nil {
		return nil, fault(err, "run", req.GetId())
	}
	if _, err := auth.Require(ctx, auth.Viewer, r.Tenant); err != nil {
		return nil, err
	}
	return s.runProto(r), nil
}

// WatchRun sends a tick's run at once and whenever it has changed, until it ends. Changes that follow each other closely
// may be sent as one. A stream that breaks off, or ends with UNAVAILABLE because this replica stops, may be opened anew at
// any time: it begins with the run as it is.
func (s *Server) WatchRun(req *schedulerv1.WatchRunRequest, out grpc.ServerStreamingServer[schedulerv1.Run]) error {
	ctx := out.Context()
	key, err := schedule.TickKey(req.GetTickId())
	if err != nil {
		return rpc.Invalid("tick_id", "%v", err)
	}
	if _, err := auth.Require(ctx, auth.Viewer, key.Tenant); err != nil {
		return err
	}
	changed, stop := s.watchers.Watch(req.GetTickId()) // before the first look, so that nothing falls in between
	defer stop()
	poll := time.NewTicker(watchPoll)
	defer poll.Stop()
	var sent *schedulerv1.Run
	for {
		r, err := s.store.Run(ctx, req.GetTickId())
		switch {
		case err != nil && (sent == nil || !pg.Transient(err)):
			return fault(err, "run", req.GetTickId())
		case err != nil:
			s.log.WarnContext(ctx, "a watched run cannot be read at the moment", "tick", req.GetTickId(), "error", err)
		default:
			if now := s.runProto(r); !proto.Equal(now, sent) {
				if err := out.Send(now); err != nil {
					return err
				}
				sent = now
			}
			if r.Ended() {
				return nil
			}
		}
		select {
		case <-changed:
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err() // the rpc server knows whether the caller or the server ends
		}
	}
}

func (s *Server) runProto(r store.Run) *schedulerv1.Run {
	p := &schedulerv1.Run{
		RunId: r.RunID, TickId: r.TickID, Tenant: r.Tenant, Service: r.Service, Schedule: r.Schedule, Job: r.Job,
		NominalTime: timestamppb.New(r.Nominal), LocalDate: r.LocalDate, State: r.State, Reason: r.Reason, Counts: r.Counts,
		FiredAt: timestamp(r.FiredAt), UpdatedAt: timestamppb.New(r.UpdatedAt),
		Mode: s.tenants.Mode(r.Tenant),
	}
	if len(r.Totals) > 0 {
		p.Totals = make(map[string]*eventsv1.Money, len(r.Totals))
	}
	for state, a := range r.Totals {
		p.Totals[state] = &eventsv1.Money{Minor: a.Minor, Currency: a.Currency}
	}
	return p
}
