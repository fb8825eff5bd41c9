package admin

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin/db"
	"github.com/agogopay/agogo/services/recurrences/internal/imports"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense"
)

// Deps are what the server acts with.
type Deps struct {
	Pool     *pgxpool.Pool
	Store    *store.Store
	Runs     *run.Store
	Outbox   *outbox.Outbox
	Clock    clock.Clock
	Tenants  *config.File
	Importer *imports.Importer
	Operate  Operate
	Suspense *suspense.Desk
	// Connectors are opened again by ResumeGateway.
	Connectors *provider.States
	// Wake emits dispatch commands for the charges of a tenant that wait for a gateway; nil leaves that to the sweeper.
	Wake func(ctx context.Context, tx pgx.Tx, tenant string) error
}

// Operate acts on single recurrences and charges, in the transaction of the request. Errors made by package rpc reach the
// caller as they are.
type Operate interface {
	Pause(ctx context.Context, tx pgx.Tx, tenant, recurrence, reason string) error
	Resume(ctx context.Context, tx pgx.Tx, tenant, recurrence, reason string) error
	Cancel(ctx context.Context, tx pgx.Tx, tenant, recurrence, reason string) error
	Reactivate(ctx context.Context, tx pgx.Tx, tenant, recurrence, reason string) error
	SetCard(ctx context.Context, tx pgx.Tx, tenant, recurrence, token, brand string) error
	ChargeNow(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) error
	ChargeMissed(ctx context.Context, tx pgx.Tx, tenant, recurrence string, cycle recurrence.Date) (uuid.UUID, error)
	CancelCharge(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error
	// AskAnew has the gateway asked about a charge that was refused to be cancelled, where its word is too old; asked tells whether.
	AskAnew(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (asked bool, err error)
	// ResolveCharge proposes, or applies what another actor proposed with the same words.
	ResolveCharge(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, r resolve.Resolution) (review.Said, error)
	Refresh(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) error
	// SettleDispute books how a dispute ended, and returns its charge.
	SettleDispute(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, outcome string) (uuid.UUID, error)
}

// Server implements the service.
type Server struct {
	recurrencesv1.UnsafeRecurrencesServiceServer // a method that is missing does not compile
	Deps
}

// New makes a server.
func New(d Deps) *Server { return &Server{Deps: d} }

var _ recurrencesv1.RecurrencesServiceServer = (*Server)(nil)

// mutate is a mutation of the service, by a tenant that charges somebody.
func (s *Server) mutate(ctx context.Context, m mutation.Mutation, out proto.Message, fn func(tx pgx.Tx) (proto.Message, error)) error {
	if _, err := s.tenant(m.Tenant); err != nil {
		return err
	}
	r := mutation.Runner{Pool: s.Pool, Outbox: s.Outbox, Clock: s.Clock, Service: store.Service}
	return r.Run(ctx, m, out, fn)
}

// tenant finds a tenant that charges somebody.
func (s *Server) tenant(id string) (config.Tenant, error) {
	t, ok := s.Tenants.Tenant(id)
	if !ok || t.Recurrences == nil {
		return config.Tenant{}, rpc.NotFound("tenant with recurrences", id)
	}
	return t, nil
}

// queries reads outside a transaction.
func (s *Server) queries() *db.Queries { return db.New(s.Pool) }
