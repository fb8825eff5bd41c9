package dispatch_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/provider"
)

// wide makes a post with so many slots, whose provider takes a moment for each call, and tells do of it first.
func wide(t *testing.T, slots int, do func(call, open int)) *post {
	t.Helper()
	p := newPost(t)
	c, _ := p.connectors.Get(tenant, "dhl")
	c.Throttle = provider.NewThrottle(0, slots)
	var calls, open atomic.Int64
	p.answer = func(context.Context, provider.Transfer) provider.Result {
		defer open.Add(-1)
		now := open.Add(1)
		do(int(calls.Add(1)), int(now))
		<-time.After(20 * time.Millisecond)
		return provider.Result{Class: provider.Succeeded}
	}
	return p
}

// Another replica comes in the middle of a page: what this one has no share of any more is not used again with the outcomes.
func TestASmallerShareTakesEffectWithinAPage(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	var p *post
	p = wide(t, 8, func(call, open int) {
		if call == 9 {
			c, _ := p.connectors.Get(tenant, "dhl")
			c.Throttle.Share(4)
		}
		if call > 9+8 && open > 2 { // the 8 that were claimed by then may still begin
			late.Add(1)
		}
	})
	p.parcels(60, 0, "dhl")
	p.dispatch()
	if p.in("succeeded") != 60 || late.Load() != 0 || p.slots() != 0 {
		t.Errorf("%d succeeded, %d calls beside more than the share of 2, %d slots were not given back", p.in("succeeded"), late.Load(), p.slots())
	}
}

// A run of two rows does not wait for the end of a page of hundreds.
func TestASmallRunIsNotBehindALargeOne(t *testing.T) {
	t.Parallel()
	var working sync.WaitGroup
	small := uuid.New()
	var p *post
	p = wide(t, 4, func(call, _ int) {
		if call == 20 {
			working.Go(func() {
				if err := p.dispatcher.Dispatch(t.Context(), small, 1); err != nil {
					t.Error(err)
				}
			})
		}
	})
	p.parcels(200, 0, "dhl")
	p.parcels(2, 1, "dhl")
	p.sql(`INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, state, planned, version, created_at)
		SELECT $1, 'other', tenant, 'another', job, nominal_time, local_date, window_start, window_end, timezone, trigger, state, planned, version, created_at FROM runs`, small)
	p.sql("UPDATE parcels SET run_id = $1 WHERE page = 1", small)
	second := map[string]bool{} // of the second run
	rows, err := p.runs.Pool.Query(t.Context(), "SELECT id::text FROM parcels WHERE page = 1")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		second[id] = true
	}
	p.dispatch()
	working.Wait()
	last := 0
	for i, c := range p.calls {
		if second[c.Reference] {
			last = i
		}
	}
	if p.in("succeeded") != 202 || last > 40 || p.slots() != 0 {
		t.Errorf("%d succeeded, the second run was through with call %d, having come with the 20th", p.in("succeeded"), last+1)
	}
}
