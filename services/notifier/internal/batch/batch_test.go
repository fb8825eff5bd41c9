package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/services/notifier/internal/batch"
)

const (
	pace  = 50 * time.Millisecond
	limit = 9 * time.Second
)

var errPoison = errors.New("poison")

// table is what things are written to: a transaction takes its time, and fails for things that are poison.
type table struct {
	took    func(n int) time.Duration // of the nth transaction; nil: 30 ms
	poison  []int
	passing bool // whether the failure is said to be nobody's

	sizes   []int // of all that were tried
	written []int
}

func (t *table) write(ctx context.Context, some []int) error {
	t.sizes = append(t.sizes, len(some))
	took := 30 * time.Millisecond
	if t.took != nil {
		took = t.took(len(t.sizes))
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return ctx.Err()
	}
	if slices.ContainsFunc(some, func(n int) bool { return slices.Contains(t.poison, n) }) {
		return errPoison
	}
	t.written = append(t.written, some...)
	return nil
}

// writer runs one on the table until the test's end.
func (t *table) writer(tb testing.TB, most int) *batch.Writer[int] {
	tb.Helper()
	w := batch.New(batch.Config{Most: most, Pace: pace, Limit: limit}, batch.Deps[int]{
		Write: t.write, Logger: slog.New(slog.DiscardHandler),
		Passing: func(err error) bool { return t.passing || errors.Is(err, context.DeadlineExceeded) },
	})
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			tb.Errorf("ended with %v", err)
		}
	})
	return w
}

// put gives the writer things from..to-1 at once, and returns how each ended when all have.
func put(tb testing.TB, w *batch.Writer[int], from, to int) []error {
	tb.Helper()
	ends := make([]error, to-from)
	var wg sync.WaitGroup
	for i := range ends {
		wg.Go(func() { ends[i] = w.Put(tb.Context(), from+i) })
	}
	wg.Wait()
	return ends
}

func TestPoisonIsFoundInFewTransactions(t *testing.T) {
	t.Parallel()
	for name, poison := range map[string][]int{"first": {0}, "within": {357}, "last": {999}, "two": {3, 700}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				to := &table{poison: poison}
				w := to.writer(t, 1000)
				busy(t, w)
				began := time.Now()
				for i, err := range put(t, w, 0, 1000) {
					if bad := slices.Contains(poison, i); bad != errors.Is(err, errPoison) || !bad && err != nil {
						t.Errorf("%d: %v", i, err)
					}
				}
				tried := to.sizes[1:]
				if most := 1 + 20*len(poison); tried[0] != 1000 || len(tried) > most {
					t.Errorf("%d transactions, want at most %d: %v", len(tried), most, tried)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %s", took)
				}
				slices.Sort(to.written)
				if n := len(to.written); n != 1001-len(poison) || len(slices.Compact(to.written)) != n {
					t.Errorf("%d were written, or some of them twice", n)
				}
			})
		})
	}
}

// busy has the writer write something, so that what comes next waits for the next batch.
func busy(t *testing.T, w *batch.Writer[int]) {
	t.Helper()
	first := make(chan error, 1)
	go func() { first <- w.Put(t.Context(), -1) }()
	synctest.Wait()
	t.Cleanup(func() {
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// A failure that is nobody's ends the batch: its halves would fail likewise.
func TestAPassingFailureIsEverybodys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &table{poison: []int{5}, passing: true}
		w := to.writer(t, 100)
		busy(t, w)
		for i, err := range put(t, w, 0, 100) {
			if !errors.Is(err, errPoison) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if diff := cmp.Diff([]int{1, 100}, to.sizes); diff != "" {
			t.Errorf("transactions (-want +got):\n%s", diff)
		}
	})
}

// The limit is that of the batch and its halves together. Half of it is written by then, wherever the poison is.
func TestHalvesShareTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, poison := range []int{0, 999} {
			to := &table{poison: []int{poison}, took: func(n int) time.Duration {
				if n > 1 {
					return 2 * time.Second
				}
				return 30 * time.Millisecond
			}}
			w := to.writer(t, 1000)
			busy(t, w)
			began := time.Now()
			ends := put(t, w, 0, 1000)
			if took := time.Since(began); took > limit+pace {
				t.Errorf("took %s", took)
			}
			told := 0
			for _, err := range ends {
				if err == nil {
					told++
				}
			}
			if told < 500 || told != len(to.written)-1 {
				t.Errorf("with poison at %d, %d heard that they were written, %d were", poison, told, len(to.written)-1)
			}
		}
	})
}

// A database that hangs: whoever comes, and when, is answered within two limits and the pace.
func TestNobodyWaitsForMoreThanTwoBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const waiters, rounds = 1000, 4
		to := &table{took: func(int) time.Duration { return time.Hour }}
		w := to.writer(t, waiters)
		longest := make([]time.Duration, waiters)
		var wg sync.WaitGroup
		for i := range waiters {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 23 * time.Millisecond) // of the bubble: they come at all times of a batch
				for range rounds {
					began := time.Now()
					if err := w.Put(t.Context(), i); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%d: %v", i, err)
					}
					longest[i] = max(longest[i], time.Since(began))
				}
			})
		}
		wg.Wait()
		if got := slices.Max(longest); got > 2*limit+pace || got < limit {
			t.Errorf("somebody waited %s, want at most %s", got, 2*limit+pace)
		}
	})
}

// What comes alone is written at once, what comes within the pace together.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &table{took: func(int) time.Duration { return time.Millisecond }}
		w := to.writer(t, 100)
		began := time.Now()
		put(t, w, 0, 1)
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("alone it took %s", took)
		}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				put(t, w, 1+i, 2+i)
			})
		}
		wg.Wait()
		if took := time.Since(began); took != pace+time.Millisecond {
			t.Errorf("all took %s", took)
		}
		if diff := cmp.Diff([]int{1, 30}, to.sizes); diff != "" {
			t.Errorf("transactions (-want +got):\n%s", diff)
		}
	})
}

// Who stops waiting says so, and what he waited for is written all the same.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &table{}
		w := to.writer(t, 100)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := w.Put(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := w.Put(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		put(t, w, 3, 4)
		if diff := cmp.Diff([]int{1, 3}, to.written); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
	})
}
