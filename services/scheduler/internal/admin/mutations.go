package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

// TriggerSchedule fires one tick by hand.
func (s *Server) TriggerSchedule(ctx context.Context, req *schedulerv1.TriggerScheduleRequest) (*schedulerv1.TriggerScheduleResponse, error) {
	var at time.Time
	if req.GetNominalTime() != nil {
		if err := req.GetNominalTime().CheckValid(); err != nil {
			return nil, rpc.Invalid("nominal_time", "%v", err)
		}
		at = req.GetNominalTime().AsTime()
	}
	resp := &schedulerv1.TriggerScheduleResponse{}
	m := mutation{action: "TriggerSchedule", name: req.GetName(), requestID: req.GetRequestId()}
	err := s.mutate(ctx, m, resp, func(tx pgx.Tx, key schedule.Key) (done, error) {
		t, err := s.store.Trigger(ctx, tx, key, at, req.GetRequestId())
		detail := "fired " + t.TickID
		if t.AlreadyFired {
			detail = "had fired before: " + t.TickID
		}
		return done{
			answer:  &schedulerv1.TriggerScheduleResponse{TickId: t.TickID, AlreadyFired: t.AlreadyFired},
			settled: t.Settled, detail: detail,
		}, err
	})
	return resp, err
}

// PauseSchedule stops a schedule from firing by itself. Pausing it again replaces the reason.
func (s *Server) PauseSchedule(ctx context.Context, req *schedulerv1.PauseScheduleRequest) (*schedulerv1.Schedule, error) {
	resp := &schedulerv1.Schedule{}
	m := mutation{action: "PauseSchedule", name: req.GetName(), requestID: req.GetRequestId(), settle: true}
	err := s.mutate(ctx, m, resp, func(tx pgx.Tx, key schedule.Key) (done, error) {
		settled, err := s.store.Pause(ctx, tx, key, req.GetReason())
		if err != nil {
			return done{}, err
		}
		return s.shown(ctx, tx, key, settled, "paused: "+req.GetReason())
	})
	return resp, err
}

// ResumeSchedule lets a schedule fire again, from now on.
func (s *Server) ResumeSchedule(ctx context.Context, req *schedulerv1.ResumeScheduleRequest) (*schedulerv1.Schedule, error) {
	resp := &schedulerv1.Schedule{}
	m := mutation{action: "ResumeSchedule", name: req.GetName(), requestID: req.GetRequestId(), settle: true}
	err := s.mutate(ctx, m, resp, func(tx pgx.Tx, key schedule.Key) (done, error) {
		settled, err := s.store.Resume(ctx, tx, key)
		if err != nil {
			return done{}, err
		}
		return s.shown(ctx, tx, key, settled, "resumed")
	})
	return resp, err
}

func (s *Server) shown(ctx context.Context, tx pgx.Tx, key schedule.Key, settled []store.Settled, detail string) (done, error) {
	v, err := s.store.GetIn(ctx, tx, key)
	if err != nil {
		return done{}, err
	}
	return done{answer: s.scheduleProto(v), settled: settled, detail: detail}, nil
}

// mutation names a change of one schedule.
type mutation struct {
	action, name, requestID string
	settle                  bool // settle a long backlog first, in transactions of its own
}

// done is what a change did.
type done struct {
	answer  proto.Message
	settled []store.Settled
	detail  string // for the audit trail
}

// mutate runs a change once per request id, in one transaction with its line in the audit trail, and fills resp.
func (s *Server) mutate(ctx context.Context, m mutation, resp proto.Message, change func(pgx.Tx, schedule.Key) (done, error)) error {
	key, err := keyOf(m.name)
	if err != nil {
		return err
	}
	if m.settle {
		if err := s.store.SettleAll(ctx, key); err != nil {
			return fault(err, "schedule", m.name)
		}
	}
	var stored []byte
	var settled []store.Settled
	err = pg.InTx(ctx, s.store.Pool, func(tx pgx.Tx) (err error) {
		settled = nil // InTx may repeat
		stored, err = auth.Once(ctx, tx, key.Tenant, m.action, m.requestID, func() ([]byte, error) {
			d, err := change(tx, key)
			if err != nil {
				return nil, err
			}
			settled = d.settled
			if err := s.record(ctx, tx, key, m, d.detail); err != nil {
				return nil, err
			}
			return proto.Marshal(d.answer)
		})
		return err
	})
	if err != nil {
		return fault(err, "schedule", m.name)
	}
	s.store.Committed(ctx, settled)
	if err := proto.Unmarshal(stored, resp); err != nil {
		return fmt.Errorf("stored answer of request %s: %w", m.requestID, err)
	}
	return nil
}

func (s *Server) record(ctx context.Context, tx pgx.Tx, key schedule.Key, m mutation, detail string) error {
	return auth.Record(ctx, tx, s.store.Outbox, auth.Entry{
		Tenant: key.Tenant, Service: "scheduler", Action: m.action, Target: m.name, Detail: detail, RequestID: m.requestID, At: s.clock.Now(),
	})
}
