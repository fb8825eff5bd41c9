package schedule

import (
	"fmt"
	"time"
)

// Mode says what becomes of nominal times that fell due while nothing ran.
type Mode string

// The modes.
const (
	All    Mode = "all"    // each fires, in order
	Latest Mode = "latest" // the newest fires for all of them
	Skip   Mode = "skip"   // none fires
)

// CatchUp is a schedule's rule for late ticks.
type CatchUp struct {
	Mode   Mode
	Window time.Duration // older ones are missed; 0: no limit
	Cap    int           // mode all: of more than this, the oldest are missed
}

// ParseCatchUp makes the rule of what is configured. Which rule a job has by default is the tenants file's to say.
func ParseCatchUp(mode string, window time.Duration, limit int) (CatchUp, error) {
	c := CatchUp{Mode: Mode(mode), Window: window, Cap: limit}
	if c.Mode != All && c.Mode != Latest && c.Mode != Skip {
		return CatchUp{}, fmt.Errorf("catch_up %q: write all, latest or skip", mode)
	}
	if window < 0 || limit < 1 {
		return CatchUp{}, fmt.Errorf("catch-up window %s must not be negative, and cap %d must be at least 1", window, limit)
	}
	return c, nil
}

// Punctual is how late a tick may fire and still be on time: longer than a change of leader and a sweep together, shorter
// than the shortest distance of two nominal times. On-time ticks fire whatever the catch-up rule is.
const Punctual = time.Minute

// Codes of the reasons why a tick did not fire.
const (
	ReasonPaused    = "schedule_paused"
	ReasonCollapsed = "collapsed_into_later_tick"
	ReasonWindow    = "outside_catch_up_window"
	ReasonCap       = "over_catch_up_cap"
	ReasonSkip      = "catch_up_skip"
	ReasonDeleted   = "schedule_deleted"
)

// Due settles the nominal times in (cursor, now]: which fire, which are missed, which are skipped. It returns at most
// limit ticks, oldest first, and the cursor after them; the rest is due again. A now before the cursor settles nothing and
// leaves the cursor, so a clock that steps back neither repeats a tick nor makes the cursor go back.
func (s Schedule) Due(now time.Time, limit int) (ticks []Tick, cursor time.Time) {
	if !now.After(s.Cursor) {
		return nil, s.Cursor
	}
	judge := s.judge(now)
	for t := range s.Cron.Between(s.Cursor, now, s.Zone) {
		if len(ticks) == limit {
			return ticks, s.Cursor
		}
		tick := s.Tick(t)
		tick.State, tick.Trigger, tick.Reason = judge(t)
		ticks = append(ticks, tick)
		s.Cursor = t
	}
	return ticks, now
}

// judge returns the decision about single nominal times, seen from now.
func (s Schedule) judge(now time.Time) func(t time.Time) (TickState, Trigger, string) {
	newest := s.Cron.Prev(now.Add(1), s.Zone)
	oldest := s.oldestWithinCap(now)
	return func(t time.Time) (TickState, Trigger, string) {
		late := now.Sub(t)
		switch {
		case s.State == Deleted:
			return Missed, ByCron, ReasonDeleted
		case s.State == Paused:
			return Skipped, ByCron, ReasonPaused
		case late < Punctual:
			return Fired, ByCron, ""
		case s.CatchUp.Mode == Skip:
			return Missed, ByCatchUp, ReasonSkip
		case s.CatchUp.Window > 0 && late > s.CatchUp.Window:
			return Missed, ByCatchUp, ReasonWindow
		case s.CatchUp.Mode == Latest && t.Before(newest):
			return Skipped, ByCatchUp, ReasonCollapsed
		case t.Before(oldest):
			return Missed, ByCatchUp, ReasonCap
		}
		return Fired, ByCatchUp, ""
	}
}

// oldestWithinCap is the nominal time before which mode all misses what is due: the cap-th newest, or zero while there are
// not that many.
func (s Schedule) oldestWithinCap(now time.Time) time.Time {
	if s.CatchUp.Mode != All || s.CatchUp.Cap == 0 {
		return time.Time{}
	}
	t := now.Add(1)
	for range s.CatchUp.Cap {
		t = s.Cron.Prev(t, s.Zone)
		if !t.After(s.Cursor) {
			return time.Time{}
		}
	}
	return t
}
