package process

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/renewal"
)

// watched is a file and what became of a process that watches it.
type watched struct {
	t    *testing.T
	file string
	*watch
	ended chan error
	place *place
}

func watching(t *testing.T, spread time.Duration, usable func(text string) error) *watched {
	t.Helper()
	return waiting(t, &line{}, spread, usable)
}

func waiting(t *testing.T, l *line, spread time.Duration, usable func(text string) error) *watched {
	t.Helper()
	w := &watched{t: t, file: filepath.Join(t.TempDir(), "secret"), ended: make(chan error, 1), place: &place{l}}
	w.write("first")
	began, err := renewal.Take([]string{w.file})
	if err != nil {
		t.Fatal(err)
	}
	w.watch = newWatch([]string{w.file}, began, spread, w.place, func() bool { return false }, func() error {
		raw, err := os.ReadFile(w.file)
		return errors.Join(err, usable(string(raw)))
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { w.ended <- w.run(ctx) }()
	return w
}

func (w *watched) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// endsWithin waits for the process to end, of the bubble's time not longer than d, and reports whether it has.
func (w *watched) endsWithin(d time.Duration) bool {
	w.t.Helper()
	select {
	case err := <-w.ended:
		if !errors.Is(err, errChanged) {
			w.t.Errorf("ended with %v", err)
		}
		return true
	case <-time.After(d + time.Nanosecond): // what happens at d itself comes first
		return false
	}
}

func fine(string) error { return nil }

func TestAChangeEndsTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, 0, fine)
		if w.endsWithin(time.Hour) {
			t.Fatal("it ended without a change")
		}
		w.write("second")
		if !w.endsWithin(watchEvery) {
			t.Error("it goes on with what the file does not hold any more")
		}
	})
}

func TestWhatNothingStartsWithEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, 0, func(text string) error {
			if text == "wrong" {
				return errors.New("typing error")
			}
			return nil
		})
		w.write("wrong")
		if w.endsWithin(time.Hour) {
			t.Fatal("a typing error ended it")
		}
		if testutil.ToFloat64(w.stale) != 1 {
			t.Error("the metric does not say so")
		}
		w.write("first")
		if w.endsWithin(time.Hour) || testutil.ToFloat64(w.stale) != 0 {
			t.Error("what was taken back is still held against it")
		}
		w.write("wrong")
		w.endsWithin(time.Hour)
		w.write("right")
		if !w.endsWithin(watchEvery) {
			t.Error("it goes on although the error was mended")
		}
	})
}

// A Secret that changes again while replicas wait for their turn is looked at again, and never forgotten.
func TestWhatChangesWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wrong atomic.Bool
		w := watching(t, time.Minute, func(string) error {
			if wrong.Load() {
				return errors.New("typing error")
			}
			return nil
		})
		w.write("second")
		if w.endsWithin(watchEvery) { // it has seen it, and waits
			t.Fatal("it ended before its turn")
		}
		if w.place.isFree() {
			t.Fatal("it does not wait in line")
		}
		wrong.Store(true)
		w.write("third")
		if w.endsWithin(time.Hour) {
			t.Fatal("it ended for what nothing starts with")
		}
		if !w.place.isFree() {
			t.Error("it keeps others from ending")
		}
		wrong.Store(false)
		if !w.endsWithin(time.Hour) {
			t.Error("it was forgotten")
		}
	})
}

// A file that is away for a moment is being exchanged; one that stays away would fail the next start.
func TestAFileThatStaysAwayIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, 0, fine)
		var said bytes.Buffer
		w.log = slog.New(slog.NewTextHandler(&said, nil))
		if err := os.Remove(w.file); err != nil {
			t.Fatal(err)
		}
		if w.endsWithin(20*time.Second) || testutil.ToFloat64(w.stale) != 0 {
			t.Error("an exchange is held against it")
		}
		if w.endsWithin(time.Hour) || testutil.ToFloat64(w.stale) != 1 || strings.Count(said.String(), "cannot be read") != 1 {
			t.Errorf("an hour without the file: stale %v, log: %s", testutil.ToFloat64(w.stale), said.String())
		}
		w.write("first")
		if w.endsWithin(time.Minute) || testutil.ToFloat64(w.stale) != 0 {
			t.Error("the file is back as it was, and still held against it")
		}
	})
}
