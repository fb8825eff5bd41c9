package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/deadletter"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// ReplayDeadLetter gives a dead letter to its service once more.
func (s *Server) ReplayDeadLetter(ctx context.Context, req *schedulerv1.ReplayDeadLetterRequest) (*schedulerv1.ReplayDeadLetterResponse, error) {
	if err := s.order(ctx, "ReplayDeadLetter", req.GetSeq(), "replay"); err != nil {
		return nil, err
	}
	r, err := stream.Replay(ctx, s.js, req.GetSeq())
	if err != nil {
		return nil, noLetter(err, req.GetSeq())
	}
	return &schedulerv1.ReplayDeadLetterResponse{MessageId: r.MsgID, Subject: r.Subject, Already: r.Already}, nil
}

// DiscardDeadLetter drops a dead letter for good.
func (s *Server) DiscardDeadLetter(ctx context.Context, req *schedulerv1.DiscardDeadLetterRequest) (*schedulerv1.DiscardDeadLetterResponse, error) {
	if err := s.order(ctx, "DiscardDeadLetter", req.GetSeq(), "discard: "+req.GetReason()); err != nil {
		return nil, err
	}
	if err := stream.DiscardDeadLetter(ctx, s.js, req.GetSeq()); err != nil {
		return nil, noLetter(err, req.GetSeq())
	}
	return &schedulerv1.DiscardDeadLetterResponse{}, nil
}

// order finds out whether the caller may decide about the letter, and puts what it decided into the audit trail. That is
// committed before the stream is touched: a crash in between leaves a line about something that was not done, and the letter
// where it was, never a letter that went without a line.
func (s *Server) order(ctx context.Context, action string, seq uint64, what string) error {
	d, err := stream.ShowDeadLetter(ctx, s.js, seq)
	if err != nil {
		return noLetter(err, seq)
	}
	tenant := deadletter.TenantOf(d.Header.Get, d.Subject)
	asked := tenant
	if tenant == deadletter.Nobody {
		asked = "" // of all tenants
	}
	if _, err := auth.Require(ctx, auth.Operator, asked); err != nil {
		return err
	}
	entry := auth.Entry{
		Tenant: tenant, Service: "scheduler", Action: action, Target: "dead letter " + strconv.FormatUint(seq, 10), At: s.clock.Now(),
		Detail: fmt.Sprintf("%s; message %s of %s on %s", what, d.ID, d.Consumer, d.Subject),
	}
	err = pg.InTx(ctx, s.store.Pool, func(tx pgx.Tx) error { return auth.Record(ctx, tx, s.store.Outbox, entry) })
	if err != nil {
		return err
	}
	s.store.Outbox.Nudge()
	return nil
}

func noLetter(err error, seq uint64) error {
	if errors.Is(err, stream.ErrNotFound) {
		return rpc.NotFound("dead letter", strconv.FormatUint(seq, 10))
	}
	return err
}
