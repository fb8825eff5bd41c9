package dispatch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
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
			p.dispatcher = dispatch.New(dispatch.Config{Service: "post", Item: "parcel", Owner: "clerk", ClaimMost: at.most}, p.dispatcher.Deps)
			p.parcels(6*at.slots, 0, "dhl")
			p.answer = func(_ context.Context, tr provider.Transfer) provider.Result {
				<-time.After(time.Duration(20+3*int(tr.Reference[0])) * time.Millisecond) // not all together
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

// loseCommits ends the connections of the next claims right before they commit, and tells how many it has ended.
func (p *post) loseCommits(most int, withOutcomes bool) (lost func() int) {
	var mu sync.Mutex
	recorded, n := map[pgx.Tx]bool{}, 0
	p.saw = func(step string, tx pgx.Tx) {
		mu.Lock()
		defer mu.Unlock()
		if step == "recorded" {
			recorded[tx] = true
			return
		}
		if step != "begun" || recorded[tx] != withOutcomes || len(recorded) == 0 || n == most {
			return
		}
		n++
		pid := int(tx.Conn().PgConn().PID())
		p.sql("SELECT pg_terminate_backend($1::int)", pid)
		for p.count("SELECT count(*) FROM pg_stat_activity WHERE pid = $1::int", pid) > 0 {
			<-time.After(time.Millisecond)
		}
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}
