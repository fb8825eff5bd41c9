package admin

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// ReleaseRefused lets go what of a batch is held as refused often.
func (s *Server) ReleaseRefused(ctx context.Context, r *payoutsv1.ReleaseRefusedRequest) (*payoutsv1.ReleaseRefusedResponse, error) {
	if t, err := s.tenant(r.GetTenant()); err != nil {
		return nil, err
	} else if _, known := t.Providers[r.GetProvider()]; r.GetProvider() != "" && !known {
		return nil, rpc.Invalid("provider", "the tenants file has no provider %q of %s", r.GetProvider(), r.GetTenant())
	}
	if r.GetDryRun() {
		return s.wouldRelease(ctx, r)
	}
	out, released := &payoutsv1.ReleaseRefusedResponse{}, 0
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "ReleaseRefused", Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId(),
		Became: func() string { return strconv.Itoa(released) + " released" + through(r.GetProvider()) },
	}
	err := s.single(ctx, m, out, func(tx pgx.Tx, id uuid.UUID) (proto.Message, error) {
		answer, err := s.releaseRefused(ctx, tx, id, r)
		if err == nil {
			released = int(answer.GetReleased() + answer.GetWaiting())
		}
		return answer, err
	})
	return out, err
}

func through(provider string) string {
	if provider == "" {
		return ""
	}
	return " to " + provider
}

// wouldRelease does all of it and takes it back: what would come of it is what does come of it.
func (s *Server) wouldRelease(ctx context.Context, r *payoutsv1.ReleaseRefusedRequest) (out *payoutsv1.ReleaseRefusedResponse, err error) {
	id, err := uuid.Parse(r.GetId())
	if err != nil {
		return nil, rpc.Invalid("id", "%q is no batch id (a UUID)", r.GetId())
	}
	undone := errors.New("undone")
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if out, err = s.releaseRefused(ctx, tx, id, r); err != nil {
			return err
		}
		return undone
	})
	if errors.Is(err, undone) {
		return out, nil
	}
	return nil, err
}

func (s *Server) releaseRefused(ctx context.Context, tx pgx.Tx, id uuid.UUID, r *payoutsv1.ReleaseRefusedRequest) (*payoutsv1.ReleaseRefusedResponse, error) {
	before, err := s.batch(ctx, tx, r.GetTenant(), r.GetId()) // another tenant's is not found
	if err != nil {
		return nil, err
	}
	done, err := s.Store.ReleaseRefused(ctx, tx, r.GetTenant(), id, r.GetProvider())
	if err != nil {
		return nil, err
	}
	out := &payoutsv1.ReleaseRefusedResponse{
		Batch: before, Released: int64(done.Released), Waiting: int64(done.Waiting), Contradicted: int64(done.Contradicted), OverCap: int64(done.OverCap), Left: left(done.Left),
	}
	if !r.GetDryRun() { // which shows it as it stays
		out.Batch, err = s.batch(ctx, tx, r.GetTenant(), r.GetId())
	}
	return out, err
}

func left(kept []store.Kept) []*payoutsv1.LeftHeld {
	all := make([]*payoutsv1.LeftHeld, len(kept))
	for i, k := range kept {
		all[i] = &payoutsv1.LeftHeld{PayoutId: k.PayoutID.String(), PayeeId: k.PayeeID, Code: k.Code}
	}
	return all
}
