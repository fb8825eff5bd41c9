package recurrences_test

import (
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/recurrences"
)

// A process that runs must not end for a file that the next one would refuse.
func TestCheckAsksWhatTheServiceAsks(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]config.Recurrences{"holiday": {Holidays: []string{"2026-02-30"}}, "cannot charge": {DefaultGateway: "orange"}} {
		file := &config.File{Tenants: []config.Tenant{{
			ID: "wallclub", Recurrences: &r, Providers: map[string]config.Provider{"orange": {Name: "orange", Kind: "orange_money"}},
		}}}
		if err := recurrences.Check(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := recurrences.Check(&config.File{}); err != nil {
		t.Error(err)
	}
}
