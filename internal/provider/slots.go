package provider

import (
	"context"
	"time"
)

// Part is what one of those who send through a connector at once has of its slots, whatever it is called by: all lanes of a run have
// one part, for nothing is gained by which of them is first, and a few large transactions cost less than many small ones. While several
// wait they come to equal parts: whoever has the fewest is first, and gives way when it has its portion. A part that nobody else waits
// beside has all.
type Part struct {
	t  *Throttle
	of string
}

// part is what a Part has, under the throttle's lock.
type part struct {
	held, waits int
	turn        uint64 // of its last grant: where there are fewer slots than parts they take turns
}

// Part is the part of one of them.
func (t *Throttle) Part(of string) Part { return Part{t, of} }

// gather is how long a free slot waits for others: they come back a few at a time, and what is done with them costs less
// for many at once. Providers take longer than this to answer.
const gather = 5 * time.Millisecond

// Slots takes up to most free slots. It waits until there is at least one for this part, and a moment for half of all to be free.
func (p Part) Slots(ctx context.Context, most int) (int, error) {
	p.wait(1)
	defer p.wait(-1)
	var lull <-chan time.Time
	waited := false
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		free, granted, changed := p.take(most, waited)
		if granted {
			return free, nil
		}
		if free > 0 && lull == nil {
			timer := time.NewTimer(gather)
			defer timer.Stop()
			lull = timer.C
		}
		select {
		case <-changed:
		case <-lull:
			waited = true
		case <-ctx.Done():
		}
	}
}

// wait counts who waits for the part: those behind it may be first when nobody does any more.
func (p Part) wait(more int) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.change(0, more)
	if more < 0 {
		p.t.wake()
	}
}

// take takes what is free for this part, if that is worth a transaction or has been waited for, and otherwise returns what changes it.
func (p Part) take(most int, waited bool) (free int, granted bool, changed <-chan struct{}) {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	free, enough := p.free(most)
	if granted = free > 0 && (waited || free >= enough); granted {
		t.turns++
		t.parts[p.of].turn = t.turns
		p.change(free, 0)
	}
	return free, granted, t.changed
}

// free is how many slots the part may take now, and how many are worth not waiting for more.
func (p Part) free(most int) (n, enough int) {
	t, mine := p.t, p.t.parts[p.of]
	n, enough = min(most, t.share-t.used), min(most, (t.share+1)/2)
	for _, q := range t.parts {
		if q != mine && q.waits > 0 && (q.held < mine.held || q.held == mine.held && q.turn < mine.turn) {
			return 0, enough
		}
	}
	if p.crowded() {
		portion := max(1, t.portion()-mine.held)
		n, enough = min(n, portion), min(enough, portion)
	}
	return n, enough
}

// portion is an equal part of the slots. It is 0 where there are more parts than slots.
func (t *Throttle) portion() int { return t.share / max(1, len(t.parts)) }

// crowded reports whether somebody else waits who has less than an equal part.
func (p Part) crowded() bool {
	for of, q := range p.t.parts {
		if of != p.of && q.waits > 0 && q.held < max(1, p.t.portion()) {
			return true
		}
	}
	return false
}

// Keep returns how many of n slots of the part, which are about to be given back, it may use again instead. They stay taken. It is not
// all of them when the process's share has become smaller, or when somebody waits who has less than its portion.
func (p Part) Keep(n int) int {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parts[p.of] == nil {
		return 0
	}
	keep := min(n, t.share-(t.used-n))
	if p.crowded() {
		keep = min(keep, t.portion()-(t.parts[p.of].held-n))
	}
	return max(0, keep)
}

// Free gives n slots back.
func (p Part) Free(n int) {
	if n == 0 {
		return
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.change(-n, 0)
	p.t.wake()
}

// change keeps the part among those that share the slots while it holds some or somebody waits for it.
func (p Part) change(held, waits int) {
	mine := p.t.parts[p.of]
	if mine == nil {
		mine = &part{}
		p.t.parts[p.of] = mine
	}
	p.t.used, mine.held, mine.waits = p.t.used+held, mine.held+held, mine.waits+waits
	if mine.held == 0 && mine.waits == 0 {
		delete(p.t.parts, p.of)
	}
}
