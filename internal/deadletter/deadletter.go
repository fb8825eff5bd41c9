// Package deadletter tells, as an event, of messages that were given up. Their copies are in the dead-letter stream; the
// event is for people, who are alarmed by it, and for audits.
package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/internal/webhook"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Teller publishes event.dead_lettered.
type Teller struct {
	Service string // the one that tells
	Pool    pg.Beginner
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Epoch   *event.Epoch
	// Tenant finds whose message it is where neither its headers nor its subject say so; it may be nil, and return "".
	Tenant func(ctx context.Context, m stream.Message) string
}

// Tell is for stream.Deps.DeadLettered. Told twice of one message it publishes one event id. The death of such an event
// itself is not told: what is told of it would die like it, without end.
func (t *Teller) Tell(ctx context.Context, m stream.Message, reason error) error {
	state := event.DeadLetter.States()[0]
	kind, _ := event.DeadLetter.Event("", state)
	if m.Header != nil && m.Header("ce-type") == kind.CloudEvent() {
		return nil
	}
	ctx = event.WithCause(ctx, event.Cause{
		Actor: "service:" + t.Service, CorrelationID: event.CauseFrom(ctx).CorrelationID, CausationID: m.ID,
	})
	id := fmt.Sprintf("%s:%d:%s", m.Stream, m.Seq, m.Origin.Consumer)
	msg, err := t.message(ctx, id, &eventsv1.DeadLetter{
		Tenant: t.tenantOf(ctx, m), Service: t.owner(m.Origin.Consumer), Stream: m.Origin.Stream, Consumer: m.Origin.Consumer, StreamSeq: m.Seq,
		Subject: m.Origin.Subject, Error: telemetry.Mask(reason.Error()), Deliveries: int64(m.Delivered), State: state,
	})
	if err != nil {
		return err
	}
	if err := pg.InTx(ctx, t.Pool, func(tx pgx.Tx) error { return t.Outbox.Append(ctx, tx, msg) }); err != nil {
		return fmt.Errorf("tell of dead letter %s: %w", id, err)
	}
	t.Outbox.Nudge()
	return nil
}

// Webhooks tells, in tx, of webhooks that were given up. They are no messages of a stream: there is no copy of them in the
// dead-letter stream, whose readers are not meant to see what providers write of payees, and nothing to replay, for the
// service's table keeps them and asks the provider by itself about everything that is open.
func (t *Teller) Webhooks(ctx context.Context, tx pgx.Tx, lost []webhook.Lost) error {
	ctx = event.WithCause(ctx, event.Cause{Actor: "service:" + t.Service, CorrelationID: "webhooks"})
	msgs := make([]outbox.Message, 0, len(lost))
	for _, l := range lost {
		msg, err := t.message(ctx, "webhook:"+t.Service+":"+l.ID, &eventsv1.DeadLetter{
			Tenant: l.Tenant, Service: t.Service, Stream: "webhooks", Consumer: l.Provider, Subject: "webhook " + l.ID, Deliveries: 1,
			Error: "nothing here has its references: is another system using this account of the provider?", State: event.DeadLetter.States()[0],
		})
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
	}
	return t.Outbox.Append(ctx, tx, msgs...)
}

// message makes the outbox row of a dead letter's only event.
func (t *Teller) message(ctx context.Context, id string, body *eventsv1.DeadLetter) (outbox.Message, error) {
	kind, _ := event.DeadLetter.Event("", body.GetState())
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode dead letter %s: %w", id, err)
	}
	return outbox.FromEvent(ctx, event.New(ctx, t.Service, body.GetTenant(), kind, id, 1, t.Epoch.Now(), t.Clock.Now()), data), nil
}

// owner is the service whose message it was: the scheduler also tells of what killed others.
func (t *Teller) owner(consumer string) string {
	all := stream.Consumers()
	if i := slices.IndexFunc(all, func(s stream.ConsumerSpec) bool { return s.Durable == consumer }); i >= 0 {
		return all[i].Service
	}
	return t.Service
}

// Nobody stands for the tenant of a message that names none.
const Nobody = "unknown"

func (t *Teller) tenantOf(ctx context.Context, m stream.Message) string {
	header := m.Header
	if header == nil {
		header = func(string) string { return "" }
	}
	tenant := TenantOf(header, m.Origin.Subject)
	if tenant == Nobody && t.Tenant != nil {
		if asked := t.Tenant(ctx, m); asked != "" {
			return asked
		}
	}
	return tenant
}

// TenantOf is whose message it was by its own word, or [Nobody]. It asks for no more than the one header: commands are no
// whole events, and what made a message a dead letter may be another header.
func TenantOf(header func(name string) string, subject string) string {
	found := []string{header("ce-tenantid")}
	// agogo.evt.<tenant>… and agogo.tick.<tenant>…; a command's subject names none.
	if tokens := strings.Split(subject, "."); len(tokens) > 2 && (tokens[1] == "evt" || tokens[1] == "tick") {
		found = append(found, tokens[2])
	}
	for _, tenant := range found {
		if isToken(tenant) {
			return tenant
		}
	}
	return Nobody
}

// isToken says whether a tenant can stand in a subject: one that was made up by whoever broke the message must not keep the
// event about it from being published.
func isToken(tenant string) bool {
	return tenant != "" && !strings.ContainsFunc(tenant, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
