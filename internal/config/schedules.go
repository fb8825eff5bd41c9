package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/agogopay/agogo/internal/cron"
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
	// It closes every day since the last one.
	"payouts/close": {catchUp: catchUpLatest, section: "payouts"},
	// Each of these looks at everything up to its day, so the latest does the work of all that were missed.
	"recurrences/charge-due":   {catchUp: catchUpLatest, section: "recurrences"},
	"recurrences/retry-failed": {catchUp: catchUpLatest, section: "recurrences"},
	"recurrences/notify-holds": {catchUp: catchUpLatest, section: "recurrences"},
	"recurrences/cleanup":      {catchUp: catchUpLatest, section: "recurrences"},
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
	case j.section == "payouts" && t.Payouts == nil, j.section == "recurrences" && t.Recurrences == nil:
		return quoted(name) + " needs the tenant's " + j.section + " section: add it"
	}
	return ""
}

// checkCron asks the parser that the scheduler fires by, so that what is accepted here is also followed.
func checkCron(s string) string {
	if _, err := cron.Parse(s); err != nil {
		return err.Error()
	}
	return ""
}
