package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/command"
)

// DeadLettered publishes event.dead_lettered for a message that was given up and copied to the dead-letter stream. Told
// twice of one message it publishes one event id.
func (s *Store) DeadLettered(ctx context.Context, m stream.Message, reason error) error {
	tenant := s.tenantOf(ctx, m)
	id := fmt.Sprintf("%s:%d:%s", m.Stream, m.Seq, m.Origin.Consumer)
	ctx = event.WithCause(ctx, event.Cause{Actor: Actor, CorrelationID: event.CauseFrom(ctx).CorrelationID, CausationID: m.ID})
	msg, err := s.Event(ctx, tenant, "event.dead_lettered", id, 1, &eventsv1.DeadLetter{
		Tenant: tenant, Service: command.Service, Stream: m.Origin.Stream, Consumer: m.Origin.Consumer, StreamSeq: m.Seq,
		Subject: m.Origin.Subject, Error: telemetry.Mask(reason.Error()), Deliveries: int64(m.Delivered), State: "dead_lettered",
	})
	if err != nil {
		return err
	}
	if err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.Outbox.Append(ctx, tx, msg) }); err != nil {
		return fmt.Errorf("tell of dead letter %s: %w", id, err)
	}
	s.Outbox.Nudge()
	return nil
}

// noTenant stands for the tenant of a message that names none.
const noTenant = "unknown"

// tenantOf finds whose message it is: ticks carry the tenant in their subject, commands name a run.
func (s *Store) tenantOf(ctx context.Context, m stream.Message) string {
	if tokens := strings.Split(m.Origin.Subject, "."); len(tokens) > 2 && tokens[1] == "tick" {
		return tokens[2]
	}
	c, err := command.Decode(m.Origin.Subject, m.Data)
	if err != nil {
		return noTenant
	}
	id := c.RunID()
	r, err := s.Run(ctx, s.Pool, id)
	if err != nil {
		return noTenant
	}
	return r.Tenant
}
