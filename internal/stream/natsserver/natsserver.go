// Package natsserver runs a NATS server with JetStream inside the process, for `agogo dev` and for tests. Services meet it
// as they meet any other server: over its port, with a credentials file.
package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/agogopay/agogo/internal/stream"
)

// Options are what a caller chooses. Only StoreDir is needed.
type Options struct {
	StoreDir string // streams, credentials and the lock live here
	Host     string // "": 127.0.0.1
	Port     int    // 0: a free one
	// SyncAlways makes every write reach the disk before it is acknowledged. Without it a crash of the process loses
	// nothing, but a crash of the machine may lose the last two minutes.
	SyncAlways bool
	MaxStore   int64 // bytes that streams may reserve; 0: 32 GiB
	Users      []stream.Access
	Logger     *slog.Logger
}

const (
	startTimeout    = 15 * time.Second
	readyPoll       = 100 * time.Millisecond
	defaultMaxStore = 32 << 30
	maxMemory       = 64 << 20 // no stream of ours lives in memory; ephemeral consumers of outsiders may
)

// Server is a running server.
type Server struct {
	srv   *server.Server
	lock  *os.File
	creds string
	users map[string]string // paths of their credentials
	once  sync.Once
}

// Start runs a server and returns when clients may connect. A second server on the same StoreDir is refused; one whose
// predecessor was killed is not, because the lock ends with the process that held it.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("start embedded nats-server: StoreDir is empty; give it a directory of its own")
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("start embedded nats-server: %w", err)
	}
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, o, lock)
	if err != nil {
		unlock(lock)
		return nil, fmt.Errorf("start embedded nats-server: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, o Options, lock *os.File) (*Server, error) {
	id, err := loadIdentity(o.StoreDir)
	if err != nil {
		return nil, err
	}
	users, err := id.ensureUsers(o.StoreDir, o.Users)
	if err != nil {
		return nil, err
	}
	opts, err := serverOptions(o, id)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	log := newServerLog(o.Logger)
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if err := awaitReady(ctx, srv, log); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, err
	}
	return &Server{srv: srv, lock: lock, creds: id.credsPath, users: users}, nil
}

func serverOptions(o Options, id *identity) (*server.Options, error) {
	host, port, maxStore := o.Host, o.Port, o.MaxStore
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if maxStore == 0 {
		maxStore = defaultMaxStore
	}
	store, err := filepath.Abs(o.StoreDir)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		Host: host, Port: port, NoSigs: true,
		JetStream: true, StoreDir: store, SyncAlways: o.SyncAlways, DisableJetStreamBanner: true,
		JetStreamMaxMemory: maxMemory, JetStreamMaxStore: maxStore,
	}
	return opts, id.apply(opts)
}

// awaitReady waits for the listener. The server reports what keeps it from starting only to its log, so that is where the
// reason is taken from.
func awaitReady(ctx context.Context, srv *server.Server, log *serverLog) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s; its log says why", startTimeout))
	defer cancel()
	for {
		select {
		case reason := <-log.fatal:
			return errors.New(reason)
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
			if srv.ReadyForConnections(readyPoll) {
				return nil
			}
		}
	}
}

// URL is where clients connect to.
func (s *Server) URL() string { return s.srv.ClientURL() }

// Creds is the path of a credentials file for nats.UserCredentials that allows everything. It stays valid over restarts.
func (s *Server) Creds() string { return s.creds }

// CredsOf is the path of the credentials of one of Options.Users, good until the next start.
func (s *Server) CredsOf(user string) string { return s.users[user] }

// Stop ends the server, waits until its files are closed and lets another one have the directory.
func (s *Server) Stop() {
	s.once.Do(func() {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		unlock(s.lock)
	})
}
