package clock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/agogopay/agogo/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var evening = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

func TestRealAndOffsetRunWithTheMachine(t *testing.T) {
	for name, c := range map[string]clock.Clock{"real": clock.Real(), "offset": clock.Offset(evening)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := c
				if name == "offset" {
					c = clock.Offset(evening) // made inside the bubble, whose clock is another one
				}
				before := c.Now()
				if err := c.Sleep(t.Context(), time.Hour); err != nil {
					t.Fatal(err)
				}
				if got := c.Now().Sub(before); got != time.Hour {
					t.Errorf("an hour's sleep moved the clock by %v", got)
				}
			})
		})
	}
}

func TestOffsetShowsWhatItWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := clock.Offset(evening).Now(); !got.Equal(evening) {
			t.Errorf("got %v, want %v", got, evening)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	for name, c := range map[string]clock.Clock{"real": clock.Real(), "virtual": clock.NewVirtual(evening)} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- c.Sleep(ctx, time.Hour) }()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if err := c.Sleep(ctx, 0); !errors.Is(err, context.Canceled) {
				t.Errorf("no sleep at all on an ended context: got %v", err)
			}
			if err := c.Sleep(t.Context(), -time.Second); err != nil {
				t.Errorf("a negative sleep: %v", err)
			}
		})
	}
}

func TestVirtualWakesExactlyThoseWhoseTimeHasCome(t *testing.T) {
	v := clock.NewVirtual(evening)
	woke := make(chan time.Duration, 3)
	for _, d := range []time.Duration{time.Minute, time.Hour, 2 * time.Hour} {
		go func() {
			if v.Sleep(t.Context(), d) == nil {
				woke <- d
			}
		}()
	}
	if err := v.BlockUntil(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	v.Advance(time.Hour - 1)
	if d := <-woke; d != time.Minute {
		t.Errorf("%v woke first", d)
	}
	v.Advance(1)
	if d := <-woke; d != time.Hour {
		t.Errorf("%v woke second", d)
	}
	v.Set(evening.Add(2 * time.Hour))
	if d := <-woke; d != 2*time.Hour {
		t.Errorf("%v woke last", d)
	}
	if got := v.Now(); !got.Equal(evening.Add(2 * time.Hour)) {
		t.Errorf("shows %v", got)
	}
}

func TestVirtualSurvivesACrowd(t *testing.T) {
	const sleepers, naps = 200, 20
	v := clock.NewVirtual(evening)
	var wg sync.WaitGroup
	for i := range sleepers {
		wg.Go(func() {
			for range naps {
				if err := v.Sleep(t.Context(), time.Duration(1+i%3)*time.Second); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for {
		select {
		case <-done:
			if v.Now().Sub(evening) < naps*time.Second {
				t.Errorf("everybody slept %d times, yet only %v passed", naps, v.Now().Sub(evening))
			}
			return
		default:
			_ = v.BlockUntil(ctx, 0)
			v.Advance(time.Second)
		}
	}
}

func TestBlockUntilEndsWithItsContext(t *testing.T) {
	v := clock.NewVirtual(evening)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.BlockUntil(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestASleeperThatGaveUpIsNotCounted(t *testing.T) {
	v := clock.NewVirtual(evening)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- v.Sleep(ctx, time.Hour) }()
	if err := v.BlockUntil(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	short, end := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer end()
	if err := v.BlockUntil(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("still counted: %v", err)
	}
}
