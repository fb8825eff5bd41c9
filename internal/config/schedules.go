package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// job is what a service runs on a tick.
type job struct {
	catchUp string // default rule after an outage
	section string // the tenant's section that it needs
}

// jobs are those that a service serves.
var jobs = map[string]job{
	// Each evening keeps its own payouts and references, so none may be collapsed into the next.
	"payouts/daily":         {catchUp: catchUpAll, section: "payouts"},
	"payouts/check-pending": {catchUp: catchUpLatest, section: "payouts"},
	"payouts/reset-breaks":  {catchUp: catchUpLatest, section: "payouts"},
}

// The catch-up rules.
const (
	catchUpAll    = "all"
	catchUpLatest = "latest"
	catchUpSkip   = "skip"
)

func (l *loader) schedules(v at, t *Tenant) {
	first := map[string]int{}
	l.list(func(item at) {
		s := Schedule{CatchUpCap: 366}
		l.schedule(item, &s, t)
		// A schedule's identity is tenant, service and name.
		name := s.Service + "/" + s.Name
		if line, twice := first[name]; twice && s.Name != "" {
			l.fail(item, "the name stands twice for %s, first on line %d: give each schedule of a service its own", s.Service, line)
		}
		first[name] = item.node.Line
		t.Schedules = append(t.Schedules, s)
	})(v)
}

func (l *loader) schedule(v at, s *Schedule, t *Tenant) {
	l.object(
		v,
		required("name", l.text(&s.Name, checkWord)),
		required("job", l.text(&s.Job, func(name string) string { return checkJob(name, t) })),
		required("cron", l.text(&s.Cron, checkCron)),
		optional("catch_up", l.oneOf(&s.CatchUp, catchUpAll, catchUpLatest, catchUpSkip)),
		optional("catch_up_window", l.duration(&s.CatchUpWindow, 10*year)),
		optional("catch_up_cap", integer(l, &s.CatchUpCap, 1, 100_000)),
	)
	s.Service, _, _ = strings.Cut(s.Job, "/")
	if s.CatchUp == "" {
		s.CatchUp = jobs[s.Job].catchUp
	}
}

func checkJob(name string, t *Tenant) string {
	j, ok := jobs[name]
	switch {
	case !ok:
		return quoted(name) + " is served by no service: write " + strings.Join(slices.Sorted(maps.Keys(jobs)), ", ")
	case j.section == "payouts" && t.Payouts == nil:
		return quoted(name) + " needs the tenant's payouts section: add it"
	}
	return ""
}

// checkCron accepts five fields of numbers, names, lists, ranges and steps. The zone is the tenant's.
func checkCron(s string) string {
	const remedy = ": write minute, hour, day of month, month and day of week, such as \"59 23 * * *\""
	if strings.Contains(s, "=") {
		return quoted(s) + " names a time zone, which is the tenant's: write only the five fields"
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	rule, err := parser.Parse(s)
	if err != nil {
		return quoted(s) + " is not a cron rule (" + shorten(err.Error()) + ")" + remedy
	}
	// From a leap year on, the parser looks five years ahead: what it does not find is no date.
	if rule.Next(time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return quoted(s) + " is a date that never comes: check day and month"
	}
	return ""
}
