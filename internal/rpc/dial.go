package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// DialOption changes how Dial connects.
type DialOption func(*dialing)

type dialing struct {
	transport credentials.TransportCredentials
	plaintext bool // to another machine
	traces    trace.TracerProvider
}

// WithTLS encrypts the connection; nil trusts the machine's certificate authorities.
func WithTLS(c *tls.Config) DialOption {
	return func(d *dialing) { d.transport = credentials.NewTLS(c) }
}

// WithPlaintext sends the token unencrypted to another machine, which only a network that encrypts by itself excuses.
func WithPlaintext() DialOption { return func(d *dialing) { d.plaintext = true } }

// WithTraces makes spans of calls and sends their context along.
func WithTraces(p trace.TracerProvider) DialOption { return func(d *dialing) { d.traces = p } }

// Dial connects with a bearer token; with "" only health can be asked. Without TLS it connects to this machine only. The
// connection is made at the first call and again whenever it is lost.
func Dial(addr, token string, options ...DialOption) (*grpc.ClientConn, error) {
	var d dialing
	for _, o := range options {
		o(&d)
	}
	if d.transport == nil {
		if token != "" && !d.plaintext && !isLocal(addr) {
			return nil, fmt.Errorf("connect to %s: refusing to send a token unencrypted to another machine: use TLS", addr)
		}
		d.transport = insecure.NewCredentials()
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(d.transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
	if token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearerToken(token)))
	}
	if d.traces != nil {
		dial = append(dial, grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(d.traces), otelgrpc.WithPropagators(propagation.TraceContext{}))))
	}
	conn, err := grpc.NewClient(addr, dial...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return conn, nil
}

// isLocal reports whether an address cannot leave this machine.
func isLocal(addr string) bool {
	if strings.HasPrefix(addr, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// bearerToken sends a token with each call. Its own check of the transport is off, for Dial has decided.
type bearerToken string

func (t bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (bearerToken) RequireTransportSecurity() bool { return false }
