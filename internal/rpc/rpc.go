// Package rpc serves and dials gRPC the way every service does: authentication first and default deny, validation from the
// proto, errors as google.rpc.Status with details, health, reflection, metrics, traces.
package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/telemetry"
)

// ServerConfig is what differs between services.
type ServerConfig struct {
	Addr      string
	Auth      auth.Authenticator
	Policy    auth.Policy
	Telemetry *telemetry.Telemetry
}

// Server is a gRPC server that starts and stops as a part of a lifecycle.Group.
type Server struct{ *grpc.Server }

// NewServer makes a server; register services on it before Start. For unary calls the tenant is the request's tenant field
// or the first segment of its name field, and is checked against the policy's role; streams call auth.Require themselves
// with the tenant of their first message.
func NewServer(c ServerConfig) (*Server, error) { panic("contract") }

// Start listens.
func (s *Server) Start(ctx context.Context) error { panic("contract") }

// Addr is where it listens after Start, with the real port.
func (s *Server) Addr() string { panic("contract") }

// Stop stops gracefully within ctx.
func (s *Server) Stop(ctx context.Context) error { panic("contract") }

// Dial connects with a bearer token.
func Dial(addr, token string) (*grpc.ClientConn, error) { panic("contract") }

// Invalid is an INVALID_ARGUMENT that names the field (BadRequest detail).
func Invalid(field, format string, args ...any) error { panic("contract") }

// NotFound is a NOT_FOUND with ResourceInfo.
func NotFound(kind, name string) error { panic("contract") }

// Refused is a FAILED_PRECONDITION: the request is well formed but the state forbids it; next says what to do.
func Refused(code, next, format string, args ...any) error { panic("contract") }

// PageSize bounds a requested page size (0: 100).
func PageSize(requested int32) int { panic("contract") }

// PageToken and ParsePageToken carry an opaque keyset cursor of strings.
func PageToken(key ...string) string { panic("contract") }

// ParsePageToken returns nil for "", else the key; a token that is not ours is an Invalid error.
func ParsePageToken(token string, fields int) ([]string, error) { panic("contract") }
