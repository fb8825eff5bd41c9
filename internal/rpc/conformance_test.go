package rpc_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/telemetry"
	_ "github.com/agogopay/agogo/proto/gen/go/agogo/audit/v1"
	_ "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	_ "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	_ "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	_ "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	_ "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// allMethods lists every method of every agogo service that is linked in.
func allMethods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(f.Package()), "agogo.") {
			for i := range f.Services().Len() {
				for j := range f.Services().Get(i).Methods().Len() {
					all = append(all, f.Services().Get(i).Methods().Get(j))
				}
			}
		}
		return true
	})
	return all
}

func fullName(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// describe makes a service whose every method reports that it was reached.
func describe(s protoreflect.ServiceDescriptor, reached func(method string)) *grpc.ServiceDesc {
	d := &grpc.ServiceDesc{ServiceName: string(s.FullName()), HandlerType: (*any)(nil)}
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		if m.IsStreamingClient() || m.IsStreamingServer() {
			d.Streams = append(d.Streams, grpc.StreamDesc{
				StreamName: string(m.Name()), ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer(),
				Handler: func(any, grpc.ServerStream) error { reached(fullName(m)); return nil },
			})
			continue
		}
		d.Methods = append(d.Methods, grpc.MethodDesc{
			MethodName: string(m.Name()),
			Handler: func(srv any, ctx context.Context, decode func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
				in := dynamicpb.NewMessage(m.Input())
				if err := decode(in); err != nil {
					return nil, err
				}
				return chain(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: fullName(m)}, func(context.Context, any) (any, error) {
					reached(fullName(m))
					return dynamicpb.NewMessage(m.Output()), nil
				})
			},
		})
	}
	return d
}

// call invokes any method with an empty message.
func call(ctx context.Context, c *grpc.ClientConn, m protoreflect.MethodDescriptor) error {
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return c.Invoke(ctx, fullName(m), dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output()))
	}
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, fullName(m))
	if err != nil {
		return err
	}
	if err := s.RecvMsg(dynamicpb.NewMessage(m.Output())); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// TestEveryMethodIsClosed walks everything that proto/gen can serve: without a token nothing is reached, with a token of
// a role that nobody has neither, and with an empty policy the server does not start.
func TestEveryMethodIsClosed(t *testing.T) {
	t.Parallel()
	methods := allMethods()
	if len(methods) < 30 {
		t.Fatalf("only %d methods are linked in", len(methods))
	}
	tel, err := telemetry.New(t.Context(), "test", "error", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	approvers := auth.Policy{}
	for _, m := range methods {
		approvers[fullName(m)] = auth.Approver
	}
	for name, tc := range map[string]struct {
		token string
		code  codes.Code
	}{
		"no token":    {"", codes.Unauthenticated},
		"wrong token": {"some-token", codes.Unauthenticated},
		"wrong role":  {"operator-token", codes.PermissionDenied},
	} {
		s, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: tokens(t), Policy: approvers, Telemetry: tel})
		if err != nil {
			t.Fatal(err)
		}
		registered := map[protoreflect.FullName]bool{}
		for _, m := range methods {
			service := m.Parent().(protoreflect.ServiceDescriptor)
			if !registered[service.FullName()] {
				registered[service.FullName()] = true
				s.RegisterService(describe(service, func(method string) { t.Errorf("%s: %s was reached", name, method) }), struct{}{})
			}
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		conn := (&server{Server: s}).conn(t, tc.token)
		for _, m := range methods {
			if err := call(t.Context(), conn, m); status.Code(err) != tc.code {
				t.Errorf("%s: %s: %v, want %v", name, fullName(m), err, tc.code)
			}
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestUnlistedMethodIsDenied looks at a server whose check at the start was passed by, as it is when a service is
// registered later.
func TestUnlistedMethodIsDenied(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	tel, err := telemetry.New(t.Context(), "test", "", log)
	if err != nil {
		t.Fatal(err)
	}
	p := auth.Policy{}
	s, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: tokens(t), Policy: p, Telemetry: tel})
	if err != nil {
		t.Fatal(err)
	}
	m := allMethods()[0]
	service := m.Parent().(protoreflect.ServiceDescriptor)
	s.RegisterService(describe(service, func(method string) { t.Errorf("%s was reached", method) }), struct{}{})
	for i := range service.Methods().Len() {
		p[fullName(service.Methods().Get(i))] = auth.Viewer
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	clear(p) // before the first call, so nobody else reads it
	err = call(t.Context(), (&server{Server: s}).conn(t, "viewer-token"), m)
	wantStatus(t, "unlisted", err, codes.PermissionDenied, "nobody may call this method")
	if got := log.String(); !strings.Contains(got, "a method without a role was called") || !strings.Contains(got, fullName(m)) {
		t.Errorf("log: %s", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
