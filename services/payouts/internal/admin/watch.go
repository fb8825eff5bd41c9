package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/run"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	storedb "github.com/agogopay/agogo/services/payouts/internal/store/db"
)

const (
	// watchEvery is how often a watched run is looked at, at most; watchCost how much longer than the look itself the pause is, so that watching a run
	// of a hundred thousand payouts takes a twentieth of a connection, and watchRarely the longest pause.
	watchEvery, watchRarely = 500 * time.Millisecond, 10 * time.Second
	watchCost               = 20
	// signOfLife is how often something is sent although nothing has changed: connections that are silent are cut.
	signOfLife = 10 * time.Second
)

// WatchRun sends a run's progress until it has ended. It reads the tables, which any replica may have changed.
func (s *Server) WatchRun(r *payoutsv1.WatchRunRequest, out grpc.ServerStreamingServer[payoutsv1.RunProgress]) error {
	ctx := out.Context()
	found, err := s.findRun(ctx, r.GetTenant(), r.GetId())
	if err != nil {
		return err
	}
	var sent *payoutsv1.RunProgress
	var sentAt time.Time
	for {
		began := s.Clock.Now()
		now, err := s.progress(ctx, found.ID)
		if err != nil && (sent == nil || !pg.Transient(err)) {
			return err
		}
		took := s.Clock.Now().Sub(began)
		if err == nil {
			if changed := !same(sent, now); changed || began.Sub(sentAt) >= signOfLife {
				if err := out.Send(now); err != nil {
					return err
				}
				sent, sentAt = now, began
			}
			if ended(now.GetRun().GetState()) {
				return nil
			}
		}
		pause := time.NewTimer(min(max(watchEvery, watchCost*took), watchRarely))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err() // the rpc server knows whether the caller or the server ends
		}
	}
}

func ended(state string) bool { return state == run.Completed || state == run.Failed }

// same reports whether two looks differ in nothing but their time.
func same(a, b *payoutsv1.RunProgress) bool {
	if a == nil {
		return false
	}
	c := proto.CloneOf(b)
	c.At = a.GetAt()
	return proto.Equal(a, c)
}

// progress is a run as it is, and its payouts by state.
func (s *Server) progress(ctx context.Context, id uuid.UUID) (*payoutsv1.RunProgress, error) {
	r, err := s.Store.Runs.Get(ctx, s.Pool, id) // before its payouts: of a run that has ended they are counted as it has left them, or later
	if err != nil {
		return nil, err
	}
	rows, err := storedb.New(s.Pool).RunProgress(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("count payouts of run %s: %w", id, err)
	}
	p := &payoutsv1.RunProgress{Run: runOf(r), Pages: int32(r.Page), Planned: r.Planned, Held: map[string]int64{}, At: timestamppb.New(s.Clock.Now())}
	byState := make([]storedb.RunCountsRow, 0, len(rows))
	for _, c := range rows {
		if c.Cause != "" {
			p.Held[c.Cause] += c.Count
		}
		if n := len(byState); n > 0 && byState[n-1].State == c.State && byState[n-1].Currency == c.Currency {
			byState[n-1].Count, byState[n-1].Net = byState[n-1].Count+c.Count, byState[n-1].Net+c.Net
			continue
		}
		byState = append(byState, storedb.RunCountsRow{State: c.State, Currency: c.Currency, Count: c.Count, Net: c.Net})
	}
	p.Run.Counts, p.Run.Totals = store.Totals(byState)
	if r.Done > 0 {
		p.Run.Counts["asked"] = r.Done
	}
	return p, nil
}
