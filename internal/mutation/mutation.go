// Package mutation does what people ask a service for: in one transaction, once per request id, with its entry in the audit
// trail beside it.
package mutation

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
)

// Runner runs the mutations of a service.
type Runner struct {
	Pool    *pgxpool.Pool
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Service string
}

// Mutation says what a request changes, for the audit trail.
type Mutation struct {
	Tenant    string
	Action    string // the method's name
	Target    string // resource id
	Detail    string // without personal data
	RequestID string
	// Became tells, once it is done, what the request came to, in front of the detail; nil adds nothing.
	Became func() string
}

// Run runs fn in one transaction, once per request id, with its audit entry; out receives the answer, be it this one's or
// that of the request's first time. An error of fn undoes everything and is what the caller gets.
func (r Runner) Run(ctx context.Context, m Mutation, out proto.Message, fn func(tx pgx.Tx) (proto.Message, error)) error {
	err := pg.InTx(ctx, r.Pool, func(tx pgx.Tx) error {
		answer, err := auth.Once(ctx, tx, m.Tenant, m.Action, m.RequestID, func() ([]byte, error) {
			result, err := fn(tx)
			if err != nil {
				return nil, err
			}
			if err := r.record(ctx, tx, m); err != nil {
				return nil, err
			}
			return proto.Marshal(result)
		})
		if err != nil {
			return err
		}
		return proto.Unmarshal(answer, out)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", m.Action, err)
	}
	r.Outbox.Nudge()
	return nil
}

func (r Runner) record(ctx context.Context, tx pgx.Tx, m Mutation) error {
	detail := m.Detail
	if m.Became != nil {
		detail = m.Became() + ": " + detail
	}
	return auth.Record(ctx, tx, r.Outbox, auth.Entry{
		Tenant: m.Tenant, Service: r.Service, Action: m.Action, Target: m.Target, Detail: detail, RequestID: m.RequestID, At: r.Clock.Now(),
	})
}
