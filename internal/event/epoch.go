package event

import "sync/atomic"

// Epoch counts how often a service's tables were restored from a backup. All parts of a process share one, for it rises while they
// run: when people mark a restore. The nil Epoch is of a service that never was.
type Epoch struct{ n atomic.Int64 }

// EpochAt is an epoch that stands at n.
func EpochAt(n int) *Epoch {
	e := &Epoch{}
	e.RiseTo(n)
	return e
}

// Now is the epoch at this moment.
func (e *Epoch) Now() int {
	if e == nil {
		return 0
	}
	return int(e.n.Load())
}

// RiseTo raises the epoch; it never goes back.
func (e *Epoch) RiseTo(n int) {
	for {
		old := e.n.Load()
		if int64(n) <= old || e.n.CompareAndSwap(old, int64(n)) {
			return
		}
	}
}
