package rpc

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pan"
)

// guard stands before every method. From the outside in: recovery, metrics, authentication, policy, screen, cause, errors,
// validation.
type guard struct {
	auth     auth.Authenticator
	policy   auth.Policy
	screen   func(proto.Message) error
	log      *slog.Logger
	metrics  *metrics
	stopping context.Context
}

func (g *guard) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(g.recoverUnary, g.measureUnary, g.unary),
		grpc.ChainStreamInterceptor(g.recoverStream, g.measureStream, g.stream),
		// A method that does not exist is no more open than one that does.
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return status.Error(codes.Unimplemented, "there is no such method")
		}),
	}
}

const (
	healthService     = "/grpc.health.v1.Health/"
	reflectionService = "/grpc.reflection."
	agogoService      = "/agogo."
)

func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if strings.HasPrefix(info.FullMethod, healthService) {
		return next(ctx, req)
	}
	c, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	msg, ok := req.(proto.Message)
	if !ok {
		return nil, status.Error(codes.Internal, "the request is no protobuf message")
	}
	if err := g.look(msg); err != nil {
		return nil, err
	}
	if err := c.tenant(msg); err != nil {
		return nil, err
	}
	ctx = withCause(c.ctx, c.actor, msg)
	if err := validate(msg); err != nil {
		return nil, err
	}
	resp, err := next(ctx, req)
	return resp, g.explain(ctx, info.FullMethod, err)
}

func (g *guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if strings.HasPrefix(info.FullMethod, healthService) {
		return next(srv, ss)
	}
	// A watcher would otherwise hold up a stop until it is cut off.
	ctx, cancel := context.WithCancelCause(ss.Context())
	defer cancel(nil)
	defer context.AfterFunc(g.stopping, func() { cancel(errStopping) })()
	if srv == nil { // no such method, which callers may know and strangers not
		if _, err := g.authenticate(ctx); err != nil {
			return err
		}
		return next(srv, ss)
	}
	c, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return err
	}
	ctx = withCause(c.ctx, c.actor, nil)
	err = next(srv, &guarded{ServerStream: ss, ctx: ctx, call: c, look: g.look})
	return g.explain(ctx, info.FullMethod, err)
}

// look is the screen, if there is one. It comes before everything that repeats a value: the answer to a tenant that is not
// the caller's, the correlation of logs and events.
func (g *guard) look(msg proto.Message) error {
	if g.screen == nil {
		return nil
	}
	return g.screen(msg)
}

// call is one that was let in.
type call struct {
	ctx    context.Context
	actor  auth.Actor
	role   auth.Role
	scoped bool // the method is about tenants
}

// admit authenticates the caller and finds the role that the method needs.
func (g *guard) admit(ctx context.Context, method string) (call, error) {
	actor, err := g.authenticate(ctx)
	if err != nil {
		return call{}, err
	}
	c := call{ctx: auth.WithActor(ctx, actor), actor: actor}
	if !strings.HasPrefix(method, agogoService) {
		// Reflection shows what the proto files on the internet show, so any caller with a token may read it; whatever
		// else there is does not exist.
		return c, nil
	}
	role, listed := g.policy[method]
	if !listed {
		g.log.WarnContext(ctx, "a method without a role was called: add it to the policy", "method", method, "actor", actor.Name)
		return call{}, status.Error(codes.PermissionDenied, "nobody may call this method")
	}
	if !actor.Has(role) {
		g.log.InfoContext(ctx, "denied", "method", method, "actor", actor.Name, "needs", role.String())
		return call{}, status.Errorf(codes.PermissionDenied, "%s needs the role %s: ask an administrator", actor.Name, role)
	}
	c.role, c.scoped = role, true
	return c, nil
}

func (g *guard) authenticate(ctx context.Context) (auth.Actor, error) {
	token, err := bearer(ctx)
	if err != nil {
		return auth.Actor{}, err
	}
	actor, err := g.auth.Authenticate(ctx, token)
	switch {
	case err == nil && actor.Name != "":
		return actor, nil
	case err == nil || errors.Is(err, auth.ErrUnknownToken):
		return auth.Actor{}, status.Error(codes.Unauthenticated, "the bearer token is not known here")
	default:
		// Whoever knows the tokens is out of order; that says nothing about this one.
		g.log.ErrorContext(ctx, "callers cannot be authenticated", "error", err)
		return auth.Actor{}, unavailable("callers cannot be authenticated at the moment")
	}
}

func bearer(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return "", status.Error(codes.Unauthenticated, "send one bearer token as metadata: authorization: Bearer …")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", status.Error(codes.Unauthenticated, "the authorization is no bearer token: send authorization: Bearer …")
	}
	return token, nil
}

// tenant checks the role on the tenant that a request names.
func (c call) tenant(msg proto.Message) error {
	if !c.scoped {
		return nil
	}
	tenant := tenantOf(msg)
	if tenant == "" {
		return nil // the handler asks about what it finds
	}
	_, err := auth.Require(c.ctx, c.role, tenant)
	return err
}

// tenantOf is the request's tenant, that of its options, or the first segment of its name.
func tenantOf(msg proto.Message) string {
	if s, ok := text(msg, "tenant"); ok {
		return s
	}
	m := msg.ProtoReflect()
	if f := m.Descriptor().Fields().ByName("options"); f != nil && f.Message() != nil && !f.IsList() && m.Has(f) {
		return tenantOf(m.Get(f).Message().Interface())
	}
	name, _ := text(msg, "name")
	tenant, _, _ := strings.Cut(name, "/")
	return tenant
}

// text is the value of a string field; ok is false when the message has none of that name.
func text(msg proto.Message, name protoreflect.Name) (s string, ok bool) {
	m := msg.ProtoReflect()
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.Cardinality() == protoreflect.Repeated {
		return "", false
	}
	return m.Get(f).String(), true
}

// CorrelationHeader is the metadata key under which a client may send, and gets back, the id that ties together what its
// call leads to.
const CorrelationHeader = "x-correlation-id"

// withCause says in the context who called and what the call's consequences hang together by. msg is nil for streams.
func withCause(ctx context.Context, actor auth.Actor, msg proto.Message) context.Context {
	requestID := ""
	if msg != nil {
		requestID, _ = text(msg, "request_id")
	}
	correlation := ""
	if v := metadata.ValueFromIncomingContext(ctx, CorrelationHeader); len(v) == 1 && isID(v[0]) {
		correlation = v[0]
	}
	if correlation == "" {
		correlation = requestID
	}
	if !isID(correlation) {
		correlation = uuid.NewString()
	}
	cause := event.Cause{Actor: actor.Name, CorrelationID: correlation, CausationID: correlation}
	if isID(requestID) {
		cause.CausationID = requestID
	}
	if requestID != "" {
		// Deterministic within a build, which is what a repetition a moment later meets.
		if body, err := (proto.MarshalOptions{Deterministic: true}).Marshal(msg); err == nil {
			ctx = auth.WithRequest(ctx, body)
		}
	}
	// It fails only outside a call or after headers were sent; the answer does without it then.
	_ = grpc.SetHeader(ctx, metadata.Pairs(CorrelationHeader, correlation))
	return event.WithCause(ctx, cause)
}

// isID keeps ids from outside to what fits headers and logs, for it goes into events, which cannot be erased.
func isID(s string) bool {
	return s != "" && len(s) <= 128 && !pan.In(s) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// guarded is a stream whose messages are checked as they come.
type guarded struct {
	grpc.ServerStream
	ctx  context.Context
	call call
	look func(proto.Message) error
}

func (s *guarded) Context() context.Context { return s.ctx }

func (s *guarded) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	msg, ok := m.(proto.Message)
	if !ok {
		return status.Error(codes.Internal, "the message is no protobuf message")
	}
	if err := s.look(msg); err != nil {
		return err
	}
	if err := s.call.tenant(msg); err != nil {
		return err
	}
	return validate(msg)
}
