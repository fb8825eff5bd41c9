package dispatch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
)

// A lane claims in two places: with the outcomes that it records, and for the slots that these leave. The database loses commits of the one
// while the other claims the same rows again and sends them: what is recorded as never sent must not be what was sent instead.
func TestALostClaimIsNotTakenForTheNextOne(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct {
		rate, slots, most int
		withOutcomes      bool // which claims lose their commits
	}{
		"with outcomes, by the rate":      {50, 16, 100, true},
		"with outcomes, many at once":     {0, 300, 100, true},
		"with outcomes, small claims":     {0, 4, 2, true},
		"for free slots, by the rate":     {50, 16, 100, false},
		"for free slots, many at once":    {0, 300, 100, false},
		"for free slots, in small claims": {0, 16, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			c, _ := p.connectors.Get(tenant, "dhl")
			c.Throttle = provider.NewThrottle(at.rate, at.slots)
			deps := p.dispatcher.Deps
			deps.Pool = pgtest.NewLine(t, deps.Pool).Pool
			p.dispatcher = dispatch.New(dispatch.Config{Service: "post", Item: "parcel", Owner: "clerk", ClaimMost: at.most}, deps)
			p.parcels(6*at.slots, 0, "dhl")
			p.answer = func(_ context.Context, tr provider.Transfer) provider.Result {
				spread := int(tr.Reference[0]) // not all together
				if !at.withOutcomes {
					spread %= 16 // and some while the feeder still claims
				}
				<-time.After(time.Duration(3*spread) * time.Millisecond)
				return provider.Result{Class: provider.Succeeded}
			}
			lost := p.loseCommits(5, at.withOutcomes)
			p.whileTimePasses(func() {
				for p.in("succeeded") < 6*at.slots && t.Context().Err() == nil { // a claim that is lost may end the work on the page
					if err := p.dispatcher.Dispatch(t.Context(), p.run, 0); err != nil && !pg.Transient(err) {
						t.Error(err)
					}
				}
			})
			sent := map[string]int{}
			for _, c := range p.calls {
				if sent[c.Reference]++; sent[c.Reference] == 2 {
					t.Errorf("%s was sent twice", c.Reference)
				}
			}
			if lost() == 0 {
				t.Error("no commit was lost: the case tests nothing")
			}
			if len(sent) != 6*at.slots || p.in("succeeded") != len(sent) || p.slots() != 0 {
				t.Errorf("%d of %d sent, %d succeeded, %d slots were not given back", len(sent), 6*at.slots, p.in("succeeded"), p.slots())
			}
		})
	}
}

// loseCommits loses the next claims in their commits, and tells how many it has lost. Of the feeder's claims it loses each second one: when
// the first one is lost there is nothing under way that somebody else could claim with.
func (p *post) loseCommits(most int, withOutcomes bool) (lost func() int) {
	var mu sync.Mutex
	recorded, seen, n := map[pgx.Tx]bool{}, 0, 0
	p.saw = func(step string, tx pgx.Tx) {
		mu.Lock()
		defer mu.Unlock()
		if step == "recorded" {
			recorded[tx] = true
			return
		}
		if step != "begun" || recorded[tx] != withOutcomes || n == most {
			return
		}
		if seen++; withOutcomes || seen%2 == 0 {
			n++
			pgtest.Lose(tx, false)
		}
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}
