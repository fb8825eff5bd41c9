package admin

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/imports"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
)

// Deps are what the server acts with.
type Deps struct {
	Pool     *pgxpool.Pool
	Store    *store.Store
	Outbox   *outbox.Outbox
	Clock    clock.Clock
	Logger   *slog.Logger
	Tenants  *config.File
	Importer *imports.Importer
	Breaks   *breaks.Breaks
	Operate  Operate
	Approve  Approve
	Planner  *plan.Planner
	Closer   *closing.Closer
	Suspense *suspense.Desk
	Float    *float.Keeper
	// Connectors are opened again by StartOutflow and ResumeProvider, and by TopUpFloat those that rest for want of float.
	Connectors *provider.States
}

// Operate acts on single payouts, in the transaction of the request. Errors made by package rpc reach the caller as they
// are.
type Operate interface {
	// Resolve proposes, or applies what another actor proposed with the same words.
	Resolve(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, r Resolution) (review.Said, error)
	Retry(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	Hold(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	Release(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	Cancel(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	// AskBack comes before TakeBack, which asks the provider and therefore has no transaction.
	AskBack(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (attempt.BackAsk, error)
	TakeBack(ctx context.Context, tenant string, id uuid.UUID, ask attempt.BackAsk) error
}

// Resolution is a decision about a payout in manual review.
type Resolution struct {
	Outcome  string // paid or not_paid
	PayAgain bool
	Evidence string
}

// Approve decides about what waits for approval, in the transaction of the request, as the caller.
type Approve interface {
	ApprovePayout(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	RejectPayout(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	ApproveBatch(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) (Approved, error)
	RejectBatch(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) (Rejected, error)
}

// Rejected counts the payouts of a batch that waited by what its rejection came to.
type Rejected struct {
	Rejected, LeftInDoubt int
}

// Approved counts the payouts of a batch by what an approval of it came to.
type Approved struct {
	Approved, Waiting, LeftToOthers int
}

// Server implements the service.
type Server struct {
	payoutsv1.UnsafePayoutsServiceServer // a method that is missing does not compile
	Deps
}

// New makes a server.
func New(d Deps) *Server { return &Server{Deps: d} }

var _ payoutsv1.PayoutsServiceServer = (*Server)(nil)

// mutate is a mutation of the service.
func (s *Server) mutate(ctx context.Context, m mutation.Mutation, out proto.Message, fn func(tx pgx.Tx) (proto.Message, error)) error {
	r := mutation.Runner{Pool: s.Pool, Outbox: s.Outbox, Clock: s.Clock, Service: store.Service}
	return r.Run(ctx, m, out, fn)
}

// tenant finds a tenant that pays out.
func (s *Server) tenant(id string) (config.Tenant, error) {
	t, ok := s.Tenants.Tenant(id)
	if !ok || t.Payouts == nil {
		return config.Tenant{}, rpc.NotFound("tenant with payouts", id)
	}
	return t, nil
}

// queries reads outside a transaction.
func (s *Server) queries() *db.Queries { return db.New(s.Pool) }

// farFuture begins lists that go backwards in time.
func farFuture() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

func instant(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
