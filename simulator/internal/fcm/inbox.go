package fcm

import (
	"sync"
	"time"
)

// Push is a message that a device received.
type Push struct {
	Token       string            `json:"token,omitempty"`
	Topic       string            `json:"topic,omitempty"`
	Condition   string            `json:"condition,omitempty"`
	Title       string            `json:"title,omitempty"`
	Body        string            `json:"body,omitempty"`
	Data        map[string]string `json:"data,omitempty"`
	CollapseKey string            `json:"collapse_key,omitempty"`
	At          time.Time         `json:"at"`
}

// kept is how many pushes are remembered; older ones are only counted.
const kept = 100_000

// Inbox is what all devices received, in order of arrival.
type Inbox struct {
	mu    sync.Mutex
	ring  []Push
	total int
}

func newInbox() *Inbox { return &Inbox{} }

func (i *Inbox) add(p Push) (number int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.ring) < kept {
		i.ring = append(i.ring, p)
	} else {
		i.ring[i.total%kept] = p
	}
	i.total++
	return i.total
}

// All are the pushes that are remembered, oldest first, and how many there ever were.
func (i *Inbox) All() (pushes []Push, total int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	pushes = make([]Push, 0, len(i.ring))
	if i.total > len(i.ring) {
		oldest := i.total % kept
		pushes = append(pushes, i.ring[oldest:]...)
		return append(pushes, i.ring[:oldest]...), i.total
	}
	return append(pushes, i.ring...), i.total
}

// Clear forgets everything.
func (i *Inbox) Clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ring, i.total = nil, 0
}
