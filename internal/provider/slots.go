package provider

import (
	"context"
	"time"
)

// Part is what one of those who send through a connector at once has of its slots. While several wait they come to equal parts:
// whoever has the fewest is first, and gives way when it has its portion. A part that nobody else waits beside has all.
type Part struct {
	t *Throttle

	// All of them are under the throttle's lock.
	held  int
	waits bool
	turn  uint64 // of its last grant: where there are fewer slots than parts they take turns
}

// Part makes a part that holds nothing.
func (t *Throttle) Part() *Part { return &Part{t: t} }

// gather is how long a free slot waits for others: they come back a few at a time, and what is done with them costs less
// for many at once. Providers take longer than this to answer.
const gather = 5 * time.Millisecond

// Slots takes up to most free slots. It waits until there is at least one for this part, and a moment for half of all to be free.
// One call at a time.
func (p *Part) Slots(ctx context.Context, most int) (int, error) {
	p.wait(true)
	defer p.wait(false)
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

// wait says whether the part waits: those behind it may be first when it does not any more.
func (p *Part) wait(waits bool) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.waits = waits
	p.count()
	if !waits {
		p.t.wake()
	}
}

// take takes what is free for this part, if that is worth a transaction or has been waited for, and otherwise returns what changes it.
func (p *Part) take(most int, waited bool) (free int, granted bool, changed <-chan struct{}) {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	free, enough := p.free(most)
	if granted = free > 0 && (waited || free >= enough); granted {
		t.turns++
		t.used, p.held, p.turn = t.used+free, p.held+free, t.turns
	}
	return free, granted, t.changed
}

// free is how many slots the part may take now, and how many are worth not waiting for more.
func (p *Part) free(most int) (n, enough int) {
	t := p.t
	n, enough = min(most, t.share-t.used), min(most, (t.share+1)/2)
	for q := range t.parts {
		if q != p && q.waits && (q.held < p.held || q.held == p.held && q.turn < p.turn) {
			return 0, enough
		}
	}
	if p.crowded() {
		portion := max(1, p.portion()-p.held)
		n, enough = min(n, portion), min(enough, portion)
	}
	return n, enough
}

// portion is an equal part of the slots. It is 0 where there are more parts than slots.
func (p *Part) portion() int { return p.t.share / max(1, len(p.t.parts)) }

// crowded reports whether somebody else waits who has less than an equal part.
func (p *Part) crowded() bool {
	for q := range p.t.parts {
		if q != p && q.waits && q.held < max(1, p.portion()) {
			return true
		}
	}
	return false
}

// Keep returns how many of n slots of the part, which are about to be given back, it may use again instead. They stay taken. It is not
// all of them when the process's share has become smaller, or when somebody waits who has less than its portion.
func (p *Part) Keep(n int) int {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := min(n, t.share-(t.used-n))
	if p.crowded() {
		keep = min(keep, p.portion()-(p.held-n))
	}
	return max(0, keep)
}

// Free gives n slots back.
func (p *Part) Free(n int) {
	if n == 0 {
		return
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.t.used -= n
	p.held -= n
	p.count()
	p.t.wake()
}

// count keeps the part among those that share the slots while it holds some or waits.
func (p *Part) count() {
	if p.held > 0 || p.waits {
		p.t.parts[p] = struct{}{}
	} else {
		delete(p.t.parts, p)
	}
}
