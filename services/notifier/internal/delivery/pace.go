package delivery

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/services/notifier/internal/channel"
)

// probes is how many pushes ask a service that took nothing whether it is back.
const probes = 10

// pace gives a service that takes nothing a rest that grows, and then asks with a few pushes first.
type pace struct {
	clock clock.Clock

	mu     sync.Mutex
	until  time.Time
	faults int // batches in a row of which nothing came through
}

// size is how many pushes may be sent now.
func (p *pace) size(batch int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.clock.Now().Before(p.until):
		return 0
	case p.faults > 0:
		return min(probes, batch)
	default:
		return batch
	}
}

// after learns from a batch. An answer about a token or a message shows that the service works; one that asks to wait is
// obeyed. The result is the service's code while it takes nothing, else "".
func (p *pace) after(results []channel.Result) (fault string) {
	if len(results) == 0 {
		return ""
	}
	works := false
	var wait time.Duration
	for _, r := range results {
		switch r.Outcome {
		case channel.Later, channel.Refused:
			wait, fault = max(wait, r.After), r.Code
		default:
			works = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if works {
		p.faults, fault = 0, ""
	} else {
		p.faults++
		wait = max(wait, rest(p.faults))
	}
	if until := p.clock.Now().Add(wait); wait > 0 && until.After(p.until) {
		p.until = until
	}
	return fault
}

// rest grows from one second to one minute.
func rest(faults int) time.Duration {
	return jitter(min(time.Second<<min(faults-1, 6), time.Minute))
}

// backoff of one push grows from five seconds to ten minutes with its tries.
func backoff(tries int) time.Duration {
	return jitter(min(5*time.Second<<min(max(tries-1, 0), 7), 10*time.Minute))
}

// jitter keeps a crowd from coming back as one.
func jitter(d time.Duration) time.Duration { return d - d/8 + rand.N(d/4+1) }
