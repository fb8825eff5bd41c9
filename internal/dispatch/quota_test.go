package dispatch

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
)

func TestQuotaKeepsATenantsMillionFromAnothersTen(t *testing.T) {
	t.Parallel()
	q, run := newQuota(2), uuid.New()
	for page := range 2 {
		if !q.enter("large", job{run, page}) {
			t.Fatalf("page %d has no place", page)
		}
	}
	for page := 2; page < 1000; page++ {
		if q.enter("large", job{run, page}) {
			t.Fatalf("page %d works beside two others", page)
		}
	}
	if !q.enter("small", job{run, 0}) {
		t.Error("another tenant's page waits for this one's")
	}
	q.enter("large", job{run, 2}) // a repeated command is not worked on twice
	for page := 2; page < 1000; page++ {
		if j, ok := q.next("large", job{run, page - 2}); !ok || j.page != page {
			t.Fatalf("page %d is followed by %v, %v", page-2, j, ok)
		}
	}
	for page := 998; page < 1000; page++ {
		if j, ok := q.next("large", job{run, page}); ok {
			t.Fatalf("page %d comes twice", j.page)
		}
	}
	if !q.enter("large", job{run, 5}) {
		t.Error("a place was not given back")
	}
}

// Whatever comes and goes at once, no page that was turned away is forgotten.
func TestQuotaLosesNoPage(t *testing.T) {
	t.Parallel()
	const pages = 2000
	q, run := newQuota(3), uuid.New()
	var seen [pages]atomic.Bool
	var working, most atomic.Int64
	var wg sync.WaitGroup
	for page := range pages {
		wg.Go(func() {
			j := job{run, page}
			if !q.enter("t", j) {
				return
			}
			n := working.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			for ok := true; ok; {
				seen[j.page].Store(true)
				// The place is given back inside next: count it free before.
				working.Add(-1)
				if j, ok = q.next("t", j); ok {
					working.Add(1)
				}
			}
		})
	}
	wg.Wait()
	for page := range seen {
		if !seen[page].Load() {
			t.Fatalf("page %d was forgotten", page)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d pages were worked on at once", most.Load())
	}
}

// A page that is being worked on is not begun a second time beside it, by whatever command; it is looked at once more after.
func TestQuotaWorksOnAPageOnceAtATime(t *testing.T) {
	t.Parallel()
	q, run := newQuota(3), uuid.New()
	a, b := job{run, 1}, job{run, 2}
	if !q.enter("t", a) || !q.enter("t", b) {
		t.Fatal("there are places")
	}
	for range 3 {
		if q.enter("t", a) {
			t.Fatal("a page is worked on twice at once")
		}
	}
	if j, ok := q.next("t", b); ok {
		t.Fatalf("page %d is taken from the worker that has it", j.page)
	}
	if j, ok := q.next("t", a); !ok || j != a {
		t.Fatalf("a command that came during the work is forgotten: %v, %v", j, ok)
	}
	if j, ok := q.next("t", a); ok {
		t.Fatalf("page %d comes a third time", j.page)
	}
	q.enter("t", a)
	q.leave("t", a)
	if !q.enter("t", a) {
		t.Error("a failed page cannot be worked on any more")
	}
}
