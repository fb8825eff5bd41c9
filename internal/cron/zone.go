package cron

import (
	"iter"
	"time"
)

// span is a stretch of time in which a zone keeps one offset from UTC.
type span struct {
	start, end time.Time     // [start, end); zero: without that bound
	offset     time.Duration // wall time minus UTC
	before     time.Duration // the offset until start
}

func spanAt(t time.Time, loc *time.Location) span {
	local := t.In(loc)
	s := span{offset: offset(local)}
	s.start, s.end = local.ZoneBounds()
	s.before = s.offset
	if !s.start.IsZero() {
		s.before = offset(s.start.Add(-1))
	}
	return s
}

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// wall is what a clock shows at t if it keeps the offset.
func wall(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }

// Next is the first nominal time after a moment, in UTC, with the expression read in loc. It is zero when there is none
// within 41 years.
//
// An expression whose hour field has a wildcard or a step runs by absolute time: at every instant whose wall time matches,
// so "0 * * * *" fires 25 times on a day of 25 hours and 23 times on one of 23. Any other one runs at each of its times
// once per local day: a time that a shift of the clocks skips runs at the first instant after the gap, a time that comes
// twice runs the first time only. A date that a zone left out altogether has no times.
func (e Expression) Next(after time.Time, loc *time.Location) time.Time {
	if e.IsZero() {
		return time.Time{}
	}
	limit := after.AddDate(horizonYears, 0, 0)
	from := after.Add(1)
	for s := spanAt(from, loc); ; s = spanAt(s.end, loc) {
		if s.start.After(after) && e.firesForGap(s) {
			return s.start.UTC()
		}
		low, high := wall(maxTime(from, s.start), s.offset), wall(limit, s.offset)
		if !s.end.IsZero() && s.end.Before(limit) {
			high = wall(s.end, s.offset)
		}
		if w, ok := e.wallAtOrAfter(maxTime(low, e.repeatedUntil(s)), high); ok {
			return w.Add(-s.offset)
		}
		if s.end.IsZero() || !s.end.Before(limit) {
			return time.Time{}
		}
	}
}

// Prev is the last nominal time before a moment, or zero when there is none within 41 years.
func (e Expression) Prev(before time.Time, loc *time.Location) time.Time {
	if e.IsZero() {
		return time.Time{}
	}
	limit := before.AddDate(-horizonYears, 0, 0)
	for s := spanAt(before.Add(-1), loc); ; s = spanAt(s.start.Add(-1), loc) {
		low, high := wall(maxTime(limit, s.start), s.offset), wall(before, s.offset)
		if !s.end.IsZero() && s.end.Before(before) {
			high = wall(s.end, s.offset)
		}
		if w, ok := e.wallBefore(high, maxTime(low, e.repeatedUntil(s))); ok {
			return w.Add(-s.offset)
		}
		if s.start.Before(before) && e.firesForGap(s) {
			return s.start.UTC()
		}
		if s.start.IsZero() || !s.start.After(limit) {
			return time.Time{}
		}
	}
}

// Contains reports whether t is a nominal time.
func (e Expression) Contains(t time.Time, loc *time.Location) bool {
	return e.Next(t.Add(-1), loc).Equal(t)
}

// Between yields the nominal times in (from, to], in order.
func (e Expression) Between(from, to time.Time, loc *time.Location) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for t := e.Next(from, loc); !t.IsZero() && !t.After(to); t = e.Next(t, loc) {
			if !yield(t) {
				return
			}
		}
	}
}

// repeatedUntil is the wall time until which the span's beginning repeats wall times of the one before it, for expressions
// that run once per local time.
func (e Expression) repeatedUntil(s span) time.Time {
	if e.absolute || s.before <= s.offset {
		return time.Time{}
	}
	return wall(s.start, s.before)
}

// firesForGap reports whether a time that the shift at the span's start skipped is made up for at that start.
func (e Expression) firesForGap(s span) bool {
	if e.absolute || s.before >= s.offset {
		return false
	}
	from, to := wall(s.start, s.before), wall(s.start, s.offset)
	for {
		w, ok := e.wallAtOrAfter(from, to)
		if !ok {
			return false
		}
		day := midnight(w)
		from = day.AddDate(0, 0, 1)
		if day.Before(wall(s.start, s.before)) || from.After(to) {
			return true // only a part of that date was skipped
		}
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
