package rpc_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/pan"
	"github.com/agogopay/agogo/internal/rpc"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

func screened(c *rpc.ServerConfig) {
	c.Screen = func(m proto.Message) error {
		if field := pan.Field(m); field != "" {
			return rpc.Invalid(field, "screened")
		}
		return nil
	}
}

// TestTheScreenComesFirst: whatever would repeat a value in an answer, a log or an event comes after it.
func TestTheScreenComesFirst(t *testing.T) {
	t.Parallel()
	const card = "4111111111111111"
	s := start(t, screened)
	s.scheduler.pause = func(_ context.Context, r *schedulerv1.PauseScheduleRequest) (*schedulerv1.Schedule, error) {
		if pan.Field(r) != "" {
			t.Error("the handler saw it")
		}
		return nil, rpc.NotFound("schedule", r.GetName())
	}
	calls := map[string]struct {
		request *schedulerv1.PauseScheduleRequest
		code    codes.Code
		says    string
	}{
		"a clean one":     {&schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/x", Reason: "r"}, codes.NotFound, "there is no schedule"},
		"reason":          {&schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/x", Reason: "card " + card}, codes.InvalidArgument, "reason: screened"},
		"another tenant":  {&schedulerv1.PauseScheduleRequest{Name: card + "/payouts/x", Reason: "r"}, codes.InvalidArgument, "name: screened"},
		"not valid":       {&schedulerv1.PauseScheduleRequest{Reason: card}, codes.InvalidArgument, "reason: screened"},
		"as a request id": {&schedulerv1.PauseScheduleRequest{Name: "lebenis/payouts/x", Reason: "r", RequestId: card}, codes.InvalidArgument, "request_id: screened"},
	}
	for name, tt := range calls {
		var back metadata.MD
		_, err := s.schedulerAs(t, "operator-token").PauseSchedule(t.Context(), tt.request, grpc.Header(&back))
		if st := status.Convert(err); st.Code() != tt.code || !strings.HasPrefix(st.Message(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(strings.Join(back.Get(rpc.CorrelationHeader), " "), card) || strings.Contains(err.Error(), card) {
			t.Errorf("%s: the number came back", name)
		}
	}
	_, err := s.schedulerAs(t, "no-token").PauseSchedule(t.Context(), calls["reason"].request)
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stranger learns what is screened: %v", err)
	}
	if strings.Contains(s.log.String(), card) {
		t.Errorf("the number was logged: %s", s.log)
	}
}

func TestTheScreenSeesEveryMessageOfAStream(t *testing.T) {
	t.Parallel()
	s := start(t, screened)
	received := make(chan int, 1)
	s.notifier.stream = func(st grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
		for n := 0; ; n++ {
			if _, err := st.Recv(); err != nil {
				received <- n
				return err
			}
		}
	}
	stream, err := s.notifierAs(t, "operator-token").ImportDevices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*importsv1.ImportRequest{{Options: &importsv1.ImportOptions{Tenant: "lebenis", Format: "csv"}}, {Options: &importsv1.ImportOptions{Format: "4111 1111 1111 1111"}}} {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != "options.format: screened" {
		t.Errorf("the second message: %v", err)
	}
	if n := <-received; n != 1 {
		t.Errorf("the handler had %d messages, want the first one only", n)
	}
}
