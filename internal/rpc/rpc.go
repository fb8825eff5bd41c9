// Package rpc serves and dials gRPC the way every service does: authentication first and default deny, validation from the
// proto, errors as google.rpc.Status with details, health, reflection, metrics, traces.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/telemetry"
)

const (
	maxMessage = 4 << 20  // both ways; files travel in chunks
	maxHeaders = 16 << 10 // tokens are the largest thing in there
	maxStreams = 256      // calls at once on one connection
	// stopBudget is what calls get to finish in. It leaves room for the other parts in a stop of 5 s.
	stopBudget = 3 * time.Second
)

// ServerConfig is what differs between services.
type ServerConfig struct {
	Addr      string
	Auth      auth.Authenticator
	Policy    auth.Policy
	Telemetry *telemetry.Telemetry
	// Screen sees every request of an authenticated caller before anything looks at what it says; its error is the answer.
	// Nil lets everything through.
	Screen func(proto.Message) error
	// TLS of the listener; nil is plaintext, for loopback or a mesh that encrypts.
	TLS credentials.TransportCredentials
}

// Server is a gRPC server that starts and stops as a part of a lifecycle.Group.
type Server struct {
	*grpc.Server
	config   ServerConfig
	health   *health.Server
	stopping context.Context // ends when Stop begins, so that endless streams end too
	stop     context.CancelFunc
	served   chan struct{} // closed when serving has ended
	listener atomic.Pointer[net.Listener]
	err      error // of serving; read after served
}

// NewServer makes a server; register services on it before Start. The tenant is the request's tenant field, that of its
// options, or the first segment of its name field, and is checked against the policy's role; so is that of every message of
// a stream. Calls that name no tenant are let in with the role on any tenant, and ask about what they show.
func NewServer(c ServerConfig) (*Server, error) {
	if c.Auth == nil || c.Telemetry == nil {
		return nil, errors.New("rpc: a server needs an authenticator and telemetry")
	}
	s := &Server{config: c, health: health.NewServer(), served: make(chan struct{})}
	s.stopping, s.stop = context.WithCancel(context.Background()) //nolint:forbidigo // the server's own life, ended by Stop
	g := &guard{auth: c.Auth, policy: c.Policy, screen: c.Screen, log: c.Telemetry.Logger, metrics: newMetrics(c.Telemetry.Registry), stopping: s.stopping}
	s.Server = grpc.NewServer(append(g.options(), serverOptions(c)...)...)
	healthv1.RegisterHealthServer(s.Server, s.health)
	reflection.Register(s.Server)
	// Not before Start: until then nothing of the service is there.
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	return s, nil
}

func serverOptions(c ServerConfig) []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(10 * time.Second),
		// Clients that vanished without a word are found by pings, and may ping themselves.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 15 * time.Second, PermitWithoutStream: true}),
	}
	if c.TLS != nil {
		options = append(options, grpc.Creds(c.TLS))
	}
	if c.Telemetry.Traces != nil {
		options = append(options, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(c.Telemetry.Traces),
			otelgrpc.WithPropagators(propagation.TraceContext{}),
			otelgrpc.WithFilter(filters.Not(filters.HealthCheck())),
		)))
	}
	return options
}

// Start listens. It fails when a registered method has no role in the policy, or the policy names a method that is not
// registered: either is a mistake that callers would meet as a refusal.
func (s *Server) Start(ctx context.Context) error {
	if err := checkPolicy(s.config.Policy, s.GetServiceInfo()); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Addr)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	s.listener.Store(&l)
	go func() {
		defer close(s.served)
		// A stop may come before this goroutine has begun.
		if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.err = err
			s.config.Telemetry.Logger.ErrorContext(s.stopping, "gRPC stopped serving", "error", err)
		}
	}()
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	return nil
}

// Addr is where it listens after Start, with the real port.
func (s *Server) Addr() string {
	if l := s.listener.Load(); l != nil {
		return (*l).Addr().String()
	}
	return s.config.Addr
}

// Ready reports whether it serves.
func (s *Server) Ready(context.Context) error {
	if s.listener.Load() == nil {
		return errors.New("gRPC has not started")
	}
	select {
	case <-s.served:
		return errors.Join(errors.New("gRPC has stopped"), s.err)
	default:
		return nil
	}
}

// Stop stops gracefully within ctx: no new calls, streams are told to end, unary calls finish. What has not ended in 3 s
// or at ctx's end is cut off, which clients see as UNAVAILABLE.
func (s *Server) Stop(ctx context.Context) error {
	s.health.Shutdown()
	s.stop()
	ctx, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.GracefulStop()
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		s.config.Telemetry.Logger.WarnContext(ctx, "gRPC calls were cut off by the stop")
		s.Server.Stop()
		<-finished
	}
	if s.listener.Load() != nil {
		<-s.served
	}
	return s.err
}
