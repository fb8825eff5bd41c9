package cli

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

func TestWhatIsToldOfARunThatLasts(t *testing.T) {
	t.Parallel()
	m := &meter{}
	began := time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	for _, tt := range []struct {
		after   time.Duration
		state   string
		planned bool
		counts  map[string]int64
		held    map[string]int64
		want    string
	}{
		{0, "running", false, map[string]int64{"approved": 500, "waiting": 500}, nil, "planning, 1 pages so far · 0 of 500 sent · approved 500, waiting 500"},
		{
			10 * time.Second, "running", true,
			map[string]int64{"approved": 780, "submitting": 16, "succeeded": 200, "held": 4, "waiting": 784},
			map[string]int64{"recipient_unverified": 4},
			"running · 200 of 1000 sent · 20.0/s · about 40s left · approved 780, held 4, submitting 16, succeeded 200, waiting 784 · held by recipient_unverified 4",
		},
		{20 * time.Second, "running", true, map[string]int64{"approved": 796, "succeeded": 200, "held": 4}, nil, "running · 200 of 1000 sent · 10.0/s · about 1m20s left · approved 796, held 4, succeeded 200"},
		{50 * time.Second, "running", true, map[string]int64{"approved": 796, "succeeded": 200, "held": 4}, nil, "running · 200 of 1000 sent · approved 796, held 4, succeeded 200"},
		{60 * time.Second, "completed", true, map[string]int64{"succeeded": 990, "unknown": 6, "held": 4, "skipped": 7}, nil, "completed, its payouts now · 996 of 1000 sent · held 4, skipped 7, succeeded 990, unknown 6"},
	} {
		p := &payoutsv1.RunProgress{
			Run: &payoutsv1.Run{State: tt.state, Counts: tt.counts}, Planned: tt.planned, Pages: 1, Held: tt.held, At: timestamppb.New(began.Add(tt.after)),
		}
		if got := m.line(p); got != tt.want {
			t.Errorf("after %s:\n%s, want\n%s", tt.after, got, tt.want)
		}
	}
	if !m.over {
		t.Error("the run is not over")
	}
}

// TestARunThatIsOverIsShownAsItWas: beside the line of how its payouts stand now, its counts would contradict that.
func TestARunThatIsOverIsShownAsItWas(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{"running": "counts", "queued": "counts", "completed": "counts at its end", "failed": "counts at its end"} {
		titled := func(c column[*schedulerv1.Run]) bool { return c.title == want }
		if !slices.ContainsFunc(runDetail(&schedulerv1.Run{State: state}), titled) {
			t.Errorf("a run that is %s has no %q", state, want)
		}
	}
}
