package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// DeadLettered publishes event.dead_lettered for a message that was given up and copied to the dead-letter stream. Told
// twice of one message it publishes one event id.
func (s *Store) DeadLettered(ctx context.Context, m stream.Message, reason error) error {
	state := event.DeadLetter.States()[0]
	kind, _ := event.DeadLetter.Event("", state)
	origin, tenant := m.Origin, tenantOf(m)
	body, err := event.Encode(&eventsv1.DeadLetter{
		Tenant: tenant, Service: stream.Consumer(origin.Consumer).Service, Stream: origin.Stream, Consumer: origin.Consumer,
		StreamSeq: m.Seq, Subject: origin.Subject, Error: telemetry.Mask(reason.Error()), Deliveries: int64(m.Delivered), State: state,
	})
	if err != nil {
		return fmt.Errorf("encode dead letter: %w", err)
	}
	ctx = event.WithCause(ctx, event.Cause{Actor: "service:" + source, CausationID: m.ID})
	id := fmt.Sprintf("%s:%d:%s", m.Stream, m.Seq, origin.Consumer)
	msg := outbox.FromEvent(ctx, event.New(ctx, source, tenant, kind, id, 1, s.Epoch, s.now()), body)
	if err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.Outbox.Append(ctx, tx, msg) }); err != nil {
		return err
	}
	s.Outbox.Nudge()
	return nil
}

// noTenant stands for the tenant of a message that names none.
const noTenant = "unknown"

func tenantOf(m stream.Message) string {
	if e, err := event.ParseHeaders(m.Header); err == nil {
		return e.Tenant
	}
	// agogo.evt.<tenant>… and agogo.tick.<tenant>…; commands carry it in their headers only.
	if tokens := strings.Split(m.Origin.Subject, "."); len(tokens) > 2 && (tokens[1] == "evt" || tokens[1] == "tick") {
		return tokens[2]
	}
	return noTenant
}
