package admin

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/rpc"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

const defaultNextTimes = 5

// ListSchedules lists the schedules that the caller may see, by name.
func (s *Server) ListSchedules(ctx context.Context, req *schedulerv1.ListSchedulesRequest) (*schedulerv1.ListSchedulesResponse, error) {
	tenants, err := visible(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	token, err := rpc.ParsePageToken(req.GetPageToken(), 3)
	if err != nil {
		return nil, err
	}
	var after schedule.Key
	if token != nil {
		after = schedule.Key{Tenant: token[0], Service: token[1], Name: token[2]}
	}
	size := rpc.PageSize(req.GetPageSize())
	views, err := s.store.List(ctx, tenants, after, size)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListSchedulesResponse{}
	for _, v := range views {
		resp.Items = append(resp.Items, s.scheduleProto(v))
	}
	if len(views) == size {
		last := views[size-1]
		resp.NextPageToken = rpc.PageToken(last.Tenant, last.Service, last.Name)
	}
	return resp, nil
}

// GetSchedule shows one schedule.
func (s *Server) GetSchedule(ctx context.Context, req *schedulerv1.GetScheduleRequest) (*schedulerv1.Schedule, error) {
	v, err := s.find(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return s.scheduleProto(v), nil
}

// NextTimes previews nominal times, also those of a paused schedule.
func (s *Server) NextTimes(ctx context.Context, req *schedulerv1.NextTimesRequest) (*schedulerv1.NextTimesResponse, error) {
	v, err := s.find(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	after, count := s.clock.Now(), defaultNextTimes
	if req.GetAfter() != nil {
		if err := req.GetAfter().CheckValid(); err != nil {
			return nil, rpc.Invalid("after", "%v", err)
		}
		after = req.GetAfter().AsTime()
	}
	if req.GetCount() > 0 {
		count = int(req.GetCount())
	}
	resp := &schedulerv1.NextTimesResponse{}
	for range count {
		after = v.Cron.Next(after, v.Zone)
		if after.IsZero() {
			break
		}
		resp.Items = append(resp.Items, timestamppb.New(after))
	}
	return resp, nil
}

func (s *Server) find(ctx context.Context, name string) (store.View, error) {
	key, err := keyOf(name)
	if err != nil {
		return store.View{}, err
	}
	v, err := s.store.Get(ctx, key)
	if err != nil {
		return store.View{}, fault(err, "schedule", name)
	}
	return v, nil
}

func (s *Server) scheduleProto(v store.View) *schedulerv1.Schedule {
	return &schedulerv1.Schedule{
		Name: v.String(), Tenant: v.Tenant, Service: v.Service, Schedule: v.Name, Job: v.Job,
		Cron: v.Cron.String(), Timezone: v.Zone.String(), State: string(v.State), PauseReason: v.PauseReason,
		CatchUp: string(v.CatchUp.Mode), Cursor: timestamp(v.Cursor), NextTime: timestamp(v.NextTime), LastTickId: v.LastTickID,
		Mode: s.tenants.Mode(v.Tenant),
	}
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
