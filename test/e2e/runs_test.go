package e2e_test

import (
	"strings"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// A run is cancelled in the middle, by an operator, with a reason: what is with the provider ends, the rest is cancelled and free, whoever
// watches sees it, and the next evening pays it, once.
func cancelledRun(s scene) {
	slow(s)
	tick := s.schedule("daily") + "@" + at(2)
	cancel := []string{"runs", "cancel", tick, "--reason", "the wrong tariff", "--token"}
	if r := s.Try(s.T, append(cancel, auditorToken)...); r.Code != 4 {
		s.Errorf("cancelled by a viewer: %s", r)
	}
	if r := s.Try(s.T, "runs", "cancel", tick, "--token", "operator"); r.Code != 2 || !strings.Contains(r.Err, "reason") {
		s.Errorf("cancelled without a reason: %s", r)
	}
	if out := s.CLI(s.T, append(cancel, "operator")...); !strings.Contains(out, tick) {
		s.Errorf("the answer does not show the run:\n%s", out)
	}
	watched := s.Try(s.T, "runs", "watch", tick, "--timeout", runEnds)
	if watched.Code != 0 || !strings.Contains(watched.Out, "completed") || !strings.Contains(watched.Out, "cancelled") {
		s.Errorf("the run did not end: %s", watched)
	}
	if !strings.Contains(watched.Err, " of 6 sent") {
		s.Errorf("no progress was shown: %q", watched.Err)
	}
	paid := paidSoFar(s)
	if paid == 0 || paid == six {
		s.Fatalf("%d of %d were paid when the run was cancelled: nothing to see", paid, six)
	}
	awaitState(s.T, s.Install, "cancelled", six-paid)
	if free := s.unpaid(); len(free) != six-paid {
		s.Errorf("unpaid: %q, want the payments of %d cancelled payouts", free, six-paid)
	}
	if b := harness.Items[payoutsv1.Batch](s.T, s.Install, "batches", "list")[0]; b.State != "cancelled" || b.Control != "cancelled" || b.ControlReason != "the wrong tariff" {
		s.Errorf("%v", b)
	}
	run := harness.One[schedulerv1.Run](s.T, s.Install, "runs", "get", tick)
	if run.State != "completed" || run.Reason != "cancelled" || run.Counts["cancelled"] != int64(six-paid) {
		s.Errorf("the run ended as %v", run)
	}
	if r := s.Try(s.T, "runs", "retry", tick, "--reason", "second thoughts"); r.Code != 4 || !strings.Contains(r.Err, "has not failed") {
		s.Errorf("retried: %s", r)
	}
	if r := s.Try(s.T, "runs", "cancel", "wallclub/recurrences/charge-due@2025-01-02T11:00:00Z", "--reason", "x"); r.Code != 2 {
		s.Errorf("a run of recurrences cancelled: %s", r)
	}
	s.evening(3)
	awaitState(s.T, s.Install, "succeeded", six)
	for i := range six {
		s.moved(i, 1)
	}
}
