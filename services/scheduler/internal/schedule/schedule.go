// Package schedule holds the rules of schedules: which of their nominal times fire, also after an outage, what becomes of
// the others, and how a tick is identified. It does no I/O and reads no clock.
package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/internal/event"
)

// State is a schedule's state; the table of transitions is event.Schedule.
type State string

// The states.
const (
	Active  State = "active"
	Paused  State = "paused"
	Deleted State = "deleted"
)

// Key identifies a schedule. Service is the one that runs its job.
type Key struct {
	Tenant, Service, Name string
}

// String is "<tenant>/<service>/<schedule>".
func (k Key) String() string { return k.Tenant + "/" + k.Service + "/" + k.Name }

// ParseKey undoes [Key.String].
func ParseKey(text string) (Key, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return Key{}, fmt.Errorf("schedule name %q is not <tenant>/<service>/<schedule>", text)
	}
	return Key{parts[0], parts[1], parts[2]}, nil
}

// Rule is what the tenants file says about a schedule.
type Rule struct {
	Job     string // "<service>/<job>"
	Cron    cron.Expression
	Zone    *time.Location
	CatchUp CatchUp
}

// Schedule is a rule and how far it has been followed.
type Schedule struct {
	Key
	Rule
	State       State
	PauseReason string
	Cursor      time.Time // nominal times up to it are settled
	Version     int64     // of its newest event
}

// Next is the nominal time after the cursor, the one that the schedule waits for.
func (s Schedule) Next() time.Time { return s.Cron.Next(s.Cursor, s.Zone) }

// Change is one event of a schedule: the schedule as it is afterwards, and the state it had.
type Change struct {
	Schedule
	From  State // "" when it is new
	Event event.Type
}

// To moves the schedule to a state with the next version, or says that the table of states has no such move.
func (s Schedule) To(state State) (Change, error) {
	e, ok := event.Schedule.Event(string(s.State), string(state))
	if !ok {
		return Change{}, fmt.Errorf("schedule %s cannot go from %q to %q", s.Key, s.State, state)
	}
	c := Change{Schedule: s, From: s.State, Event: e}
	c.State, c.Version = state, s.Version+1
	if state != Paused {
		c.PauseReason = ""
	}
	return c, nil
}

// Reconcile compares the schedules that are stored (deleted ones too) with those of the tenants file and returns what must
// change. A new one and one whose times change begin at now: their new times were never due before. An unchanged one is
// left alone, so that what fell due while nothing ran is still caught up; so are the times of one whose job or catch-up
// rule alone changes.
func Reconcile(have []Schedule, want map[Key]Rule, now time.Time) ([]Change, error) {
	var changes []Change
	known := make(map[Key]bool, len(have))
	for _, s := range have {
		known[s.Key] = true
		rule, wanted := want[s.Key]
		c, changed, err := s.follow(rule, wanted, now)
		if err != nil {
			return nil, err
		}
		if changed {
			changes = append(changes, c)
		}
	}
	for key, rule := range want {
		if known[key] {
			continue
		}
		c, err := Schedule{Key: key, Rule: rule, Cursor: now}.To(Active)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.String(), b.String()) })
	return changes, nil
}

func (s Schedule) follow(rule Rule, wanted bool, now time.Time) (c Change, changed bool, err error) {
	switch {
	case !wanted && s.State == Deleted:
		return Change{}, false, nil
	case !wanted:
		c, err = s.To(Deleted)
		return c, true, err
	case s.State == Deleted:
		s.Rule, s.Cursor = rule, latest(s.Cursor, now)
		c, err = s.To(Active)
		return c, true, err
	case s.same(rule):
		return Change{}, false, nil
	}
	if !s.SameTimes(rule) {
		s.Cursor = latest(s.Cursor, now)
	}
	s.Rule = rule
	c, err = s.To(s.State)
	return c, true, err
}

// SameTimes reports whether another rule has the same nominal times.
func (r Rule) SameTimes(o Rule) bool {
	return r.Cron == o.Cron && r.Zone.String() == o.Zone.String()
}

func (r Rule) same(o Rule) bool { return r.SameTimes(o) && r.Job == o.Job && r.CatchUp == o.CatchUp }

// latest keeps a cursor from going back when the clock does.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
