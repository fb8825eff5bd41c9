// Package crew runs functions on goroutines that stay for the next one. Whoever calls into net/http or a handler on a new goroutine
// grows its stack several times on the way, and copies it each time; a goroutine that stays has done so once.
package crew

// Crew is as many goroutines as were busy at once so far.
type Crew struct{ jobs chan func() }

// New makes a crew without anybody.
func New() *Crew { return &Crew{jobs: make(chan func())} }

// Go runs f on a goroutine that has nothing to do, or on a new one when there is none. It never waits.
func (c *Crew) Go(f func()) {
	select {
	case c.jobs <- f:
	default:
		go c.work(f)
	}
}

func (c *Crew) work(f func()) {
	for ok := true; ok; f, ok = <-c.jobs {
		f()
	}
}

// Leave lets everybody go, the busy ones when they are done. After it Go must not be called.
func (c *Crew) Leave() { close(c.jobs) }
