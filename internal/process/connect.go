package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/telemetry"
)

const (
	connectPatience = 30 * time.Second // for a server that starts at the same time as we do
	dialTimeout     = 5 * time.Second
	maxReconnect    = 5 * time.Second
	natsDrain       = 5 * time.Second
)

// Connect connects to NATS as a service does: it waits for a server that is not there yet, never stops reconnecting after
// that, has an inbox of its own (another user's permissions must not reach its answers), and logs what the library would
// keep to itself. creds may be "". The caller drains or closes the connection.
func Connect(ctx context.Context, url, creds, service string, logger *slog.Logger) (*nats.Conn, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	events := newEvents(ctx, logger.With("component", "nats"))
	opts := append(events.options(),
		nats.Name("agogo-"+service), nats.CustomInboxPrefix("_INBOX_"+service),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.CustomReconnectDelay(reconnectDelay),
		nats.Timeout(dialTimeout), nats.DrainTimeout(natsDrain), nats.PingInterval(20*time.Second), nats.MaxPingsOutstanding(3),
		nats.PermissionErrOnSubscribe(true))
	if creds != "" {
		opts = append(opts, nats.UserCredentials(creds))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, connectError(url, creds, err)
	}
	if err := events.await(ctx, nc); err != nil {
		nc.Close()
		return nil, connectError(url, creds, err)
	}
	return nc, nil
}

// reconnectDelay spreads a crowd of clients that lost the same server.
func reconnectDelay(attempts int) time.Duration {
	d := min(100*time.Millisecond<<min(attempts, 6), maxReconnect)
	return d/2 + rand.N(d/2)
}

func connectError(url, creds string, err error) error {
	remedy := "is the server up, and AGOGO_NATS_URL right?"
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		remedy = "the server refuses this user: check AGOGO_NATS_CREDS"
		if creds == "" {
			remedy = "the server wants credentials: set AGOGO_NATS_CREDS"
		}
	}
	return fmt.Errorf("connect to NATS at %s: %w; %s", telemetry.Mask(url), err, remedy)
}

// events are what the connection tells of itself.
type events struct {
	ctx       context.Context // of the caller, for its values in log lines
	log       *slog.Logger
	connected chan struct{}
	closed    chan struct{}
}

func newEvents(ctx context.Context, log *slog.Logger) *events {
	return &events{ctx: context.WithoutCancel(ctx), log: log, connected: make(chan struct{}), closed: make(chan struct{})}
}

func (e *events) options() []nats.Option {
	return []nats.Option{
		nats.ConnectHandler(func(nc *nats.Conn) {
			e.log.DebugContext(e.ctx, "connected", "server", nc.ConnectedServerName())
			close(e.connected)
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(e.closed) }),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() && err != nil {
				e.log.WarnContext(e.ctx, "disconnected, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { e.log.InfoContext(e.ctx, "reconnected", "server", nc.ConnectedServerName()) }),
		// Denied permissions and slow subscriptions are told here and nowhere else.
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			e.log.ErrorContext(e.ctx, "NATS reports an error", "subject", subject, "error", err)
		}),
	}
}

// await waits for the first connection.
func (e *events) await(ctx context.Context, nc *nats.Conn) error {
	patience := time.NewTimer(connectPatience)
	defer patience.Stop()
	select {
	case <-e.connected:
		return nil
	case <-e.closed: // the server refused for good
	case <-patience.C:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), nc.LastError())
	}
	if err := nc.LastError(); err != nil {
		return err
	}
	return fmt.Errorf("no connection within %s", connectPatience)
}
