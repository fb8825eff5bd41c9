// Package fcm sends pushes through Firebase Cloud Messaging, over the official SDK.
package fcm

import (
	"context"
	"errors"
	"fmt"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"github.com/agogopay/agogo/services/notifier/internal/channel"
)

// MaxBatch is how many messages one Send takes.
const MaxBatch = 500

// ttl is how long the service keeps a push for a device that is switched off; the database row stays anyway.
const ttl = 72 * time.Hour

// Config says where to send.
type Config struct {
	ProjectID   string
	Endpoint    string // "": Google's own
	Credentials string // path of a service account file; "": none, for a simulator
}

// Channel sends pushes. The SDK repeats network errors and 503 by itself, up to four times; everything else is decided here.
type Channel struct{ client *messaging.Client }

// New makes a channel; it does not connect.
func New(ctx context.Context, c Config) (*Channel, error) {
	if c.Endpoint == "" && c.Credentials == "" {
		return nil, errors.New("notifier.fcm: Google's service needs credentials: set them to the path of a service account file")
	}
	opts := []option.ClientOption{option.WithoutAuthentication()}
	if c.Credentials != "" {
		opts = []option.ClientOption{option.WithCredentialsFile(c.Credentials)}
	}
	if c.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(c.Endpoint))
	}
	app, err := firebase.NewApp(ctx, &firebase.Config{ProjectID: c.ProjectID}, opts...)
	if err != nil {
		return nil, fmt.Errorf("notifier.fcm: %w", err)
	}
	client, err := app.Messaging(ctx)
	if err != nil {
		return nil, fmt.Errorf("notifier.fcm: %w", err)
	}
	return &Channel{client: client}, nil
}

// Send sends at most [MaxBatch] messages and returns one result each, in order. A call error means that nothing was sent:
// a message that the SDK itself refuses, which is a fault of ours.
func (c *Channel) Send(ctx context.Context, msgs []channel.Message) ([]channel.Result, error) {
	if len(msgs) == 0 {
		return nil, nil
	}
	out := make([]*messaging.Message, len(msgs))
	for i, m := range msgs {
		out[i] = compose(m)
	}
	batch, err := c.client.SendEach(ctx, out)
	if err != nil {
		return nil, fmt.Errorf("fcm: %w", err)
	}
	results := make([]channel.Result, len(msgs))
	for i, r := range batch.Responses {
		results[i] = resultOf(r)
	}
	return results, nil
}

// compose puts the notification's id where the app can see it (data) and where the device replaces an earlier push of the
// same id (collapse key and id): there is no idempotency key, so a repeated send may arrive twice.
func compose(m channel.Message) *messaging.Message {
	data := make(map[string]string, len(m.Data)+3)
	for k, v := range m.Data {
		data[k] = v
	}
	data["notification_id"], data["kind"], data["subject_id"] = m.NotificationID, m.Kind, m.SubjectID
	keep := ttl
	return &messaging.Message{
		Token:        m.Token,
		Data:         data,
		Notification: &messaging.Notification{Title: m.Title, Body: m.Body},
		Android:      &messaging.AndroidConfig{CollapseKey: m.NotificationID, Priority: "high", TTL: &keep},
		APNS:         &messaging.APNSConfig{Headers: map[string]string{"apns-collapse-id": m.NotificationID, "apns-priority": "10"}},
	}
}
