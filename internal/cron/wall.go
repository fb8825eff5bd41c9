package cron

import "time"

// A wall time is what a clock on the wall shows: a time.Time in UTC whose zone means nothing. The functions of this file
// search among wall times only; zone.go maps them to instants.

const minutesPerDay = 24 * 60

// horizon bounds a search. The rarest dates, 29 February on a given weekday around a year like 2100, are 40 years apart.
const horizonYears = 41

// matchesDay applies the Vixie rule: with a star in either field a day must match both, otherwise one is enough.
func (e Expression) matchesDay(day time.Time) bool {
	if !has(e.month, int(day.Month())) {
		return false
	}
	dom, dow := has(e.dom, day.Day()), has(e.dow, int(day.Weekday()))
	if e.domStar || e.dowStar {
		return dom && dow
	}
	return dom || dow
}

// wallAtOrAfter is the first matching wall time in [from, before).
func (e Expression) wallAtOrAfter(from, before time.Time) (time.Time, bool) {
	day := midnight(from)
	start := int(from.Sub(day)+time.Minute-1) / int(time.Minute) // up to the next whole minute
	for day.Before(before) {
		if !has(e.month, int(day.Month())) {
			day, start = time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, time.UTC), 0
			continue
		}
		if e.matchesDay(day) {
			if minute, ok := e.firstMinute(start); ok {
				w := day.Add(time.Duration(minute) * time.Minute)
				return w, w.Before(before)
			}
		}
		day, start = day.AddDate(0, 0, 1), 0
	}
	return time.Time{}, false
}

// wallBefore is the last matching wall time in [from, before).
func (e Expression) wallBefore(before, from time.Time) (time.Time, bool) {
	last := before.Add(-1)
	day := midnight(last)
	end := int(last.Sub(day) / time.Minute)
	for day.Add(24 * time.Hour).After(from) {
		if !has(e.month, int(day.Month())) {
			day, end = time.Date(day.Year(), day.Month(), 0, 0, 0, 0, 0, time.UTC), minutesPerDay-1
			continue
		}
		if e.matchesDay(day) {
			if minute, ok := e.lastMinute(end); ok {
				w := day.Add(time.Duration(minute) * time.Minute)
				return w, !w.Before(from)
			}
		}
		day, end = day.AddDate(0, 0, -1), minutesPerDay-1
	}
	return time.Time{}, false
}

// firstMinute is the first matching minute of the day that is at least m.
func (e Expression) firstMinute(m int) (int, bool) {
	if h := m / 60; has(e.hour, h) {
		if minute, ok := nextBit(e.minute, m%60); ok {
			return h*60 + minute, true
		}
	}
	h, ok := nextBit(e.hour, m/60+1)
	minute, _ := nextBit(e.minute, 0)
	return h*60 + minute, ok
}

// lastMinute is the last matching minute of the day that is at most m.
func (e Expression) lastMinute(m int) (int, bool) {
	if h := m / 60; has(e.hour, h) {
		if minute, ok := prevBit(e.minute, m%60); ok {
			return h*60 + minute, true
		}
	}
	h, ok := prevBit(e.hour, m/60-1)
	minute, _ := prevBit(e.minute, 59)
	return h*60 + minute, ok
}

func midnight(w time.Time) time.Time {
	return time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
}
