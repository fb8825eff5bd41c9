package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/notifier/internal/store/db"
)

// writtenEvent tells of a new notification: that it was created, or, where nothing will be pushed, that it is suppressed.
func (s *Store) writtenEvent(ctx context.Context, msgs []outbox.Message, r row, now time.Time) ([]outbox.Message, error) {
	ctx = event.WithCause(telemetry.WithTraceparent(ctx, r.Origin.Traceparent), r.Origin.Cause)
	body := &eventsv1.Notification{
		NotificationId: r.id.String(), Tenant: r.Notice.Tenant, RecipientId: r.Notice.Recipient.ID,
		RecipientKind: string(r.Notice.Recipient.Kind), Kind: string(r.Notice.Kind), SubjectId: r.Notice.SubjectID,
		Locale: r.Text.Locale, Pushes: int32(len(r.Devices)),
	}
	return s.notificationEvent(ctx, msgs, body, "", r.state, r.reason, 1, now)
}

// finishedEvents tells how the pushes of notifications ended. They continue the chain of the event that began them.
func (s *Store) finishedEvents(ctx context.Context, rows []db.FinishNotificationsRow, now time.Time) ([]outbox.Message, error) {
	var msgs []outbox.Message
	for _, r := range rows {
		of := event.WithCause(ctx, event.Cause{Actor: "service:" + Service, CorrelationID: r.Correlation, CausationID: r.ID.String()})
		body := &eventsv1.Notification{
			NotificationId: r.ID.String(), Tenant: r.Tenant, RecipientId: r.RecipientID, RecipientKind: r.RecipientKind, Kind: r.Kind,
			SubjectId: r.SubjectID, Locale: r.Locale, Pushes: r.Pushes,
		}
		var err error
		if msgs, err = s.notificationEvent(of, msgs, body, created, r.State, r.Reason, r.Version, now); err != nil {
			return nil, err
		}
	}
	return msgs, nil
}

func (s *Store) notificationEvent(
	ctx context.Context, msgs []outbox.Message, body *eventsv1.Notification, from, to, reason string, version int64, at time.Time,
) ([]outbox.Message, error) {
	t, ok := event.Notification.Event(from, to)
	if !ok {
		return nil, fmt.Errorf("no notification goes from %q to %q", from, to)
	}
	body.State, body.PreviousState, body.Reason = to, from, reasonOf(reason)
	raw, err := event.Encode(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	return append(msgs, outbox.FromEvent(ctx, event.New(ctx, Service, body.Tenant, t, body.NotificationId, version, s.Epoch.Now(), at), raw)), nil
}

// device is what a device event tells; it has no place for the token.
type device struct {
	id                       uuid.UUID
	tenant, userID, platform string
	from, to, reason         string
	version                  int64
}

func (s *Store) deviceEvents(ctx context.Context, devices []device, at time.Time) ([]outbox.Message, error) {
	msgs := make([]outbox.Message, 0, len(devices))
	for _, d := range devices {
		t, ok := event.Device.Event(d.from, d.to)
		if !ok {
			return nil, fmt.Errorf("no device goes from %q to %q", d.from, d.to)
		}
		raw, err := event.Encode(&eventsv1.Device{
			DeviceId: d.id.String(), Tenant: d.tenant, UserId: d.userID, Platform: d.platform,
			State: d.to, PreviousState: d.from, Reason: reasonOf(d.reason),
		})
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", t, err)
		}
		msgs = append(msgs, outbox.FromEvent(ctx, event.New(ctx, Service, d.tenant, t, d.id.String(), d.version, s.Epoch.Now(), at), raw))
	}
	return msgs, nil
}

func reasonOf(code string) *eventsv1.Reason {
	if code == "" {
		return nil
	}
	return &eventsv1.Reason{Code: code}
}
