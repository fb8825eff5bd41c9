package process

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/telemetry"
)

const (
	connectPatience = 30 * time.Second // for a server that starts at the same time as we do
	refusalLook     = time.Second
	dialTimeout     = 5 * time.Second
	maxReconnect    = 5 * time.Second
	natsDrain       = 5 * time.Second
)

// Server is a NATS server, or several of a cluster, and how to be let in.
type Server struct {
	URL   string // several with commas between
	Creds string // path of a credentials file or of an nkey's seed; "": none
	CA    string // path of the authorities to trust instead of the machine's own; with it the connection must be encrypted
}

// Connect connects to NATS as a service does: it waits for a server that is not there yet or does not know our key yet, never
// stops reconnecting after that (the library would, when one server has refused it twice: a key that is rotated, or a broker
// that gets it later, would have all replicas dead at once), has an inbox of its own (another user's permissions must not reach its answers), and logs what the library would
// keep to itself. The caller drains or closes the connection.
func Connect(ctx context.Context, to Server, service string, logger *slog.Logger) (*nats.Conn, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	events := newEvents(ctx, to, logger.With("component", "nats"))
	opts := append(events.options(),
		nats.Name("agogo-"+service), nats.CustomInboxPrefix("_INBOX_"+service),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.CustomReconnectDelay(reconnectDelay),
		nats.Timeout(dialTimeout), nats.DrainTimeout(natsDrain), nats.PingInterval(20*time.Second), nats.MaxPingsOutstanding(3),
		nats.PermissionErrOnSubscribe(true), nats.IgnoreAuthErrorAbort())
	secure, err := to.options()
	if err != nil {
		return nil, connectError(to, err)
	}
	nc, err := nats.Connect(to.URL, append(opts, secure...)...)
	if err != nil {
		return nil, connectError(to, err)
	}
	if err := events.await(ctx, nc); err != nil {
		nc.Close()
		return nil, connectError(to, err)
	}
	return nc, nil
}

// accepts reports why the server would not let in a process that is started now: it is asked once.
func (s Server) accepts(service string) error {
	opts, err := s.options()
	if err != nil {
		return connectError(s, err)
	}
	nc, err := nats.Connect(s.URL, append(opts, nats.Name("agogo-"+service+"-trial"), nats.NoReconnect(), nats.Timeout(dialTimeout))...)
	if err != nil {
		return connectError(s, err)
	}
	nc.Close()
	return nil
}

// files are those that a connection is made with.
func (s Server) files() []string {
	var files []string
	for _, f := range []string{s.Creds, s.CA} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// options are what proves who we are, and what the server has to prove. Authorities and credentials files are read again at each
// reconnection. Of a seed the library keeps the public key: who changes it has the process started again (AGOGO_WATCH).
func (s Server) options() ([]nats.Option, error) {
	var opts []nats.Option
	if s.CA != "" {
		opts = append(opts, nats.RootCAs(s.CA))
	}
	if s.Creds == "" {
		return opts, nil
	}
	raw, err := os.ReadFile(s.Creds)
	if err != nil {
		return nil, err
	}
	if !isSeed(raw) {
		return append(opts, nats.UserCredentials(s.Creds)), nil
	}
	seed, err := nats.NkeyOptionFromSeed(s.Creds)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Creds, err)
	}
	return append(opts, seed), nil
}

// isSeed tells the bare seed of a user's nkey from a credentials file, which has a signed token too.
func isSeed(raw []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("SU")) }

// reconnectDelay spreads a crowd of clients that lost the same server.
func reconnectDelay(attempts int) time.Duration {
	d := min(100*time.Millisecond<<min(attempts, 6), maxReconnect)
	return d/2 + rand.N(d/2)
}

// isRefusal reports that the server is there and does not let us in.
func isRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked)
}

func connectError(to Server, err error) error {
	remedy := "is the server up, and AGOGO_NATS_URL right?"
	if isRefusal(err) {
		remedy = "the server refuses this user: check AGOGO_NATS_CREDS"
		if to.Creds == "" {
			remedy = "the server wants credentials: set AGOGO_NATS_CREDS"
		}
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		remedy = "its certificate is of an authority that is not trusted here: name that in AGOGO_NATS_CA"
	}
	return fmt.Errorf("connect to NATS at %s: %w; %s", telemetry.Mask(to.URL), err, remedy)
}

// events are what the connection tells of itself.
type events struct {
	ctx       context.Context // of the caller, for its values in log lines
	to        Server
	known     bool // we have credentials, so that a server that refuses them may come to know them
	log       *slog.Logger
	connected chan struct{}
	closed    chan struct{}
	failed    chan error // why there is no connection yet
}

func newEvents(ctx context.Context, to Server, log *slog.Logger) *events {
	return &events{ctx: context.WithoutCancel(ctx), to: to, known: to.Creds != "", log: log, connected: make(chan struct{}), closed: make(chan struct{}), failed: make(chan error, 1)}
}

func (e *events) options() []nats.Option {
	return []nats.Option{
		nats.ConnectHandler(func(nc *nats.Conn) {
			e.log.DebugContext(e.ctx, "connected", "server", nc.ConnectedServerName())
			close(e.connected)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			select {
			case e.failed <- err:
			default: // it has not looked at the last one, or does not wait any more
			}
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

// mendsItself reports whether the next attempt may go otherwise. A server that is not trusted, or does not encrypt although it
// must, is the wrong one; and who shows no credentials is not let in by waiting.
func (e *events) mendsItself(err error) bool {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	if !e.known && errors.Is(err, nats.ErrAuthorization) {
		return false
	}
	return !errors.As(err, &unknown) && !errors.As(err, &name) && !errors.Is(err, nats.ErrSecureConnWanted)
}

// await waits for the first connection. Later ones are waited for without end, whatever they fail for.
func (e *events) await(ctx context.Context, nc *nats.Conn) error {
	patience, look := time.NewTimer(connectPatience), time.NewTicker(refusalLook)
	defer patience.Stop()
	defer look.Stop()
	for told := ""; ; {
		var err error
		select {
		case <-e.connected:
			return nil
		case err = <-e.failed:
			if !e.mendsItself(err) {
				return err
			}
		case <-look.C:
			err = nc.LastError() // that the server refuses us is told to no handler before there was a connection
		case <-e.closed: // the server refused for good
			return e.last(nc)
		case <-patience.C:
			return e.last(nc)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), nc.LastError())
		}
		told = e.tell(told, err)
	}
}

// tell says why there is no connection yet when that is another reason than was told: who has given a wrong key need not wait for
// our patience to end.
func (e *events) tell(told string, err error) string {
	if err == nil || err.Error() == told {
		return told
	}
	e.log.WarnContext(e.ctx, "not connected yet, trying again", "error", connectError(e.to, err))
	return err.Error()
}

func (e *events) last(nc *nats.Conn) error {
	if err := nc.LastError(); err != nil {
		return err
	}
	return fmt.Errorf("no connection within %s", connectPatience)
}
