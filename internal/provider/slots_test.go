package provider

import (
	"context"
	"testing"
	"testing/synctest"
)

// takers are parts of one throttle that wait for slots.
type takers struct {
	t   *testing.T
	got chan taken
}

type taken struct {
	who Part
	n   int
}

// wait has parts ask for slots, and returns when all of them wait or have some.
func (k takers) wait(parts ...Part) {
	for _, p := range parts {
		go func() {
			n, err := p.Slots(k.t.Context(), 100)
			if err == nil {
				k.got <- taken{p, n}
			}
		}()
		synctest.Wait()
	}
}

func (k takers) next() taken {
	k.t.Helper()
	synctest.Wait()
	return <-k.got
}

func slots(t *testing.T, p Part) {
	t.Helper()
	if _, err := p.Slots(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
}

// Whoever came first has all slots, and comes down to its portion as these come back while another waits.
func TestASecondPartGetsItsPortion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(0, 8)
		a, b, k := th.Part("a"), th.Part("b"), takers{t, make(chan taken, 8)}
		slots(t, a)
		if n := a.Keep(3); th.InUse() != 8 || n != 3 {
			t.Fatalf("alone it has %d of 8 and keeps %d of 3", th.InUse(), n)
		}
		k.wait(a)
		if n := a.Keep(3); n != 3 {
			t.Errorf("keeps %d of 3 while it waits for more itself", n)
		}
		k.wait(b)
		if n := a.Keep(3); n != 0 {
			t.Errorf("keeps %d of 3 slots beyond its portion", n)
		}
		a.Free(3)
		if got := k.next(); got != (taken{b, 3}) {
			t.Fatalf("%d slots went to b: %v", got.n, got.who == b)
		}
		k.wait(b)
		if n := a.Keep(5); n != 4 {
			t.Errorf("keeps %d of 5, half of all is 4", n)
		}
		a.Free(1)
		if got := k.next(); got != (taken{b, 1}) {
			t.Fatalf("%d slots went to b: %v", got.n, got.who == b)
		}
		k.wait(b)
		if n, m := a.Keep(4), b.Keep(2); n != 4 || m != 2 {
			t.Errorf("with equal parts they keep %d of 4 and %d of 2", n, m)
		}
	})
}

// Where there are fewer slots than parts they go round.
func TestOneSlotGoesRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(0, 1)
		parts := []Part{th.Part("a"), th.Part("b"), th.Part("c")}
		k := takers{t, make(chan taken, 8)}
		k.wait(parts...)
		served := map[Part]int{}
		for range 9 {
			got := k.next()
			served[got.who]++
			k.wait(got.who)
			if n := got.who.Keep(1); n != 0 {
				t.Fatal("the only slot is kept while others wait")
			}
			got.who.Free(1)
		}
		for _, p := range parts {
			if served[p] != 3 {
				t.Errorf("a part was served %d times of 9", served[p])
			}
		}
	})
}

// Nobody keeps slots that the process has no share of any more.
func TestASmallerShareIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(0, 8)
		a := th.Part("a")
		slots(t, a)
		th.Share(4)
		for _, back := range []struct{ n, kept int }{{3, 0}, {3, 0}, {1, 1}, {2, 2}} {
			if n := a.Keep(back.n); n != back.kept {
				t.Errorf("%d of %d are kept with %d in use and a share of 2", n, back.n, th.InUse())
			}
			a.Free(back.n - back.kept)
		}
	})
}

// One that gives up waiting stands in nobody's way.
func TestAPartThatGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(0, 2)
		a, b, k := th.Part("a"), th.Part("b"), takers{t, make(chan taken, 8)}
		slots(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = b.Slots(ctx, 100) }()
		synctest.Wait()
		k.wait(a)
		cancel()
		synctest.Wait()
		if n := a.Keep(2); n != 2 || len(th.parts) != 1 {
			t.Errorf("keeps %d of 2 beside %d that do not wait", n, len(th.parts)-1)
		}
		a.Free(1)
		if got := k.next(); got != (taken{a, 1}) {
			t.Errorf("got %d", got.n)
		}
	})
}
