// Package admin serves agogo.scheduler.v1: it shows schedules and runs, lets people trigger, pause and resume, and lets them
// decide about dead letters.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/rpc"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/runs"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

// Policy is the role that each method needs on the tenant it touches.
func Policy() auth.Policy {
	return auth.Policy{
		schedulerv1.SchedulerService_ReplayDeadLetter_FullMethodName:  auth.Operator,
		schedulerv1.SchedulerService_DiscardDeadLetter_FullMethodName: auth.Operator,
		schedulerv1.SchedulerService_ListSchedules_FullMethodName:     auth.Viewer,
		schedulerv1.SchedulerService_GetSchedule_FullMethodName:       auth.Viewer,
		schedulerv1.SchedulerService_NextTimes_FullMethodName:         auth.Viewer,
		schedulerv1.SchedulerService_ListRuns_FullMethodName:          auth.Viewer,
		schedulerv1.SchedulerService_GetRun_FullMethodName:            auth.Viewer,
		schedulerv1.SchedulerService_WatchRun_FullMethodName:          auth.Viewer,
		schedulerv1.SchedulerService_TriggerSchedule_FullMethodName:   auth.Operator,
		schedulerv1.SchedulerService_PauseSchedule_FullMethodName:     auth.Operator,
		schedulerv1.SchedulerService_ResumeSchedule_FullMethodName:    auth.Operator,
	}
}

// Server implements the service.
type Server struct {
	schedulerv1.UnsafeSchedulerServiceServer // a method that is missing does not compile

	store    *store.Store
	watchers *runs.Watchers
	js       jetstream.JetStream
	tenants  *config.File
	clock    clock.Clock
	log      *slog.Logger
}

// New makes a server.
func New(s *store.Store, w *runs.Watchers, js jetstream.JetStream, tenants *config.File, c clock.Clock, log *slog.Logger) *Server {
	return &Server{store: s, watchers: w, js: js, tenants: tenants, clock: c, log: log}
}

// visible is what the caller may see: the tenant it names, or all of its own.
func visible(ctx context.Context, tenant string) (store.Tenants, error) {
	if tenant != "" {
		_, err := auth.Require(ctx, auth.Viewer, tenant)
		return store.Tenants{Names: []string{tenant}}, err
	}
	actor, ok := auth.ActorFrom(ctx)
	switch {
	case !ok:
		return store.Tenants{}, status.Error(codes.Unauthenticated, "no caller: send a bearer token")
	case actor.May(auth.Viewer, ""):
		return store.Tenants{All: true}, nil
	}
	names := slices.Clone(actor.Tenants)
	return store.Tenants{Names: slices.DeleteFunc(names, func(t string) bool { return !actor.May(auth.Viewer, t) })}, nil
}

// keyOf reads a schedule's name; the proto's rules have checked its form.
func keyOf(name string) (schedule.Key, error) {
	key, err := schedule.ParseKey(name)
	if err != nil {
		return schedule.Key{}, rpc.Invalid("name", "%v", err)
	}
	return key, nil
}

// fault turns the store's errors into statuses.
func fault(err error, kind, name string) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rpc.NotFound(kind, name)
	case errors.Is(err, store.ErrFuture):
		return rpc.Refused("tick_in_future", "wait for its time, or name a time that has passed", "%v", err)
	case errors.Is(err, store.ErrBacklog):
		return status.Errorf(codes.Unavailable, "%v: call again in a moment", err)
	}
	return err
}
