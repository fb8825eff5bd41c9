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

// DeadLettered publishes event.dead_lettered for a message that this service gave up. Told twice of one message it
// publishes one event id. The death of such an event itself is not told: that message would die like it, without end.
func (s *Store) DeadLettered(ctx context.Context, m stream.Message, reason error) error {
	t, _ := event.DeadLetter.Event("", "dead_lettered")
	if m.Header("ce-type") == t.CloudEvent() {
		return nil
	}
	tenant := tenantOf(m)
	body, err := event.Encode(&eventsv1.DeadLetter{
		Tenant: tenant, Service: Service, Stream: m.Origin.Stream, Consumer: m.Origin.Consumer, StreamSeq: m.Seq,
		Subject: m.Origin.Subject, Error: telemetry.Mask(reason.Error()), Deliveries: int64(m.Delivered), State: t.Name(),
	})
	if err != nil {
		return fmt.Errorf("encode dead letter: %w", err)
	}
	ctx = event.WithCause(ctx, event.Cause{
		Actor: "service:" + Service, CorrelationID: event.CauseFrom(ctx).CorrelationID, CausationID: m.ID,
	})
	id := fmt.Sprintf("%s:%d:%s", m.Stream, m.Seq, m.Origin.Consumer)
	msg := outbox.FromEvent(ctx, event.New(ctx, Service, tenant, t, id, 1, s.Epoch, s.Clock.Now()), body)
	if err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.Outbox.Append(ctx, tx, msg) }); err != nil {
		return fmt.Errorf("tell of a dead letter: %w", err)
	}
	s.Outbox.Nudge()
	return nil
}

// tenantOf finds the tenant even where the headers are broken: agogo.evt.<tenant>.…
func tenantOf(m stream.Message) string {
	if env, err := event.ParseHeaders(m.Header); err == nil {
		return env.Tenant
	}
	if tokens := strings.Split(m.Origin.Subject, "."); len(tokens) > 2 && tokens[1] == "evt" {
		return tokens[2]
	}
	return "unknown"
}
