package schedule

import (
	"fmt"
	"strings"
	"time"
)

// TickState is a tick's state; the table of transitions is event.Tick.
type TickState string

// The states.
const (
	Fired   TickState = "fired"
	Missed  TickState = "missed"
	Skipped TickState = "skipped"
)

// Trigger says what made a tick.
type Trigger string

// The triggers.
const (
	ByCron    Trigger = "cron"
	ByCatchUp Trigger = "catch_up"
	ByHand    Trigger = "manual"
)

// Tick is one nominal time of a schedule and what became of it.
type Tick struct {
	ID        string
	Nominal   time.Time
	LocalDate string // YYYY-MM-DD in the schedule's zone
	// WindowStart is the nominal time before this one; the tick answers for (WindowStart, Nominal].
	WindowStart time.Time
	State       TickState
	Trigger     Trigger
	Reason      string // code, "" when it fired
}

// Tick is the tick of a nominal time that the schedule contains. Its id holds nothing but schedule and nominal time, so
// that two replicas, or a replica and a person, can only make the same one.
func (s Schedule) Tick(nominal time.Time) Tick {
	return s.tick(s.String()+"@"+nominal.UTC().Format(time.RFC3339), nominal)
}

// Extra is the tick of any other time, started by hand; unique (a UUIDv7) tells it from others.
func (s Schedule) Extra(at time.Time, unique string) Tick {
	return s.tick(s.String()+"!"+unique, at)
}

func (s Schedule) tick(id string, nominal time.Time) Tick {
	return Tick{
		ID: id, Nominal: nominal.UTC(), LocalDate: nominal.In(s.Zone).Format(time.DateOnly),
		WindowStart: s.Cron.Prev(nominal, s.Zone),
	}
}

// ByPerson is the tick that a person asks for: the schedule's own where it contains the time, otherwise an extra one. It
// works for times before the schedule existed, and while it is paused.
func (s Schedule) ByPerson(at time.Time, unique string) Tick {
	t := s.Extra(at, unique)
	if s.Cron.Contains(at, s.Zone) {
		t = s.Tick(at)
	}
	t.State, t.Trigger = Fired, ByHand
	return t
}

// TickKey is the schedule of a tick id.
func TickKey(id string) (Key, error) {
	i := strings.IndexAny(id, "@!")
	if i < 0 {
		return Key{}, fmt.Errorf("tick id %q is not <tenant>/<service>/<schedule>@<time>", id)
	}
	return ParseKey(id[:i])
}
