package scheduler

import (
	"fmt"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
)

// rulesOf reads the schedules of a tenants file into rules.
func rulesOf(f *config.File) (map[schedule.Key]schedule.Rule, error) {
	rules := map[schedule.Key]schedule.Rule{}
	for _, tenant := range f.Tenants {
		for _, c := range tenant.Schedules {
			key := schedule.Key{Tenant: tenant.ID, Service: c.Service, Name: c.Name}
			rule, err := ruleOf(tenant, c)
			if err != nil {
				return nil, fmt.Errorf("%s: schedule %s: %w", f.Path, key, err)
			}
			if _, twice := rules[key]; twice {
				return nil, fmt.Errorf("%s: schedule %s stands there twice: give one of them another name", f.Path, key)
			}
			rules[key] = rule
		}
	}
	return rules, nil
}

func ruleOf(tenant config.Tenant, c config.Schedule) (schedule.Rule, error) {
	if tenant.Location == nil {
		return schedule.Rule{}, fmt.Errorf("tenant %s has no time zone", tenant.ID)
	}
	times, err := cron.Parse(c.Cron)
	if err != nil {
		return schedule.Rule{}, fmt.Errorf("cron: %w", err)
	}
	catchUp, err := schedule.ParseCatchUp(c.CatchUp, c.CatchUpWindow, c.CatchUpCap)
	if err != nil {
		return schedule.Rule{}, err
	}
	return schedule.Rule{Job: c.Job, Cron: times, Zone: tenant.Location, CatchUp: catchUp}, nil
}
