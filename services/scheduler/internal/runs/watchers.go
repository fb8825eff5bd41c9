package runs

import "sync"

// Watchers wakes those who watch a tick's run. It only knows what this process handled: a watcher must also look for
// itself now and then.
type Watchers struct {
	mu     sync.Mutex
	byTick map[string]map[chan struct{}]struct{}
}

// NewWatchers makes an empty set.
func NewWatchers() *Watchers {
	return &Watchers{byTick: map[string]map[chan struct{}]struct{}{}}
}

// Watch returns a channel that receives after changes of the tick's run; several changes may arrive as one. stop must be
// called.
func (w *Watchers) Watch(tickID string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byTick[tickID] == nil {
		w.byTick[tickID] = map[chan struct{}]struct{}{}
	}
	w.byTick[tickID][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byTick[tickID], c)
		if len(w.byTick[tickID]) == 0 {
			delete(w.byTick, tickID)
		}
	}
}

// Changed wakes the watchers of a tick's run. It never waits for them.
func (w *Watchers) Changed(tickID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byTick[tickID] {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last change
		}
	}
}
