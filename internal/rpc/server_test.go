package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/telemetry"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// lockedBuffer takes log lines of many calls at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fakeNotifier does what the test says.
type fakeNotifier struct {
	notifierv1.UnimplementedNotifierServiceServer
	list   func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error)
	stream func(grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error
}

func (f *fakeNotifier) ListDevices(ctx context.Context, r *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
	return f.list(ctx, r)
}

func (f *fakeNotifier) ImportDevices(s grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
	return f.stream(s)
}

// fakeScheduler remembers the context of its last call.
type fakeScheduler struct {
	schedulerv1.UnimplementedSchedulerServiceServer
	ctx   context.Context
	pause func(context.Context, *schedulerv1.PauseScheduleRequest) (*schedulerv1.Schedule, error)
}

func (f *fakeScheduler) PauseSchedule(ctx context.Context, r *schedulerv1.PauseScheduleRequest) (*schedulerv1.Schedule, error) {
	f.ctx = ctx
	if f.pause != nil {
		return f.pause(ctx, r)
	}
	return &schedulerv1.Schedule{Name: r.GetName()}, nil
}

func (f *fakeScheduler) ListSchedules(ctx context.Context, _ *schedulerv1.ListSchedulesRequest) (*schedulerv1.ListSchedulesResponse, error) {
	f.ctx = ctx
	return &schedulerv1.ListSchedulesResponse{}, nil
}

type server struct {
	*rpc.Server
	tel       *telemetry.Telemetry
	log       *lockedBuffer
	notifier  *fakeNotifier
	scheduler *fakeScheduler
}

// policy gives every method of both services a role: viewer for reads, operator for the rest.
func policy() auth.Policy {
	p := auth.Policy{}
	for _, d := range []grpc.ServiceDesc{notifierv1.NotifierService_ServiceDesc, schedulerv1.SchedulerService_ServiceDesc} {
		add := func(name string) {
			role := auth.Operator
			if strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Get") {
				role = auth.Viewer
			}
			p["/"+d.ServiceName+"/"+name] = role
		}
		for _, m := range d.Methods {
			add(m.MethodName)
		}
		for _, m := range d.Streams {
			add(m.StreamName)
		}
	}
	return p
}

func tokens(t *testing.T) auth.Authenticator {
	t.Helper()
	s, err := auth.NewStatic([]config.Token{
		{Name: "ada", Role: "operator", Tenants: []string{"lebenis"}, Secret: "operator-token"},
		{Name: "vera", Role: "viewer", Tenants: []string{"*"}, Secret: "viewer-token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T, change ...func(*rpc.ServerConfig)) *server {
	t.Helper()
	s := &server{log: &lockedBuffer{}, notifier: &fakeNotifier{}, scheduler: &fakeScheduler{}}
	s.notifier.list = func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
		return &notifierv1.ListDevicesResponse{NextPageToken: "next"}, nil
	}
	var err error
	if s.tel, err = telemetry.New(t.Context(), "test", "debug,json", s.log); err != nil {
		t.Fatal(err)
	}
	c := rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: tokens(t), Policy: policy(), Telemetry: s.tel}
	for _, f := range change {
		f(&c)
	}
	if s.Server, err = rpc.NewServer(c); err != nil {
		t.Fatal(err)
	}
	notifierv1.RegisterNotifierServiceServer(s.Server, s.notifier)
	schedulerv1.RegisterSchedulerServiceServer(s.Server, s.scheduler)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) conn(t *testing.T, token string, o ...rpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := rpc.Dial(s.Addr(), token, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *server) notifierAs(t *testing.T, token string) notifierv1.NotifierServiceClient {
	t.Helper()
	return notifierv1.NewNotifierServiceClient(s.conn(t, token))
}

func (s *server) schedulerAs(t *testing.T, token string) schedulerv1.SchedulerServiceClient {
	t.Helper()
	return schedulerv1.NewSchedulerServiceClient(s.conn(t, token))
}

func wantStatus(t *testing.T, what string, err error, code codes.Code, message string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || s.Message() != message {
		t.Errorf("%s: %v %q, want %v %q", what, s.Code(), s.Message(), code, message)
	}
}

func TestCallWithRightToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	got, err := s.notifierAs(t, "viewer-token").ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
	if d := cmp.Diff(&notifierv1.ListDevicesResponse{NextPageToken: "next"}, got, protocmp.Transform()); d != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, d)
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.notifier.list = func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
		t.Error("the handler was reached")
		return nil, nil
	}
	for name, tc := range map[string]struct {
		headers []string
		want    string
	}{
		"nothing":    {nil, "send one bearer token as metadata: authorization: Bearer …"},
		"two":        {[]string{"Bearer viewer-token", "Bearer operator-token"}, "send one bearer token as metadata: authorization: Bearer …"},
		"basic":      {[]string{"Basic dmlld2VyLXRva2Vu"}, "the authorization is no bearer token: send authorization: Bearer …"},
		"bare":       {[]string{"viewer-token"}, "the authorization is no bearer token: send authorization: Bearer …"},
		"empty":      {[]string{"Bearer "}, "the authorization is no bearer token: send authorization: Bearer …"},
		"wrong":      {[]string{"Bearer viewer-tokem"}, "the bearer token is not known here"},
		"with space": {[]string{"Bearer  viewer-token"}, "the bearer token is not known here"},
	} {
		ctx := t.Context()
		for _, h := range tc.headers {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", h)
		}
		_, err := s.notifierAs(t, "").ListDevices(ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
		wantStatus(t, name, err, codes.Unauthenticated, tc.want)
	}
	if strings.Contains(s.log.String(), "viewer-token") {
		t.Errorf("a token is in the log: %s", s.log)
	}
}

type brokenAuth struct{ actor auth.Actor }

func (b brokenAuth) Authenticate(context.Context, string) (auth.Actor, error) {
	if b.actor.Role == auth.Admin {
		return b.actor, nil
	}
	return auth.Actor{}, errors.New("the identity provider is down")
}

func TestBrokenAuthenticators(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		auth auth.Authenticator
		code codes.Code
	}{
		"down":   {brokenAuth{}, codes.Unavailable},
		"nobody": {brokenAuth{auth.Actor{Role: auth.Admin, Tenants: []string{"*"}}}, codes.Unauthenticated},
	} {
		tel, err := telemetry.New(t.Context(), "test", "", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		s, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: tc.auth, Policy: policy(), Telemetry: tel})
		if err != nil {
			t.Fatal(err)
		}
		notifierv1.RegisterNotifierServiceServer(s, &fakeNotifier{})
		schedulerv1.RegisterSchedulerServiceServer(s, &fakeScheduler{})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = (&server{Server: s}).notifierAs(t, "some-token").ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
		if status.Code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestPolicyByRoleAndTenant(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, vera := s.schedulerAs(t, "operator-token"), s.schedulerAs(t, "viewer-token")
	pause := &schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/daily", Reason: "holiday"}
	_, err := vera.PauseSchedule(t.Context(), pause)
	wantStatus(t, "viewer pauses", err, codes.PermissionDenied, "user:vera needs the role operator: ask an administrator")
	if _, err = ada.PauseSchedule(t.Context(), pause); err != nil {
		t.Errorf("operator pauses: %v", err)
	}
	_, err = ada.PauseSchedule(t.Context(), &schedulerv1.PauseScheduleRequest{Name: "wallclub/payouts/daily", Reason: "holiday"})
	wantStatus(t, "operator of another tenant", err, codes.PermissionDenied, `user:ada needs the role operator on tenant "wallclub": ask an administrator`)
	_, err = s.notifierAs(t, "operator-token").ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "wallclub"})
	wantStatus(t, "tenant field", err, codes.PermissionDenied, `user:ada needs the role viewer on tenant "wallclub": ask an administrator`)
	if _, err = ada.ListSchedules(t.Context(), &schedulerv1.ListSchedulesRequest{}); err != nil {
		t.Errorf("a call without a tenant: %v", err)
	}
	if got, ok := auth.ActorFrom(s.scheduler.ctx); !ok || got.Name != "user:ada" {
		t.Errorf("the handler's actor is %+v", got)
	}
}

func TestStartRefusesAPolicyThatIsNotTheServices(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.New(t.Context(), "test", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	p := policy()
	delete(p, "/agogo.notifier.v1.NotifierService/ListDevices")
	p["/agogo.notifier.v1.NotifierService/ListNotifications"] = auth.None
	p["/agogo.notifier.v1.NotifierService/Gone"] = auth.Viewer
	s, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: tokens(t), Policy: p, Telemetry: tel})
	if err != nil {
		t.Fatal(err)
	}
	notifierv1.RegisterNotifierServiceServer(s, &fakeNotifier{})
	schedulerv1.RegisterSchedulerServiceServer(s, &fakeScheduler{})
	want := "the policy is not that of the services: /agogo.notifier.v1.NotifierService/ListDevices has no role; " +
		"/agogo.notifier.v1.NotifierService/ListNotifications has the role none, which nobody holds; " +
		"/agogo.notifier.v1.NotifierService/Gone is no method"
	if err := s.Start(t.Context()); err == nil || err.Error() != want {
		t.Errorf("Start: %v, want %s", err, want)
	}
	err = rpc.CheckPolicy(p, "agogo.notifier.v1.NotifierService", "agogo.scheduler.v1.SchedulerService")
	if err == nil || err.Error() != want {
		t.Errorf("CheckPolicy: %v, want %s", err, want)
	}
	if err := rpc.CheckPolicy(policy(), "agogo.notifier.v1.NotifierService", "agogo.scheduler.v1.SchedulerService"); err != nil {
		t.Errorf("CheckPolicy of a whole policy: %v", err)
	}
	for _, name := range []string{"agogo.nothing.v1.NothingService", "agogo.notifier.v1.Device"} {
		if err := rpc.CheckPolicy(p, name); err == nil {
			t.Errorf("CheckPolicy knows %s", name)
		}
	}
	if err := s.Ready(t.Context()); err == nil {
		t.Error("ready without having started")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop before Start: %v", err)
	}
}

func TestMethodsThatDoNotExist(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := t.Context()
	for method, want := range map[string]codes.Code{
		"/agogo.notifier.v1.NotifierService/Nothing": codes.Unimplemented,
		"/other.Service/Method":                      codes.Unimplemented,
	} {
		err := s.conn(t, "operator-token").Invoke(ctx, method, &notifierv1.ListDevicesRequest{}, &notifierv1.ListDevicesResponse{})
		if status.Code(err) != want {
			t.Errorf("%s: %v", method, err)
		}
		err = s.conn(t, "").Invoke(ctx, method, &notifierv1.ListDevicesRequest{}, &notifierv1.ListDevicesResponse{})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s without a token: %v", method, err)
		}
	}
}

func TestHealthIsOpenAndReflectionIsNot(t *testing.T) {
	t.Parallel()
	s := start(t)
	got, err := healthv1.NewHealthClient(s.conn(t, "")).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health without a token: %v, %v", got, err)
	}
	reflect := func(token string) (*reflectionv1.ServerReflectionResponse, error) {
		stream, err := reflectionv1.NewServerReflectionClient(s.conn(t, token)).ServerReflectionInfo(t.Context())
		if err != nil {
			return nil, err
		}
		_ = stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		return stream.Recv()
	}
	if _, err := reflect(""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection without a token: %v", err)
	}
	resp, err := reflect("viewer-token")
	if err != nil || len(resp.GetListServicesResponse().GetService()) < 4 {
		t.Errorf("reflection with a token: %v, %v", resp, err)
	}
}

func TestValidation(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := s.notifierAs(t, "viewer-token").ListDevices(t.Context(), &notifierv1.ListDevicesRequest{PageSize: -1})
	if status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != "the request is not valid" {
		t.Fatalf("got %v", err)
	}
	want := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "tenant", Description: "must be at least 1 characters", Reason: "string.min_len"},
		{Field: "page_size", Description: "must be greater than or equal to 0 and less than or equal to 1000", Reason: "int32.gte_lte"},
	}}
	if d := cmp.Diff([]any{want}, status.Convert(err).Details(), protocmp.Transform()); d != "" {
		t.Errorf("details (-want +got):\n%s", d)
	}
}

// TestErrors returns each kind of error from a handler and looks at what a client and the log see of it.
func TestErrors(t *testing.T) {
	t.Parallel()
	s := start(t)
	const secret = "select * from payees where phone"
	retry := &errdetails.RetryInfo{}
	for name, tc := range map[string]struct {
		err     error
		code    codes.Code
		message string
		detail  proto.Message
	}{
		"status":         {status.Error(codes.Aborted, "again"), codes.Aborted, "again", nil},
		"wrapped status": {fmt.Errorf("%s: %w", secret, rpc.NotFound("payout", "p1")), codes.NotFound, `there is no payout "p1"`, &errdetails.ResourceInfo{ResourceType: "payout", ResourceName: "p1"}},
		"invalid":        {rpc.Invalid("cursor", "%d is too far", 7), codes.InvalidArgument, "cursor: 7 is too far", &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "cursor", Description: "7 is too far"}}}},
		"refused":        {rpc.Refused("tick_in_future", "wait for it", "%s is in the future", "2030"), codes.FailedPrecondition, "2030 is in the future", &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "tick_in_future", Description: "wait for it"}}}},
		"deadlock":       {fmt.Errorf("%s: %w", secret, &pgconn.PgError{Code: "40P01", Message: secret}), codes.Unavailable, "something the service needs is not available: call again", retry},
		"shutdown":       {&pgconn.PgError{Code: "57P01", Message: secret}, codes.Unavailable, "something the service needs is not available: call again", retry},
		"own timeout":    {fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), codes.Unavailable, "something the service needs is not available: call again", retry},
		"bad text":       {&pgconn.PgError{Code: "22021", Message: secret}, codes.InvalidArgument, "a value cannot be stored: check lengths, characters and bounds", nil},
	} {
		s.notifier.list = func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
			return nil, tc.err
		}
		_, err := s.notifierAs(t, "viewer-token").ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
		wantStatus(t, name, err, tc.code, tc.message)
		details := status.Convert(err).Details()
		switch {
		case tc.detail == nil && len(details) == 0:
		case len(details) != 1:
			t.Errorf("%s: details %v", name, details)
		case tc.detail == retry:
			if r, ok := details[0].(*errdetails.RetryInfo); !ok || r.GetRetryDelay().AsDuration() <= 0 {
				t.Errorf("%s: details %v", name, details)
			}
		default:
			if d := cmp.Diff(tc.detail, details[0], protocmp.Transform()); d != "" {
				t.Errorf("%s: detail (-want +got):\n%s", name, d)
			}
		}
	}
}

func TestUnknownErrorsAndPanicsCarryOnlyAnID(t *testing.T) {
	t.Parallel()
	s := start(t)
	const inside = "relation payouts_xyz does not exist"
	for name, list := range map[string]func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error){
		"error": func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
			return nil, fmt.Errorf("list: %w", errors.New(inside))
		},
		"unknown status": func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
			return nil, status.Error(codes.Unknown, inside)
		},
		"panic": func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
			panic(inside)
		},
	} {
		s.notifier.list = list
		_, err := s.notifierAs(t, "viewer-token").ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "payouts_xyz") {
			t.Errorf("%s: %v", name, err)
		}
		info, ok := status.Convert(err).Details()[0].(*errdetails.RequestInfo)
		if !ok || !strings.Contains(status.Convert(err).Message(), info.GetRequestId()) {
			t.Fatalf("%s: details %v of %v", name, status.Convert(err).Details(), err)
		}
		found := false
		for line := range strings.SplitSeq(s.log.String(), "\n") {
			found = found || strings.Contains(line, info.GetRequestId()) && strings.Contains(line, inside) &&
				strings.Contains(line, "NotifierService/ListDevices")
		}
		if !found {
			t.Errorf("%s: no log line has id, error and method: %s", name, s.log)
		}
	}
	s.notifier.stream = func(grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
		panic(inside)
	}
	stream, err := s.notifierAs(t, "operator-token").ImportDevices(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "payouts_xyz") {
		t.Errorf("panic in a stream: %v", err)
	}
}

func TestTheCallersOwnEndIsNoFault(t *testing.T) {
	t.Parallel()
	s := start(t)
	ended := make(chan error, 1)
	s.notifier.stream = func(st grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
		<-st.Context().Done()
		ended <- st.Context().Err()
		return fmt.Errorf("wait: %w", st.Context().Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := s.notifierAs(t, "operator-token").ImportDevices(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&importsv1.ImportRequest{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(s.log.String(), `"level":"ERROR"`) || strings.Contains(s.log.String(), `"level":"WARN"`) {
		t.Errorf("a client that left was logged as a fault: %s", s.log)
	}
}

func TestCause(t *testing.T) {
	t.Parallel()
	s := start(t)
	client := s.schedulerAs(t, "operator-token")
	for name, tc := range map[string]struct {
		header, requestID string
		want              event.Cause // CorrelationID "": any
	}{
		"header":      {"tick-1", "", event.Cause{Actor: "user:ada", CorrelationID: "tick-1", CausationID: "tick-1"}},
		"request id":  {"", "r-1", event.Cause{Actor: "user:ada", CorrelationID: "r-1", CausationID: "r-1"}},
		"both":        {"tick-1", "r-1", event.Cause{Actor: "user:ada", CorrelationID: "tick-1", CausationID: "r-1"}},
		"none":        {"", "", event.Cause{Actor: "user:ada"}},
		"bad header":  {"two words", "", event.Cause{Actor: "user:ada"}},
		"long header": {strings.Repeat("x", 129), "", event.Cause{Actor: "user:ada"}},
		"card":        {"4111111111111111", "", event.Cause{Actor: "user:ada"}},
		"card twice":  {"4111-1111-1111-1111", "4111111111111111", event.Cause{Actor: "user:ada"}},
	} {
		ctx := t.Context()
		if tc.header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, rpc.CorrelationHeader, tc.header)
		}
		var back metadata.MD
		_, err := client.PauseSchedule(ctx, &schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/daily", Reason: "x", RequestId: tc.requestID}, grpc.Header(&back))
		if err != nil {
			t.Fatal(err)
		}
		got := event.CauseFrom(s.scheduler.ctx)
		if tc.want.CorrelationID == "" {
			if len(got.CorrelationID) != 36 || got.CausationID != got.CorrelationID {
				t.Errorf("%s: %+v", name, got)
			}
			tc.want.CorrelationID, tc.want.CausationID = got.CorrelationID, got.CausationID
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if v := back.Get(rpc.CorrelationHeader); len(v) != 1 || v[0] != got.CorrelationID {
			t.Errorf("%s: the client was told %v", name, v)
		}
	}
}

func TestStreamsAreChecked(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.notifier.stream = func(st grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
		if a, ok := auth.ActorFrom(st.Context()); !ok || a.Name != "user:ada" || event.CauseFrom(st.Context()).Actor != "user:ada" {
			return errors.New("no actor or cause")
		}
		for {
			if _, err := st.Recv(); errors.Is(err, io.EOF) {
				return st.Send(&importsv1.ImportResponse{})
			} else if err != nil {
				return err
			}
		}
	}
	send := func(token string, requests ...*importsv1.ImportRequest) error {
		stream, err := s.notifierAs(t, token).ImportDevices(t.Context())
		if err != nil {
			return err
		}
		for _, r := range requests {
			if stream.Send(r) != nil {
				break // the server ended it; Recv tells why
			}
		}
		_ = stream.CloseSend()
		_, err = stream.Recv()
		return err
	}
	good := &importsv1.ImportRequest{Options: &importsv1.ImportOptions{Tenant: "lebenis", Format: "csv"}}
	if err := send("operator-token", good, &importsv1.ImportRequest{Data: []byte("x")}); err != nil {
		t.Errorf("a good stream: %v", err)
	}
	err := send("operator-token", good, &importsv1.ImportRequest{Options: &importsv1.ImportOptions{Tenant: "lebenis", Format: "xml"}})
	if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(status.Convert(err).Message(), "options.format: ") {
		t.Errorf("a bad second message: %v", err)
	}
	if err := send("operator-token", good, &importsv1.ImportRequest{Options: &importsv1.ImportOptions{Tenant: "wallclub"}}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another tenant in the second message: %v", err)
	}
	if err := send("viewer-token", good); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a viewer imports: %v", err)
	}
	if err := send("", good); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody imports: %v", err)
	}
}

// TestOnceSeesTheRequestBody repeats a mutation through the whole way: same id and body give the first answer, the same id
// with another body is refused.
func TestOnceSeesTheRequestBody(t *testing.T) {
	t.Parallel()
	s := start(t)
	pool := pgtest.Pool(t, auth.Migrations)
	s.scheduler.pause = func(ctx context.Context, r *schedulerv1.PauseScheduleRequest) (out *schedulerv1.Schedule, err error) {
		out = &schedulerv1.Schedule{}
		err = pg.InTx(ctx, pool, func(tx pgx.Tx) error {
			b, err := auth.Once(ctx, tx, "lebenis", "PauseSchedule", r.GetRequestId(), func() ([]byte, error) {
				return proto.Marshal(&schedulerv1.Schedule{Name: r.GetName(), PauseReason: r.GetReason()})
			})
			return errors.Join(err, proto.Unmarshal(b, out))
		})
		return out, err
	}
	client := s.schedulerAs(t, "operator-token")
	pause := func(reason string) (*schedulerv1.Schedule, error) {
		return client.PauseSchedule(t.Context(), &schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/daily", Reason: reason, RequestId: "r"})
	}
	for range 2 {
		if got, err := pause("holiday"); err != nil || got.GetPauseReason() != "holiday" {
			t.Errorf("got %v, %v", got, err)
		}
	}
	_, err := pause("strike")
	wantStatus(t, "another body", err, codes.InvalidArgument,
		"request_id: was used for another request: make a new id for each request, and repeat one only to repeat the request")
}

func TestStopEndsStreamsAndLetsCallsFinish(t *testing.T) {
	t.Parallel()
	s := start(t)
	inCall, release := make(chan struct{}), make(chan struct{})
	s.notifier.list = func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
		close(inCall)
		<-release
		return &notifierv1.ListDevicesResponse{}, nil
	}
	inStream := make(chan struct{})
	s.notifier.stream = func(st grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
		close(inStream)
		<-st.Context().Done()
		close(release) // the stream ended first; now the call may
		return st.Context().Err()
	}
	client := s.notifierAs(t, "operator-token")
	called := make(chan error, 1)
	go func() {
		_, err := client.ListDevices(context.WithoutCancel(t.Context()), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
		called <- err
	}()
	<-inCall
	stream, err := client.ImportDevices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-inStream
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("not ready while serving: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := <-called; err != nil {
		t.Errorf("the call was cut off: %v", err)
	}
	_, err = stream.Recv()
	wantStatus(t, "the stream", err, codes.Unavailable, "the server is stopping: call again")
	if err := s.Ready(t.Context()); err == nil {
		t.Error("ready after Stop")
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	inCall, ended := make(chan struct{}), make(chan struct{})
	s.notifier.list = func(ctx context.Context, _ *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
		close(inCall)
		<-ctx.Done() // a cut-off cancels it
		close(ended)
		return nil, ctx.Err()
	}
	client := s.notifierAs(t, "viewer-token")
	called := make(chan error, 1)
	go func() {
		_, err := client.ListDevices(context.WithoutCancel(t.Context()), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
		called <- err
	}()
	<-inCall
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	<-ended
	if err := <-called; status.Code(err) != codes.Unavailable {
		t.Errorf("the call that was cut off: %v", err)
	}
	if !strings.Contains(s.log.String(), "gRPC calls were cut off by the stop") {
		t.Errorf("log: %s", s.log)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := start(t)
	client := s.notifierAs(t, "viewer-token")
	if _, err := client.ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "lebenis"}); err != nil {
		t.Fatal(err)
	}
	s.notifier.list = func(context.Context, *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
		panic("x")
	}
	_, _ = client.ListDevices(t.Context(), &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
	_, _ = client.ListDevices(t.Context(), &notifierv1.ListDevicesRequest{})
	_ = s.conn(t, "viewer-token").Invoke(t.Context(), "/made/Up", &notifierv1.Device{}, &notifierv1.Device{})
	families, err := s.tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "agogo_rpc_handled_total" {
				got[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
			if f.GetName() == "agogo_rpc_seconds" && m.GetHistogram().GetSampleCount() != 3 {
				t.Errorf("%d observations of %v", m.GetHistogram().GetSampleCount(), m.GetLabel())
			}
		}
	}
	const method = "/agogo.notifier.v1.NotifierService/ListDevices"
	want := map[string]float64{method + " OK": 1, method + " Internal": 1, method + " InvalidArgument": 1, "unknown Unimplemented": 1}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestTracesGoOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx, span := s.tel.Traces.Tracer("test").Start(t.Context(), "client")
	defer span.End()
	var seen string
	s.notifier.list = func(ctx context.Context, _ *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
		seen = telemetry.Traceparent(ctx)
		return &notifierv1.ListDevicesResponse{}, nil
	}
	client := notifierv1.NewNotifierServiceClient(s.conn(t, "viewer-token", rpc.WithTraces(s.tel.Traces)))
	if _, err := client.ListDevices(ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis"}); err != nil {
		t.Fatal(err)
	}
	if want := span.SpanContext().TraceID().String(); !strings.Contains(seen, want) {
		t.Errorf("the handler's traceparent is %q, want trace %s", seen, want)
	}
}

func TestNewServerRefuses(t *testing.T) {
	t.Parallel()
	if _, err := rpc.NewServer(rpc.ServerConfig{}); err == nil {
		t.Error("a server without an authenticator was made")
	}
	s := start(t)
	again, err := rpc.NewServer(rpc.ServerConfig{Addr: s.Addr(), Auth: tokens(t), Telemetry: s.tel})
	if err != nil {
		t.Fatalf("a second server on one registry: %v", err)
	}
	if again.Addr() != s.Addr() {
		t.Errorf("Addr before Start is %s", again.Addr())
	}
	if err := again.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Start on a taken port: %v", err)
	}
}
