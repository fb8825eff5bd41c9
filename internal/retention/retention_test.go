package retention_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/retention"
)

// table counts rows that are too old, as a table would hold them.
type table struct {
	mu      sync.Mutex
	old     int64
	calls   int
	largest int32
	fail    error
}

func (b *table) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.old += n
}

func (b *table) left() (old int64, calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.old, b.calls
}

func (b *table) delete(_ context.Context, limit int32) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.largest = max(b.largest, limit)
	if b.fail != nil {
		return 0, b.fail
	}
	n := min(b.old, int64(limit))
	b.old -= n
	return n, nil
}

// keep runs rules until the test ends, which waits for the keeper to end without an error.
func keep(t *testing.T, vc clock.Clock, log *slog.Logger, rules ...retention.Rule) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- retention.New(vc, log, rules...).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRunDeletesAtOnceAndEveryHour(t *testing.T) {
	t.Parallel()
	vc := clock.NewVirtual(time.Date(2025, 1, 24, 0, 0, 0, 0, time.UTC))
	rows := &table{old: 12_001}
	keep(t, vc, slog.New(slog.DiscardHandler), retention.Rule{Rows: "rows", Delete: rows.delete})
	for hour := range 3 {
		if err := vc.BlockUntil(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if old, _ := rows.left(); old != 0 {
			t.Errorf("%d old rows after %d hours", old, hour)
		}
		rows.add(1)
		vc.Advance(time.Hour)
	}
	if err := vc.BlockUntil(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	// 5,000, 5,000 and 2,001 at once, then one row in each of three hours.
	if old, calls := rows.left(); old != 0 || calls != 3+3 || rows.largest != 5000 {
		t.Errorf("%d old rows left after %d batches of at most %d", old, calls, rows.largest)
	}
}

func TestAFailureNeitherStopsOthersNorItself(t *testing.T) {
	t.Parallel()
	vc := clock.NewVirtual(time.Date(2025, 1, 24, 0, 0, 0, 0, time.UTC))
	broken, fine := &table{old: 7, fail: errors.New("no such table")}, &table{old: 3}
	var logged bytes.Buffer
	keep(t, vc, slog.New(slog.NewTextHandler(&logged, nil)),
		retention.Rule{Rows: "broken rows", Delete: broken.delete}, retention.Rule{Rows: "fine rows", Delete: fine.delete})
	if err := vc.BlockUntil(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if old, _ := fine.left(); old != 0 {
		t.Errorf("%d rows of the rule after the failed one are left", old)
	}
	for _, want := range []string{`level=WARN`, `rows="broken rows"`, `no such table`, `rows="fine rows" count=3`} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, &logged)
		}
	}
	broken.mu.Lock()
	broken.fail = nil
	broken.mu.Unlock()
	vc.Advance(time.Hour)
	if err := vc.BlockUntil(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if old, _ := broken.left(); old != 0 {
		t.Errorf("%d rows of the rule that failed before are left", old)
	}
}

func TestRunStopsInTheMiddleOfADelete(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var logged bytes.Buffer
	hangs := retention.Rule{Rows: "rows", Delete: func(ctx context.Context, _ int32) (int64, error) {
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}}
	if err := retention.New(clock.Real(), slog.New(slog.NewTextHandler(&logged, nil)), hangs).Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if logged.Len() != 0 {
		t.Errorf("stopping is reported as a fault:\n%s", &logged)
	}
}
