package webhook

import (
	"context"
	"sync"
	"time"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/webhook/db"
)

// entry is a webhook that waits for being stored.
type entry struct {
	tenant, provider string
	digest           [32]byte
	body             []byte
	refs             []string

	outcome string
	err     error
	done    chan struct{}
}

// group stores together what arrives within a moment: a provider that calls back about every transfer of an evening would
// otherwise cost a commit for each.
type group struct {
	flush func(ctx context.Context, batch []*entry) error

	mu      sync.Mutex
	waiting []*entry
	storing bool
}

const (
	insertMost   = 200
	storeAfter   = 5 * time.Millisecond
	insertWithin = 5 * time.Second // what providers grant; beyond it nobody waits for the answer

	repeatsWithin = time.Minute // the same bytes within it are looked at when it is over
)

// add returns when the entry is committed, or that it is not.
func (g *group) add(ctx context.Context, e *entry) (outcome string, err error) {
	e.done = make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, e)
	if !g.storing {
		g.storing = true
		// It does not end with the request that happens to begin it.
		time.AfterFunc(storeAfter, func() { g.store(context.WithoutCancel(ctx)) })
	}
	g.mu.Unlock()
	<-e.done
	return e.outcome, e.err
}

// store works until nothing waits. What came while a batch was stored waits for others as the first ones did, unless it is a batch
// already: by itself it would be a few each time.
func (g *group) store(ctx context.Context) {
	for {
		g.mu.Lock()
		batch := g.waiting[:min(len(g.waiting), insertMost)]
		g.waiting = g.waiting[len(batch):]
		if len(batch) == 0 {
			g.storing, g.waiting = false, nil
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.settle(ctx, batch)
		g.mu.Lock()
		full := len(g.waiting) >= insertMost
		g.mu.Unlock()
		if !full {
			time.AfterFunc(storeAfter, func() { g.store(ctx) })
			return
		}
	}
}

// settle stores a batch, or, if that fails for a reason that time does not cure, each entry alone, so that a defective one
// costs nothing but itself.
func (g *group) settle(ctx context.Context, batch []*entry) {
	within, cancel := context.WithTimeout(ctx, insertWithin)
	err := g.flush(within, batch)
	cancel()
	if err != nil && len(batch) > 1 && !pg.Transient(err) {
		for i := range batch {
			g.settle(ctx, batch[i:i+1])
		}
		return
	}
	for _, e := range batch {
		e.err = err
		close(e.done)
	}
}

// insert stores a batch in one statement and notes what was there already.
func (r *Receiver) insert(ctx context.Context, batch []*entry) error {
	now := r.Clock.Now()
	p := db.InsertWebhooksParams{Now: now, RepeatsWithinSeconds: repeatsWithin.Seconds()}
	for _, e := range batch {
		p.Tenants, p.Providers = append(p.Tenants, e.tenant), append(p.Providers, e.provider)
		p.Digests, p.Bodies = append(p.Digests, e.digest[:]), append(p.Bodies, e.body)
		for _, ref := range e.refs {
			p.Refs, p.Places = append(p.Refs, ref), append(p.Places, int32(len(p.Digests)))
		}
	}
	digests, err := db.New(r.Pool).InsertWebhooks(ctx, p)
	if err != nil {
		return err
	}
	fresh := make(map[[32]byte]int, len(digests))
	for _, d := range digests {
		fresh[[32]byte(d)]++
	}
	for _, e := range batch {
		e.outcome = "duplicate"
		if fresh[e.digest] > 0 { // 0: the same bytes again, in this batch too
			e.outcome = "stored"
			fresh[e.digest]--
		}
	}
	return nil
}
