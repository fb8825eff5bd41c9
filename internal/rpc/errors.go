package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/agogopay/agogo/internal/pg"
)

// retryAfter is what clients are asked to wait when something passes by itself.
const retryAfter = time.Second

var errStopping = errors.New("the server is stopping")

// Invalid is an INVALID_ARGUMENT that names the field (BadRequest detail).
func Invalid(field, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return detailed(codes.InvalidArgument, field+": "+text, &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: text}},
	})
}

// NotFound is a NOT_FOUND with ResourceInfo.
func NotFound(kind, name string) error {
	return detailed(codes.NotFound, fmt.Sprintf("there is no %s %q", kind, name),
		&errdetails.ResourceInfo{ResourceType: kind, ResourceName: name})
}

// Refused is a FAILED_PRECONDITION: the request is well formed but the state forbids it; next says what to do.
func Refused(code, next, format string, args ...any) error {
	return detailed(codes.FailedPrecondition, fmt.Sprintf(format, args...), &errdetails.PreconditionFailure{
		Violations: []*errdetails.PreconditionFailure_Violation{{Type: code, Description: next}},
	})
}

// Unavailable is an UNAVAILABLE of something outside of the service; next says what to do.
func Unavailable(code, next, format string, args ...any) error {
	return detailed(codes.Unavailable, fmt.Sprintf(format, args...), &errdetails.PreconditionFailure{
		Violations: []*errdetails.PreconditionFailure_Violation{{Type: code, Description: next}},
	})
}

func unavailable(text string) error {
	return detailed(codes.Unavailable, text, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
}

func detailed(code codes.Code, text string, detail protoadapt.MessageV1) error {
	s := status.New(code, text)
	if with, err := s.WithDetails(detail); err == nil { // it fails only for an OK status
		s = with
	}
	return s.Err()
}

// validate applies the rules of the proto. The global validator compiles each message once for all servers of a process.
func validate(msg proto.Message) error {
	err := protovalidate.GlobalValidator.Validate(msg)
	var invalid *protovalidate.ValidationError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &invalid):
		// The rules themselves are wrong; the text names fields, not values.
		return status.Errorf(codes.Internal, "the request cannot be validated: %v", err)
	}
	bad := &errdetails.BadRequest{}
	for _, v := range invalid.Violations {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: protovalidate.FieldPathString(v.Proto.GetField()), Description: words(v), Reason: v.Proto.GetRuleId(),
		})
	}
	text := "the request is not valid"
	if first := bad.GetFieldViolations(); len(first) == 1 {
		text = first[0].GetField() + ": " + first[0].GetDescription()
	}
	return detailed(codes.InvalidArgument, text, bad)
}

// words say what is wrong with a field. A pattern is for machines: who has mistyped a date hears how dates are written.
func words(v *protovalidate.Violation) string {
	if pattern, ok := v.RuleValue.Interface().(string); ok && v.Proto.GetRuleId() == "string.pattern" && strings.Contains(pattern, datePattern) {
		return "write a date as YYYY-MM-DD"
	}
	if v.Proto.GetRuleId() == "string.pattern" && v.RuleValue.String() == schedulePattern {
		return "write a schedule as TENANT/SERVICE/SCHEDULE, such as lebenis/payouts/daily: agogo schedules list has them"
	}
	// The empty text that stands for "not said" is nothing that one would write.
	return strings.Replace(v.Proto.GetMessage(), "must be in list [, ", "must be in list [", 1)
}

// schedulePattern is what names of schedules have to look like in the protos.
const schedulePattern = "^[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+$"

// datePattern is what dates have to look like in the protos.
const datePattern = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

// explain makes a status of what a handler returned. What it does not know stays inside: the caller gets an id, the log
// gets the error.
func (g *guard) explain(ctx context.Context, method string, err error) error {
	var known interface{ GRPCStatus() *status.Status }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known) && known.GRPCStatus().Code() != codes.Unknown:
		// Without what it was wrapped in, which was written for the log.
		return known.GRPCStatus().Err()
	case errors.Is(context.Cause(ctx), errStopping):
		return unavailable("the server is stopping: call again")
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), pg.Transient(err):
		// Something of ours was slow or went away, not the caller.
		g.log.WarnContext(ctx, "a call failed for now", "method", method, "error", err)
		return unavailable("something the service needs is not available: call again")
	case pg.KindOf(err) == pg.Invalid:
		// Bounds and characters that a column does not take; the text may hold values.
		g.log.WarnContext(ctx, "the database refused a value", "method", method, "error", err)
		return status.Error(codes.InvalidArgument, "a value cannot be stored: check lengths, characters and bounds")
	}
	return g.internal(ctx, method, slog.Any("error", err))
}

// internal logs what happened and returns a status that carries only the id of that line.
func (g *guard) internal(ctx context.Context, method string, what ...any) error {
	id := uuid.NewString()
	g.log.ErrorContext(ctx, "a call failed", append([]any{"method", method, "error_id", id}, what...)...)
	return detailed(codes.Internal, "internal error "+id+": look for this id in the service's log",
		&errdetails.RequestInfo{RequestId: id})
}

// The recoveries keep one bad request from taking down what everybody else is doing.

func (g *guard) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, g.panicked(ctx, info.FullMethod, p)
		}
	}()
	return next(ctx, req)
}

func (g *guard) recoverStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = g.panicked(ss.Context(), info.FullMethod, p)
		}
	}()
	return next(srv, ss)
}

func (g *guard) panicked(ctx context.Context, method string, p any) error {
	return g.internal(ctx, method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
