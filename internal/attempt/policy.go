package attempt

import (
	"slices"
	"time"
)

// Policy is how a provider's answers are waited for and judged.
type Policy struct {
	Lease        time.Duration // of one send; see NewPolicy
	Margin       time.Duration // a send's context ends this long before its lease
	Timeout      time.Duration // of one call
	QuietTime    time.Duration // how long after a send the provider may not know it yet
	LookupAfter  []time.Duration
	ReviewAfter  time.Duration
	Deduplicates bool // the provider refuses or replays a repeated reference, by contract
}

// Defaults of DESIGN 4.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultQuietTime   = 5 * time.Minute
	DefaultReviewAfter = 24 * time.Hour
)

// ResendWithin is how long what was sent, and denied by its provider since, may go again under the same reference. What a lookup says is true
// of its moment: a provider that was slow may have the transfer by now, and may have forgotten the key that would keep it from paying again.
// It is long enough for whoever waits for slots, and short beside the day for which providers remember keys. That day begins with the first send:
// see [Policy.ResendsSince].
const ResendWithin = time.Hour

// Believed is from when until when a provider must have said that it has nothing, to be believed now. What was said in the future was said by
// a clock that ran ahead, and would be believed for as much longer.
func Believed(now time.Time) (since, until time.Time) { return now.Add(-ResendWithin), now }

// KeyMemory is for how long a provider is trusted to know a reference that it has had, whatever review_after is: those that say how long
// say a day, and the others are not trusted for longer.
const KeyMemory = 24 * time.Hour

func defaultLookupAfter() []time.Duration {
	return []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}
}

// NewPolicy fills in what is absent. The lease covers the steps before the transfer (a token, a form) and the transfer
// itself; it is measured by the database, its end by this process's clock from before the transaction that took it, so the
// margin only has to cover clocks that run at different speeds.
func NewPolicy(timeout, quiet time.Duration, lookupAfter []time.Duration, review time.Duration, deduplicates bool) Policy {
	p := Policy{Timeout: timeout, QuietTime: quiet, LookupAfter: slices.Clone(lookupAfter), ReviewAfter: review, Deduplicates: deduplicates}
	if p.Timeout <= 0 {
		p.Timeout = DefaultTimeout
	}
	if p.QuietTime <= 0 {
		p.QuietTime = DefaultQuietTime
	}
	if len(p.LookupAfter) == 0 {
		p.LookupAfter = defaultLookupAfter()
	}
	slices.Sort(p.LookupAfter)
	if p.ReviewAfter <= 0 {
		p.ReviewAfter = DefaultReviewAfter
	}
	p.Lease, p.Margin = 2*p.Timeout+2*time.Second, time.Second
	return p
}

// NextLookup is the first time of the schedule after now: the given spans after the send, then every day without end.
func (p Policy) NextLookup(submitted, now time.Time) time.Time {
	const day = 24 * time.Hour
	for _, d := range p.LookupAfter {
		if at := submitted.Add(d); at.After(now) {
			return at
		}
	}
	last := submitted.Add(p.LookupAfter[len(p.LookupAfter)-1])
	return last.Add(now.Sub(last).Truncate(day) + day)
}

// AbsentCounts is from when on "not found" says anything: before, the send may still be on its way there or inside.
func (p Policy) AbsentCounts(submitted time.Time) time.Time {
	return submitted.Add(p.Lease + p.Timeout + p.QuietTime)
}

// ResendsSince is the moment since which something must have been sent for the first time to go again under its reference: what was sent before
// would reach its provider when that may have forgotten it, and is for people. A lease is kept clear of that, for so long may one send take.
func (p Policy) ResendsSince(now time.Time) time.Time {
	return now.Add(p.Lease - p.resends())
}

// resends is how long after its first send a reference may go again at all. People may be asked sooner than a provider forgets; that they are
// asked later does not make it remember.
func (p Policy) resends() time.Duration { return min(p.ReviewAfter, KeyMemory) }

// absentGap is how far apart two reads must be to count as two.
func (p Policy) absentGap() time.Duration {
	return min(max(p.QuietTime/5, time.Second), time.Minute)
}
