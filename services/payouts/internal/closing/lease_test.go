package closing_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

// longer is a statement that is read for longer than a lease lasts.
type longer struct {
	provider.StatementReader
	spend func(day string, may func(context.Context) error, fn func(provider.StatementLine) error) error
}

func (l *longer) Statement(ctx context.Context, day string, may func(context.Context) error, fn func(provider.StatementLine) error) error {
	if err := l.spend(day, may, fn); err != nil {
		return err
	}
	return l.StatementReader.Statement(ctx, day, may, fn)
}

// TestAReadingLongerThanALease keeps the close, whatever it is that takes so long: another replica would begin the reading anew, and be as
// long about it.
func TestAReadingLongerThanALease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		day  string
		step func(ctx context.Context, may func(context.Context) error, fn func(provider.StatementLine) error) error
	}{
		"pages without a line": {today, func(ctx context.Context, may func(context.Context) error, _ func(provider.StatementLine) error) error {
			return may(ctx)
		}},
		"lines of other days": {today, func(_ context.Context, _ func(context.Context) error, fn func(provider.StatementLine) error) error {
			return fn(line("T_before", "", provider.LineOther, -1, 0, "2025-01-24T13:00:00Z"))
		}},
		"what came after the day": {tomorrow, func(_ context.Context, _ func(context.Context) error, fn func(provider.StatementLine) error) error {
			return fn(line("T_after", "", provider.LineOther, 0, 0, tomorrow+"T00:00:30Z"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.closer.Lease = time.Second
			r.Connector.Throttle = provider.NewThrottle(1_000_000, 1_000_000)
			renewed := 0
			r.Connector.Statement = &longer{r.paper, func(day string, may func(context.Context) error, fn func(provider.StatementLine) error) error {
				if day != c.day {
					return nil
				}
				r.SQL("UPDATE closes SET lease_expires_at = now() - interval '1 minute'") // so long has it taken by now
				for began := time.Now(); r.Count("SELECT count(*) FROM closes WHERE lease_expires_at > now() - interval '30 seconds'") == 0; {
					if time.Since(began) > 30*time.Second {
						return fmt.Errorf("the lease is not renewed while %s are read", name)
					}
					if err := c.step(t.Context(), may, fn); err != nil {
						return err
					}
				}
				renewed++
				return nil
			}}
			r.Connector.Balance = balance(func() (int64, error) { return topped - net - fee, nil })
			report := r.close(today)
			if renewed != 1 || report.Head.Matched != 1 || report.Head.Difference.Minor != 0 {
				t.Errorf("renewed %d times, %+v", renewed, report.Head)
			}
		})
	}
}
