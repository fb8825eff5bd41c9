package payouts_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

// TestARunIsWatchedAndCancelled: a run that two replicas send is watched through one of them and cancelled through the other. The stream counts
// payouts as they go and ends with the run; opened anew, also elsewhere, it begins with the run as it is. Who may look may not cancel, and a
// run of another tenant is not found.
func TestARunIsWatchedAndCancelled(t *testing.T) {
	t.Parallel()
	in := install(t)
	p := in.file.Tenants[0].Providers["orange"]
	p.Concurrency, p.Timeout = 2, 10*time.Second
	in.file.Tenants[0].Providers["orange"] = p
	first, second := in.start(), in.start()
	in.importPayments(first.as("operator"), "csv", payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))
	if err := in.sim.Plan(simulator.Plan{Rules: []simulator.Rule{{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Slow, Delay: 500 * time.Millisecond}}}); err != nil {
		t.Fatal(err)
	}
	tick := payoutstest.Daily(evening)
	in.tick(tick, tick.GetTickId())
	id := tick.GetTickId()
	var watch grpc.ServerStreamingClient[payoutsv1.RunProgress]
	var now *payoutsv1.RunProgress
	in.Until("the run is watched", func() (ok bool) {
		var err error
		if watch, err = first.as("viewer").WatchRun(in.Ctx, &payoutsv1.WatchRunRequest{Tenant: payoutstest.Tenant, Id: id}); err == nil {
			now, err = watch.Recv()
		}
		return err == nil
	})
	var err error
	for now.GetRun().GetCounts()["succeeded"] < 2 && err == nil {
		now, err = watch.Recv()
	}
	if n := now.GetRun().GetCounts(); err != nil || !now.GetPlanned() || now.GetPages() != 1 || n["succeeded"]+n["approved"]+n["submitting"] != 15 {
		t.Fatalf("in the middle: %v, %v", now, err)
	}
	cancel := &payoutsv1.CancelRunRequest{Tenant: payoutstest.Tenant, Id: id, Reason: "the wrong file", RequestId: "once"}
	if _, err := first.as("viewer").CancelRun(in.Ctx, cancel); status.Code(err) != codes.PermissionDenied {
		t.Errorf("cancelled by a viewer: %v", err)
	}
	for range 2 {
		if _, err := second.as("operator").CancelRun(in.Ctx, cancel); err != nil {
			t.Fatal(err)
		}
	}
	last := now
	for {
		if now, err = watch.Recv(); err != nil {
			break
		}
		last = now
	}
	n := last.GetRun().GetCounts()
	if !errors.Is(err, io.EOF) || last.GetRun().GetState() != "completed" || last.GetRun().GetReason() != "cancelled" {
		t.Errorf("the stream ended with %v, %v", last, err)
	}
	if n["cancelled"] < 5 || n["succeeded"]+n["cancelled"] != 15 || int64(len(in.book(simulator.Orange))) != n["succeeded"] {
		t.Errorf("counts %v, %d paid by the provider", n, len(in.book(simulator.Orange)))
	}
	again, err := second.as("viewer").WatchRun(in.Ctx, &payoutsv1.WatchRunRequest{Tenant: payoutstest.Tenant, Id: last.GetRun().GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if now, err = again.Recv(); err != nil || now.GetRun().GetState() != "completed" {
		t.Errorf("watched afterwards: %v, %v", now, err)
	}
	if _, err = again.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream of a run that is over goes on: %v", err)
	}
	retry := &payoutsv1.RetryRunRequest{Tenant: payoutstest.Tenant, Id: id, Reason: "second thoughts"}
	if _, err := second.as("operator").RetryRun(in.Ctx, retry); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("retried: %v", err)
	}
	missing := &payoutsv1.CancelRunRequest{Tenant: payoutstest.Tenant, Id: "lebenis/payouts/daily@2030-01-01T00:00:00Z", Reason: "none"}
	if _, err := second.as("operator").CancelRun(in.Ctx, missing); status.Code(err) != codes.NotFound {
		t.Errorf("a run that is not there: %v", err)
	}
	second.verify()
}
