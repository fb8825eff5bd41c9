package scheduler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/scheduler"
)

// A process that runs must not end for a file that the next one would refuse.
func TestCheckAsksWhatTheServiceAsks(t *testing.T) {
	t.Parallel()
	daily := config.Schedule{Name: "daily", Service: "payouts", Job: "payouts/daily", Cron: "59 23 * * *", CatchUp: "latest", CatchUpCap: 1}
	wrong, lost := daily, daily
	wrong.Cron = "61 23 * * *"
	lost.CatchUp = "sometimes"
	for want, schedules := range map[string][]config.Schedule{
		"cron":      {wrong},
		"sometimes": {lost},
		"twice":     {daily, daily},
		"":          {daily},
	} {
		err := scheduler.Check(&config.File{Tenants: []config.Tenant{{ID: "lebenis", Location: time.UTC, Schedules: schedules}}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := scheduler.Check(&config.File{Tenants: []config.Tenant{{ID: "lebenis", Schedules: []config.Schedule{daily}}}}); err == nil || !strings.Contains(err.Error(), "time zone") {
		t.Errorf("without a zone: %v", err)
	}
}
