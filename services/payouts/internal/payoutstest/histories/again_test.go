package histories

import (
	"fmt"
	"sync"
	"time"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
)

// again says what a repeated reference breaks: it may be paid twice where it is not deduplicated, and goes nowhere before the
// first request has had its time to arrive, nor on a word of the bank's that is old.
func (b *bank) again(t provider.Transfer) {
	b.land()
	if b.barred[t.Reference] {
		b.accuse("reference " + t.Reference + " is sent though everything was stopped before its claim was made")
	}
	if left := b.wait[t.Reference].Sub(b.clock.Now()); left > 0 {
		b.accuse(fmt.Sprintf("reference %s comes back %s too early", t.Reference, left))
	}
	if !b.asked[t.Reference] {
		return
	}
	x := b.transfers[t.Reference]
	switch {
	case !b.deduplicate:
		b.accuse("reference " + t.Reference + " is sent again to a bank that does not deduplicate")
	case x != nil && !x.beyond && (x.state == "flying" || b.clock.Now().Before(x.visible)):
		b.accuse("reference " + t.Reference + " is sent again before the first request has had its time")
	case b.spoken[t.Reference]:
		b.accuse("reference " + t.Reference + " is sent again though a webhook was about it, and the bank was not heard since")
	case b.clock.Now().Sub(b.denied[t.Reference]) > attempt.ResendWithin+callWithin:
		b.accuse(fmt.Sprintf("reference %s is sent again on the word of %s", t.Reference, b.denied[t.Reference]))
	case !t.Resend:
		b.accuse("reference " + t.Reference + " is sent again and not said to be")
	}
}

// forget is after a restore: what was asked for before may be asked for again, for nobody here knows of it. That nothing is paid twice by
// that stays to be shown.
func (b *bank) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.asked)
	clear(b.wait)
	clear(b.denied)
	clear(b.spoken)
	b.told = nil
	for _, x := range b.transfers {
		x.restored = true
	}
}

// callWithin is how long a claim may take to become a call.
const callWithin = time.Minute

// heard is a webhook that is stored.
func (b *bank) heard(references ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, references...)
}

// matched is after what was stored is known here: from then on what webhooks were about does not go again unheard.
func (b *bank) matched() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, reference := range b.told {
		b.spoken[reference] = true
	}
	b.told = nil
}

// bar has references accused when they come.
func (b *bank) bar(references []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, reference := range references {
		b.barred[reference] = true
	}
}

// unbar is when people let everything go again.
func (b *bank) unbar() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.barred)
}

// pardon is after people have opened the connector: what it was asked to wait for is their concern.
func (b *bank) pardon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.wait)
}

// calls are those of one replica that are open. Its part of the provider's capacity bounds them, at any moment.
type calls struct {
	mu     sync.Mutex
	most   int
	open   int
	fewer  int // as many may be open when those are called that were claimed for most
	before int // calls that may have been claimed for most
	accuse func(string)
}

// part is another one that is this replica's from now on.
func (c *calls) part(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fewer != n {
		c.fewer, c.before = n, c.most
	}
}

// whole is the end of that.
func (c *calls) whole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fewer = c.most
}

func (c *calls) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	most := c.fewer
	if c.fewer < c.most && c.before > 0 {
		c.before--
		most = c.most
	}
	if c.open > most {
		c.accuse(fmt.Sprintf("%d calls of one replica are open at once, where %d may be", c.open, most))
	}
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
}
