package crew_test

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/agogopay/agogo/internal/crew"
)

// me is the head of the goroutine's own stack: "goroutine 7".
func me() string {
	b := make([]byte, 64)
	head, _, _ := bytes.Cut(b[:runtime.Stack(b, false)], []byte(" ["))
	return string(head)
}

// That everybody leaves the bubble shows too: it does not end before its last goroutine.
func TestWhoeverIsFreeDoesTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, who := crew.New(), map[string]int{}
		defer c.Leave()
		for range 100 { // one after the other
			c.Go(func() { who[me()]++ })
			synctest.Wait()
		}
		if len(who) != 1 || who[me()] != 0 {
			t.Errorf("done by %v", who)
		}
	})
}

func TestNobodyWaitsForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, gate := crew.New(), make(chan struct{})
		var begun, done atomic.Int64
		for range 10 {
			c.Go(func() { begun.Add(1); <-gate; done.Add(1) })
		}
		synctest.Wait()
		if begun.Load() != 10 {
			t.Errorf("%d of 10 run", begun.Load())
		}
		c.Leave() // the busy ones end what they do
		close(gate)
		synctest.Wait()
		if done.Load() != 10 {
			t.Errorf("%d of 10 were done", done.Load())
		}
	})
}
