// Package store keeps payouts in Postgres. Apply is the only way a payout changes its state: it checks the transition
// against the state table, moves the rows set-based, and writes their events beside them.
package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Service is the name of the service in subjects and events.
const Service = "payouts"

// Actor is who acts when no person does.
const Actor = "service:" + Service

// Store reads and moves payouts.
type Store struct {
	Runs   *run.Store
	Outbox *outbox.Outbox
	Clock  clock.Clock
	Epoch  *event.Epoch
	// Tenants holds the limits: pausing of payees and batches, caps, tiers. nil is a service without limits.
	Tenants *config.File
	// Stopped lists the stopped connectors; see [Items].
	Stopped func(ctx context.Context, tx pgx.Tx) ([]string, error)
	// Barred lists those of them behind which what is approved stays so; nil: none.
	Barred func(ctx context.Context, tx pgx.Tx) ([]string, error)
	// Float tells of balances; nil is a service that knows none.
	Float Float
}

// Float is what is known of the balances that payouts are paid from.
type Float interface {
	// Wanting lists, as "<tenant>/<provider>", the connectors whose balance does not cover what is due.
	Wanting(ctx context.Context, tx pgx.Tx) ([]string, error)
	// Fits says of one payout after another, by what they pay, whether a queue's balance covers them too; nil: all are let through.
	Fits(ctx context.Context, tx pgx.Tx, q Queue) (fits func(net int64) bool, err error)
}

// Change moves one payout.
type Change struct {
	PayoutID uuid.UUID
	From     []payout.State // compare-and-set: the payout must be in one of these
	To       payout.State
	Reason   payout.Reason
	// Attempt, Reference and Provider are set when an attempt begins ("" and 0 leave them).
	Attempt   int
	Reference string
	Provider  string
	Counted   int        // added to the attempts that count
	RetryAt   *time.Time // failed: next automatic approval; approved, held: not before. nil clears it
	Fee       *int64
	// Release frees the payout's items for another payout. States that always free them (skipped, rejected, cancelled,
	// reversed, and failed without RetryAt) need not say so; those that never may are refused.
	Release bool
	// CapDate is the local date against whose daily caps the payout counts from now on; "" leaves it.
	CapDate string
}

// rules returns the tenant's rules; a tenant that is not configured has no limits.
func (s *Store) rules(tenant string) config.Payouts {
	if s.Tenants == nil {
		return config.Payouts{}
	}
	t, ok := s.Tenants.Tenant(tenant)
	if !ok || t.Payouts == nil {
		return config.Payouts{}
	}
	return *t.Payouts
}

// serves reports whether the tenants file has the queue's provider. What is held for one that is gone stays held.
func (s *Store) serves(q Queue) bool {
	if s.Tenants == nil {
		return true
	}
	t, ok := s.Tenants.Tenant(q.Tenant)
	if !ok {
		return false
	}
	_, ok = t.Providers[q.Provider]
	return ok
}

// Today is the tenant's local date, against whose caps it counts what is approved now.
func (s *Store) Today(tenant string) string {
	now := s.Clock.Now()
	if s.Tenants != nil {
		if t, ok := s.Tenants.Tenant(tenant); ok {
			now = now.In(t.Location)
		}
	}
	return now.Format(time.DateOnly)
}

// StoppedConnectors lists the stopped connectors as "<tenant>/<provider>".
func (s *Store) StoppedConnectors(ctx context.Context, tx pgx.Tx) ([]string, error) {
	return named(ctx, tx, s.Stopped)
}

// WantingFloat lists the connectors whose balance does not cover what is due, as "<tenant>/<provider>".
func (s *Store) WantingFloat(ctx context.Context, tx pgx.Tx) ([]string, error) {
	if s.Float == nil {
		return nil, nil
	}
	return s.Float.Wanting(ctx, tx)
}

// Get returns payouts in id order; unknown ids are absent.
func (s *Store) Get(ctx context.Context, tx db.DBTX, ids ...uuid.UUID) ([]payout.Payout, error) {
	rows, err := db.New(tx).GetPayouts(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read payouts: %w", err)
	}
	payouts := make([]payout.Payout, len(rows))
	for i, r := range rows {
		payouts[i] = fromRow(db.LockPayoutsRow(r))
	}
	return payouts, nil
}

// Event makes the outbox message of an aggregate's change.
func (s *Store) Event(ctx context.Context, tenant string, t event.Type, id string, version int64, body proto.Message) (outbox.Message, error) {
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode %s of %s: %w", t, id, err)
	}
	return outbox.FromEvent(ctx, event.New(ctx, Service, tenant, t, id, version, s.Epoch.Now(), s.Clock.Now()), data), nil
}

// PlanAnew has the transaction's statements planned for the tables as they are: a plan that was cached while a table was
// empty reads all of it once it has filled, until the next analyze. For transactions of few, large statements.
func (s *Store) PlanAnew(ctx context.Context, tx pgx.Tx) error {
	if err := db.New(tx).PlanAnew(ctx); err != nil {
		return fmt.Errorf("have statements planned anew: %w", err)
	}
	return nil
}
