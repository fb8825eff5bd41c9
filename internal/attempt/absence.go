package attempt

import "time"

// Absence is how far it is proven that a provider does not know a reference of which there is no attempt.
type Absence struct {
	Reads int        // in a row, and late enough to count
	First *time.Time // of them
}

// Read counts a read that found nothing. sent is the last moment at which the reference may have been sent; next is from when on
// another read says more. It is proven as that of an attempt is: late enough, and twice.
func (b Absence) Read(p Policy, sent, now time.Time) (after Absence, next time.Time, proven bool) {
	if counts := p.AbsentCounts(sent); now.Before(counts) {
		return b, counts, false
	}
	after.Reads, after.First, next = absentRead(Attempt{AbsentReads: b.Reads, FirstAbsentAt: b.First}, p, now)
	return after, next, after.Reads >= absentReadsToProve
}
