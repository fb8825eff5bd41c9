package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/notifier/internal/consumer"
)

// hanging is a pool of a database that takes no connection and refuses none.
func hanging(t *testing.T) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig("postgres://nobody@192.0.2.1/nothing?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// With the service's own figures, and a database that hangs: as many events as its loops handle at once, again and again. The transaction
// ends before any handler's time does: one that gives up before could give up on what is then told.
func TestHandlersHaveTimeForTwoTransactions(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]func(i int) time.Duration{
		"at all times of a transaction": func(i int) time.Duration { return time.Duration(i) * 19 * time.Millisecond },
		"all during the first one's":    func(i int) time.Duration { return min(time.Duration(i), 1) * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			synctest.Test(t, func(t *testing.T) { handlersHaveTime(t, b, comes) })
		})
	}
}

func handlersHaveTime(t *testing.T, b *bundle, comes func(i int) time.Duration) {
	t.Helper()
	st := *b.store
	st.Pool = hanging(t)
	b.deps.Store = &st
	c := consumer.New(consumer.Config{Durable: stream.Notifier, Pushes: true}, b.deps)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	events, replays := stream.Consumer(stream.Notifier), stream.Consumer(stream.NotifierExec)
	var wg sync.WaitGroup
	for i := range events.Workers + replays.Workers {
		m := message(t, "payout.succeeded", fmt.Sprintf("P%d", i), 4, 0, payout(i, nil))
		wg.Go(func() {
			time.Sleep(comes(i)) // the bubble's time
			for range 4 {
				ctx, cancel := context.WithTimeout(t.Context(), events.Handling())
				err := c.Handle(ctx, m)
				if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("event %d: the handler's time was over: %v; %v", i, ctx.Err() != nil, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
