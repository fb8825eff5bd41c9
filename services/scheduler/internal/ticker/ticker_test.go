package ticker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
)

type elector struct{ err error }

func (e elector) IsLeader(context.Context) error { return e.err }

// firings records when fire was called.
type firings struct {
	mu   sync.Mutex
	at   []time.Time
	fail error
}

func (f *firings) fire(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = append(f.at, time.Now().UTC())
	return f.fail
}

func rules(t *testing.T, expression, zone string) map[schedule.Key]schedule.Rule {
	t.Helper()
	c, err := cron.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return map[schedule.Key]schedule.Rule{{Tenant: "lebenis", Service: "payouts", Name: "daily"}: {Cron: c, Zone: loc}}
}

// during runs a ticker for a while of synthetic time.
func during(t *testing.T, d time.Duration, leader elector, r map[schedule.Key]schedule.Rule, fail error) []time.Time {
	t.Helper()
	f := &firings{fail: fail}
	tick := New(f.fire, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tick.Run(ctx, leader, r) }()
	<-time.After(d)
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return f.at
}

func TestTheLeaderFiresAtNominalTimesAndAtSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC() // midnight
		fired := during(t, 16*time.Minute+time.Second, elector{}, rules(t, "*/7 * * * *", "Asia/Kathmandu"), nil)
		var nominal []string
		sweeps := 0
		for _, at := range fired {
			if at.Sub(begin)%Sweep == 0 {
				sweeps++
			} else {
				nominal = append(nominal, at.Sub(begin).String())
			}
		}
		// In Nepal it is a quarter to six: the sevenths of the hour are at :49, :56 and :00.
		if diff := cmp.Diff([]string{"4m0.01s", "11m0.01s", "15m0.01s"}, nominal); diff != "" {
			t.Error(diff)
		}
		if want := int((16*time.Minute + time.Second) / Sweep); sweeps != want {
			t.Errorf("%d sweeps, want %d", sweeps, want)
		}
	})
}

func TestFollowersDoNotFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if fired := during(t, 10*time.Minute, elector{errNotLeader}, rules(t, "* * * * *", "UTC"), nil); len(fired) != 0 {
			t.Errorf("fired at %v", fired)
		}
	})
}

func TestAFailureIsTriedAgainAtTheNextSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := during(t, 21*time.Second, elector{}, nil, errors.New("the database is away"))
		if len(fired) != 4 {
			t.Errorf("fired at %v, want 4 sweeps", fired)
		}
	})
}

func TestWakesThatComeTogetherFireTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		fired := 0
		tick := New(func(context.Context) error { fired++; <-release; return nil }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { tick.loop(ctx); close(ended) }()
		tick.Wake()
		synctest.Wait() // it fires now
		for range 100 {
			tick.Wake()
		}
		close(release)
		synctest.Wait()
		cancel()
		<-ended
		if fired != 2 {
			t.Errorf("fired %d times, want once and once more for all that came meanwhile", fired)
		}
	})
}

// gocron's Shutdown spins on a core while it waits for its tasks. Ours only wake, so it has nothing to wait for even when a
// long firing is under way: the ticker waits for that itself, and spinning would keep synthetic time from passing.
func TestGocronSpinsAtItsEndUnlessItsTasksAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const firing = 30 * time.Second
		tick := New(func(context.Context) error { <-time.After(firing); return nil }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- tick.Run(ctx, elector{}, rules(t, "* * * * *", "UTC")) }()
		<-time.After(Sweep + time.Second) // it fires
		cancel()
		began := time.Now()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != firing-time.Second {
			t.Errorf("stopping took %s, want no more than the firing needs", took)
		}
	})
}

// What gocron itself would drop or double when clocks change (see the tests of package cron) it gets from us.
func TestTimersRingAtOurNominalTimes(t *testing.T) {
	t.Parallel()
	r := slices.Collect(maps.Values(rules(t, "0 * * * *", "America/New_York")))[0]
	at := time.Date(2026, 11, 1, 4, 30, 0, 0, time.UTC)
	var got []string
	for range 3 {
		at = nominal{r}.Next(at)
		got = append(got, at.Format("15:04:05.000Z07:00"))
	}
	if diff := cmp.Diff([]string{"05:00:00.010Z", "06:00:00.010Z", "07:00:00.010Z"}, got); diff != "" {
		t.Error(diff)
	}
}
