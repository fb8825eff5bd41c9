// Package calls counts what came of every call.
package calls

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// Count is how often an operation had an outcome.
type Count struct {
	Provider  string `json:"provider"`
	Operation string `json:"operation"`
	Outcome   string `json:"outcome"`
	Calls     int64  `json:"calls"`
}

type key struct{ provider, operation, outcome string }

// Counter counts; the zero value is ready.
type Counter struct {
	counts sync.Map // key → *atomic.Int64
}

// Add counts one call.
func (c *Counter) Add(provider, operation, outcome string) {
	k := key{provider, operation, outcome}
	n, ok := c.counts.Load(k)
	if !ok {
		n, _ = c.counts.LoadOrStore(k, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

// All are the counts in the order of their words.
func (c *Counter) All() []Count {
	counts := []Count{}
	c.counts.Range(func(k, n any) bool {
		key := k.(key)
		counts = append(counts, Count{key.provider, key.operation, key.outcome, n.(*atomic.Int64).Load()})
		return true
	})
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Outcome, b.Outcome))
	})
	return counts
}

// Clear forgets all counts.
func (c *Counter) Clear() { c.counts.Clear() }
