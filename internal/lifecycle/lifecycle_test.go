package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/agogopay/agogo/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is what parts did, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) write(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) read() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) part(name string, startErr, stopErr error) (start, stop func(context.Context) error) {
	return func(context.Context) error { j.write("start %s", name); return startErr },
		func(context.Context) error { j.write("stop %s", name); return stopErr }
}

func (j *journal) add(g *lifecycle.Group, name string, startErr, stopErr error) {
	start, stop := j.part(name, startErr, stopErr)
	g.Add(name, start, stop)
}

func TestPartsStartInOrderAndStopInReverse(t *testing.T) {
	t.Parallel()
	var j journal
	g := lifecycle.New(nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	j.add(g, "pool", nil, nil)
	g.Add("nothing", nil, nil)
	g.Go("relay", func(ctx context.Context) error {
		<-ctx.Done()
		j.write("relay ends")
		return ctx.Err()
	})
	j.add(g, "loop", nil, nil)
	if err := g.Ready(ctx); err == nil {
		t.Error("ready before it runs")
	}
	err := g.Run(ctx, func() {
		if err := g.Ready(ctx); err != nil {
			t.Errorf("started but not ready: %v", err)
		}
		j.write("started")
		cancel()
		cancel() // a second cancel is none
	})
	if err != nil {
		t.Error(err)
	}
	want := []string{"start pool", "start loop", "started", "stop loop", "relay ends", "stop pool"}
	if d := cmp.Diff(want, j.read()); d != "" {
		t.Error(d)
	}
	if err := g.Ready(t.Context()); err == nil {
		t.Error("ready after it stopped")
	}
	if err := g.Run(t.Context(), nil); err == nil {
		t.Error("ran twice")
	}
}

func TestAFailedStartStopsWhatIsUpAndNothingElse(t *testing.T) {
	t.Parallel()
	var j journal
	g := lifecycle.New(nil, 0)
	refused := errors.New("connection refused")
	j.add(g, "a", nil, nil)
	j.add(g, "b", refused, nil)
	j.add(g, "c", nil, nil)
	err := g.Run(t.Context(), func() { t.Error("started") })
	if !errors.Is(err, refused) || !strings.HasPrefix(err.Error(), "b: start: ") {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]string{"start a", "start b", "stop a"}, j.read()); d != "" {
		t.Error(d)
	}
}

func TestARunningPartThatEndsStopsTheGroupByName(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	for name, c := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"error":                       {func(context.Context) error { return broken }, "loop: broken pipe"},
		"nothing":                     {func(context.Context) error { return nil }, "loop: ended by itself"},
		"panic":                       {func(context.Context) error { panic("nil map") }, "loop: panic: nil map"},
		"another's cancelled context": {func(context.Context) error { return context.Canceled }, "loop: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var j journal
			g := lifecycle.New(nil, 0)
			j.add(g, "pool", nil, nil)
			g.Go("loop", c.run)
			j.add(g, "after", nil, nil)
			err := g.Run(t.Context(), nil)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Count(err.Error(), "loop:") != 1 {
				t.Errorf("got %v", err)
			}
			lines := j.read()
			if lines[0] != "start pool" || lines[len(lines)-1] != "stop pool" {
				t.Errorf("got %q", lines)
			}
		})
	}
}

func TestErrorsAndPanicsOfStopsAreKeptAndTheOthersStillStop(t *testing.T) {
	t.Parallel()
	var j journal
	g := lifecycle.New(nil, 0)
	lost := errors.New("flush failed")
	ctx, cancel := context.WithCancel(t.Context())
	j.add(g, "a", nil, nil)
	j.add(g, "b", nil, lost)
	g.Add("c", nil, func(context.Context) error { panic("double close") })
	g.Go("d", func(ctx context.Context) error { <-ctx.Done(); return errors.New("could not drain") })
	err := g.Run(ctx, cancel)
	for _, want := range []string{"b: stop: flush failed", "c: stop: panic: double close", "d: stop: could not drain"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if d := cmp.Diff([]string{"start a", "start b", "stop b", "stop a"}, j.read()); d != "" {
		t.Error(d)
	}
}

func TestCtxMayEndWhilePartsStart(t *testing.T) {
	t.Parallel()
	var j journal
	g := lifecycle.New(nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	j.add(g, "a", nil, nil)
	g.Add("slow", func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return fmt.Errorf("dial: %w", ctx.Err())
	}, func(context.Context) error { j.write("stop slow"); return nil })
	j.add(g, "c", nil, nil)
	if err := g.Run(ctx, func() { t.Error("started") }); err != nil {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]string{"start a", "stop a"}, j.read()); d != "" {
		t.Error(d)
	}
}

func TestAPartThatComesUpAfterTheEndIsStoppedToo(t *testing.T) {
	t.Parallel()
	var j journal
	g := lifecycle.New(nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	g.Add("stubborn", func(ctx context.Context) error { cancel(); <-ctx.Done(); return nil },
		func(context.Context) error { j.write("stop stubborn"); return nil })
	if err := g.Run(ctx, func() { t.Error("started") }); err != nil {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]string{"stop stubborn"}, j.read()); d != "" {
		t.Error(d)
	}
}

func TestAFailureWhileOthersStartEndsTheirStart(t *testing.T) {
	t.Parallel()
	g := lifecycle.New(nil, 0)
	broken := errors.New("broken")
	g.Go("quick", func(context.Context) error { return broken })
	g.Add("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil)
	if err := g.Run(t.Context(), func() { t.Error("started") }); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "quick: ") {
		t.Errorf("got %v", err)
	}
}

func TestAPartThatDiesWhileOthersStopIsReported(t *testing.T) {
	t.Parallel()
	g := lifecycle.New(nil, 0)
	die, dead := make(chan struct{}), make(chan struct{})
	g.Go("relay", func(context.Context) error { defer close(dead); <-die; return errors.New("lost its lease") })
	g.Add("loop", nil, func(context.Context) error { close(die); <-dead; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	if err := g.Run(ctx, cancel); err == nil || !strings.Contains(err.Error(), "relay") {
		t.Errorf("got %v", err)
	}
}

func TestTheBudgetBoundsTheWholeStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := lifecycle.New(nil, 5*time.Second)
		release := make(chan struct{})
		j.add(g, "pool", nil, nil)
		g.Add("hung", nil, func(context.Context) error { <-release; return nil }) // does not look at its context
		g.Go("deaf", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		err := g.Run(ctx, cancel)
		took := time.Since(began)
		close(release)
		for _, want := range []string{"hung: stop: not done within the budget of 5s", "deaf: stop: still running"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in %v", want, err)
			}
		}
		if took < 5*time.Second || took > 6*time.Second {
			t.Errorf("took %v", took)
		}
		if !slices.Contains(j.read(), "stop pool") {
			t.Error("the pool never got its turn")
		}
	})
}

func TestAStartThatIgnoresTheEndIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := lifecycle.New(nil, 5*time.Second)
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		g.Add("deaf", func(context.Context) error { cancel(); <-release; return nil }, nil)
		err := g.Run(ctx, nil)
		close(release)
		if err == nil || !strings.Contains(err.Error(), "deaf: start: did not end") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheContextOfStartEndsWithStart(t *testing.T) {
	t.Parallel()
	g := lifecycle.New(nil, 0)
	var of context.Context
	g.Add("a", func(ctx context.Context) error { of = ctx; return ctx.Err() }, nil)
	ctx, cancel := context.WithCancel(t.Context())
	if err := g.Run(ctx, func() {
		if of.Err() == nil {
			t.Error("still open")
		}
		cancel()
	}); err != nil {
		t.Error(err)
	}
}

func TestReadinessNamesEveryFailingCheck(t *testing.T) {
	t.Parallel()
	g := lifecycle.New(nil, 0)
	g.Check("postgres", func(context.Context) error { return errors.New("connection refused") })
	g.Check("nats", func(context.Context) error { return nil })
	g.Check("loop", func(context.Context) error { panic("oops") })
	g.Add("slow", func(ctx context.Context) error {
		if err := g.Ready(ctx); err == nil || err.Error() != "starting slow" {
			t.Errorf("while starting: %v", err)
		}
		return nil
	}, func(ctx context.Context) error {
		if err := g.Ready(ctx); err == nil || err.Error() != "stopping" {
			t.Errorf("while stopping: %v", err)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	if err := g.Run(ctx, func() {
		err := g.Ready(ctx)
		if err == nil || !strings.Contains(err.Error(), "postgres: connection refused") || !strings.Contains(err.Error(), "loop: panic: oops") ||
			strings.Contains(err.Error(), "nats") {
			t.Errorf("got %v", err)
		}
		cancel()
	}); err != nil {
		t.Error(err)
	}
}

// Whatever fails whenever: each part that came up is stopped exactly once, in reverse order, and Run ends.
func TestStress(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 0))
		var j journal
		g := lifecycle.New(nil, 10*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 1 + r.IntN(6) {
			name, startErr, stopErr := fmt.Sprint(i), chance(r, 12), chance(r, 8)
			if r.IntN(3) > 0 {
				g.Add(name, func(context.Context) error {
					if startErr == nil {
						j.write("up %s", name)
					}
					return startErr
				}, func(context.Context) error { j.write("down %s", name); return stopErr })
				continue
			}
			dies := r.IntN(8) == 0
			g.Go(name, func(ctx context.Context) error {
				if dies {
					return errors.New("died")
				}
				<-ctx.Done()
				return stopErr
			})
		}
		if r.IntN(2) == 0 {
			go cancel()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = g.Run(ctx, cancel) // whether it fails depends on the seed
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("seed %d: hangs after %q", seed, j.read())
		}
		cancel()
		checkStops(t, seed, j.read())
	}
}

func chance(r *rand.Rand, oneIn int) error {
	if r.IntN(oneIn) == 0 {
		return errors.New("failed")
	}
	return nil
}

func checkStops(t *testing.T, seed uint64, lines []string) {
	t.Helper()
	var up []string
	for _, l := range lines {
		verb, name, _ := strings.Cut(l, " ")
		if verb == "up" {
			up = append(up, name)
			continue
		}
		if len(up) == 0 || up[len(up)-1] != name {
			t.Fatalf("seed %d: %s stopped out of turn in %q", seed, name, lines)
		}
		up = up[:len(up)-1]
	}
	if len(up) > 0 {
		t.Fatalf("seed %d: %q never stopped in %q", seed, up, lines)
	}
}
