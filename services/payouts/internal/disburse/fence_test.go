package disburse_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// cutConn loses one commit: the server never sees it and rolls back, and this side learns of it late.
type cutConn struct {
	net.Conn
	armed *atomic.Bool
	cut   func()
}

func (c *cutConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("commit")) && c.armed.CompareAndSwap(true, false) {
		_ = c.Close()
		c.cut()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: errors.New("connection reset by peer")}
	}
	return c.Conn.Write(b)
}

// losingCommit is a pool whose next commit is lost once armed.
func losingCommit(t *testing.T, e *sending.Env, armed *atomic.Bool, cut func()) *pgxpool.Pool {
	t.Helper()
	c := e.Pool.Config()
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cutConn{conn, armed, cut}, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Promise 1. Two lanes of one process have claimed the same payouts one after the other, for the first one's commit was lost
// and rolled back. What the first one then says, "not committed, never sent", does not close the second one's sends.
func TestALostClaimDoesNotUndoTheSendsOfAnotherLane(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(10)
	var armed atomic.Bool
	lost, atProvider := make(chan struct{}), make(chan struct{}, 1000)
	pool := losingCommit(t, e, &armed, func() {
		close(lost)
		for range 2 { // until the other lane's calls have reached the provider
			select {
			case <-atProvider:
			case <-time.After(20 * time.Second):
			}
		}
	})
	var mu sync.Mutex
	sent, again := map[string]int{}, make(chan struct{}, 1000)
	slowly := sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		mu.Lock()
		sent[tr.Reference]++
		n, first := sent[tr.Reference], len(sent) <= 2
		mu.Unlock()
		res := real.Submit(ctx, tr)
		atProvider <- struct{}{}
		switch {
		case n > 1:
			again <- struct{}{}
		case first:
			select {
			case <-again:
			case <-time.After(3 * time.Second): // long enough for the first lane to speak, and to send again
			}
		}
		return res
	}}
	a, b := e.Sender(slowly), e.Sender(slowly)
	b.Owner = a.Owner // the same process
	for _, s := range []*sending.Sender{a, b} {
		s.Pool, s.ClaimMost = pool, 2
	}
	armed.Store(true)
	e.Moving(func() {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { t.Log("the lane whose commit was lost:", a.Dispatch(e.Ctx(), run, 0)) })
		select {
		case <-lost:
		case <-time.After(20 * time.Second):
			t.Error("no commit was lost")
		}
		wg.Go(func() { t.Log("the other lane:", b.Dispatch(e.Ctx(), run, 0)) })
	})
	for reference, n := range sent {
		if n > 1 {
			t.Errorf("%s was sent %d times", reference, n)
		}
	}
	for reference, entry := range e.Book() {
		if entry.Moved > 1 {
			t.Errorf("%s moved money %d times", reference, entry.Moved)
		}
	}
	e.Dispatch(e.Sender(), run)
	want(t, e, map[string]int64{"succeeded": 10})
	e.Check()
}

// However many commands there are for a page, one process works on it once at a time.
func TestAPageIsWorkedOnOnceAtATime(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	run := e.Plan(8)
	entered, over := make(chan struct{}, 100), make(chan struct{})
	s := e.Sender(sending.Hooks{Before: func(context.Context, provider.Transfer) {
		entered <- struct{}{}
		<-over
	}})
	first := make(chan error, 1)
	go func() { first <- s.Dispatch(e.Ctx(), run, 0) }()
	await(t, e, entered)
	returned := make(chan error, 1)
	go func() { returned <- s.Dispatch(e.Ctx(), run, 0) }()
	select {
	case err := <-returned:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a second command works on the page beside the first")
	}
	close(over)
	if err := awaitError(t, e, first); err != nil {
		t.Fatal(err)
	}
	want(t, e, map[string]int64{"succeeded": 8})
	e.Check()
}
